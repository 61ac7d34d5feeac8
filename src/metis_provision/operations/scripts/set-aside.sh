#!/bin/sh
# Keeps under their digests what is removed or replaced; commands.py puts it before the scripts that do so.
#
# They define fail, and remove the file named in $keeping when they end.
previous=/var/lib/metis-provision/previous
keeping=''

keep() { # path: its contents, or the directory as an archive
	mkdir -p "$previous" || fail "$previous could not be created: is the file system read-only?"
	keeping=$(mktemp "$previous/.aside-XXXXXX") || fail "nothing can be written to $previous"
	if [ -d "$1" ]; then
		tar -c -f "$keeping" -C "${1%/*}" "${1##*/}" || fail "$1 could not be kept under $previous: is the disk full?"
	else
		cp -p "$1" "$keeping" || fail "$1 could not be kept under $previous: is the disk full?"
	fi
	sum=$(sha256sum <"$keeping") || fail "$1 could not be kept under $previous"
	sum=${sum%% *}
	sync "$keeping" 2>/dev/null || sync
	mv -f "$keeping" "$previous/$sum" || fail "$1 could not be kept under $previous"
	keeping=''
	printf '%s %s\n' "$sum" "$1" >>"$previous/index" || fail "$previous/index could not be written"
}

set_aside() { # path
	[ -e "$1" ] || [ -h "$1" ] || return 0
	keep "$1"
	rm -rf "$1" || fail "$1 could not be removed"
	printf 'set aside %s, kept as %s\n' "$1" "$previous/$sum"
}

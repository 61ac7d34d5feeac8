#!/bin/sh
# What comes before the package manager installs a package with the driver; runs as a detached step.
#
# METIS_PACKAGE, METIS_SHA256  the package on this host and its pin
# METIS_REFUSED_BY             a service while which runs the installed package refuses to go, empty if there is none
# METIS_TREE                   a source tree that no package owns, where the package puts its own; empty if there is none
set -u
previous=/var/lib/metis-provision/previous

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

set_tree_aside() { # somebody may have worked in it
	mkdir -p "$previous" || fail "$previous could not be created: is the file system read-only?"
	kept=$(mktemp "$previous/.source-XXXXXX") || fail "nothing can be written to $previous"
	if ! tar -c -f "$kept" -C "${METIS_TREE%/*}" "${METIS_TREE##*/}" || ! sum=$(sha256sum <"$kept"); then
		rm -f "$kept"
		fail "$METIS_TREE could not be kept under $previous: is the disk full?"
	fi
	mv -f "$kept" "$previous/${sum%% *}" || fail "$METIS_TREE could not be kept under $previous"
	printf '%s %s\n' "${sum%% *}" "$METIS_TREE" >>"$previous/index" || fail "$previous/index could not be written"
	rm -rf "${METIS_TREE:?}"
}

sum=$(sha256sum <"$METIS_PACKAGE") || fail "$METIS_PACKAGE cannot be read"
[ "${sum%% *}" = "$METIS_SHA256" ] || fail "$METIS_PACKAGE is not the pinned package: run again to send it anew"
if [ -n "$METIS_REFUSED_BY" ] && [ -d /run/systemd/system ] && systemctl is-active --quiet "$METIS_REFUSED_BY"; then
	fail "$METIS_REFUSED_BY runs, and while it does the installed package refuses to be replaced: run systemctl stop $METIS_REFUSED_BY, then run again"
fi
if [ -n "$METIS_TREE" ] && [ -d "$METIS_TREE" ]; then set_tree_aside; fi

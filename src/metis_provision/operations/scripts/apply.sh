#!/bin/sh
# Applies one concern's accounts and files: everything is staged and validated before anything is replaced.
#
# METIS_RECEIPT_WAS  sha256 of the receipt the controller saw, or "none"
# standard input     one directive a line, in this order, the last one "end":
#                      intent BASE64                the receipt of what is about to be done
#                      group NAME GID|-             user NAME GROUP           member USER GROUP
#                      file MODE OWNER GROUP VALIDATOR PATH BASE64            take-back PATH SHA256|-
#                      reload-udev
set -u
umask 077
state=/var/lib/metis-provision
staged=''

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard_staged() {
	printf '%s' "$staged" | while read -r temporary _; do
		rm -f "$temporary"
	done
}
trap discard_staged EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

flush() {
	sync "$1" 2>/dev/null || sync
}

digest() {
	sum=$(sha256sum <"$1") || return
	printf '%s' "${sum%% *}"
}

make_group() {
	if command -v groupadd >/dev/null; then
		if [ "$2" = - ]; then groupadd -r "$1"; else groupadd -r -g "$2" "$1"; fi
	elif [ "$2" = - ]; then
		addgroup -S "$1"
	else
		addgroup -S -g "$2" "$1"
	fi </dev/null || fail "group $1 could not be created"
}

make_user() {
	if command -v useradd >/dev/null; then
		useradd -r -M -d /nonexistent -s /usr/sbin/nologin -G "$2" "$1"
	else
		adduser -S -D -H -h /nonexistent -s /sbin/nologin "$1" && addgroup "$1" "$2"
	fi </dev/null || fail "user $1 could not be created"
}

join_group() {
	if command -v usermod >/dev/null; then usermod -a -G "$2" "$1"; else addgroup "$1" "$2"; fi </dev/null ||
		fail "$1 could not be added to group $2"
}

validate() {
	case $1 in
	none) ;;
	shell) sh -n "$2" ;;
	udev-rules)
		if command -v udevadm >/dev/null && udevadm verify --help >/dev/null 2>&1; then
			udevadm verify --no-summary "$2" >&2
		fi
		;;
	*) fail "no validator is called $1" ;;
	esac
}

stage() {
	[ ! -h "$5" ] || fail "$5 is a symbolic link, which somebody made: remove it, or switch off what needs the file"
	[ ! -d "$5" ] || fail "$5 is a directory: move it away"
	directory=${5%/*}
	[ -d "$directory" ] || (umask 022 && mkdir -p "$directory") || fail "$directory could not be created"
	temporary=$(mktemp "$directory/.metis-XXXXXX") || fail "nothing can be written to $directory"
	staged="$staged$temporary $5
"
	printf '%s' "$6" | base64 -d >"$temporary" || fail "$5 could not be written: is the disk full?"
	if ! chown "$2:$3" "$temporary" || ! chmod "$1" "$temporary"; then
		fail "$5 cannot be given to $2:$3 with mode $1"
	fi
	validate "$4" "$temporary" || fail "$5 was refused by its validator and left as it was"
	flush "$temporary"
}

keep() {
	[ -f "$1" ] && [ "$1" != "$state/receipt.json" ] || return 0
	was=$(digest "$1") || return
	[ ! -f "$state/previous/$was" ] || return 0
	cp -p "$1" "$state/previous/.$was" && flush "$state/previous/.$was" && mv -f "$state/previous/.$was" "$state/previous/$was"
}

note_intent() { # a run that is cut off leaves a receipt that claims too much, not too little
	noted=$(mktemp "$state/.metis-XXXXXX") || fail "nothing can be written to $state"
	if ! printf '%s' "$1" | base64 -d >"$noted" || ! flush "$noted" || ! mv -f "$noted" "$state/receipt.json"; then
		rm -f "$noted"
		fail "the receipt could not be written: is the disk full?"
	fi
}

take_back() {
	keep "$1" || fail "$1 could not be kept under $state/previous"
	if [ "$2" != - ] && [ -f "$state/previous/$2" ]; then
		temporary=$(mktemp "${1%/*}/.metis-XXXXXX") || fail "nothing can be written to ${1%/*}"
		cp -p "$state/previous/$2" "$temporary" || fail "$1 could not be given its earlier contents"
		flush "$temporary"
		mv -f "$temporary" "$1" || fail "$1 could not be given its earlier contents"
	else
		rm -f "$1" || fail "$1 could not be removed"
	fi
}

mkdir -p "$state/previous" || fail "$state could not be created: is the file system read-only?"
lock_host

now=none
[ ! -f "$state/receipt.json" ] || now=$(digest "$state/receipt.json")
[ "$now" = "${METIS_RECEIPT_WAS:?}" ] || fail "another run changed this host after it was looked at: run again"

manifest=$(cat)
case $manifest in
*'
end') ;;
*) fail "the transfer was cut off: nothing was changed" ;;
esac

while read -r directive one two three four five six; do
	case $directive in
	intent) note_intent "$one" ;;
	group) make_group "$one" "$two" ;;
	user) make_user "$one" "$two" ;;
	member) join_group "$one" "$two" ;;
	file) stage "$one" "$two" "$three" "$four" "$five" "$six" ;;
	take-back | reload-udev | end) ;;
	*) fail "no directive is called $directive: nothing was replaced" ;;
	esac
done <<EOF
$manifest
EOF

while read -r temporary path; do
	[ -n "$path" ] || continue
	keep "$path" || fail "$path could not be kept under $state/previous: nothing was replaced"
done <<EOF
$staged
EOF

while read -r directive one two; do
	[ "$directive" != take-back ] || take_back "$one" "$two"
done <<EOF
$manifest
EOF

while read -r temporary path; do
	[ -n "$path" ] || continue
	mv -f "$temporary" "$path" || fail "$path could not be replaced"
	flush "${path%/*}"
done <<EOF
$staged
EOF

case $manifest in
*'
reload-udev
'*)
	if command -v udevadm >/dev/null && [ -S /run/udev/control ]; then
		udevadm control --reload || fail "udev did not read its rules again"
		udevadm trigger --action=change --subsystem-match=dma_heap || fail "udev could not be asked about the DMA heap"
		udevadm settle --timeout=60 || fail "udev was still busy after a minute: see udevadm monitor"
	fi
	;;
esac

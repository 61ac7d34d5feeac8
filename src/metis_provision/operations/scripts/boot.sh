#!/bin/sh
# Replaces config.txt on a boot partition, which knows neither owners nor modes and whose renames a power cut can undo.
#
# METIS_CONFIG     path of config.txt
# METIS_WAS        sha256 of the one the controller saw
# METIS_DIGEST     sha256 of the one it shall be
# METIS_KEEP       1 if the earlier one stays beside it, empty if nothing of ours is left in it
# standard input   the new contents in base64, the last line "end"
set -u
umask 022
state=/var/lib/metis-provision
config=${METIS_CONFIG:?}
new=$config.metis-new
previous=$config.metis-previous
# What the host booted with: the reboot that a change asks for is no longer needed when the contents are back.
booted=/run/metis-provision/booted-with

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard() {
	rm -f "$new" "$previous.new"
}
trap discard EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The whole file system: on FAT the directory and the table of clusters count as much as the file.
flush() {
	sync -f "$1" 2>/dev/null || sync
}

digest() {
	sum=$(sha256sum <"$1") || return
	printf '%s' "${sum%% *}"
}

keep() {
	[ -f "$state/previous/$METIS_WAS" ] || {
		cp "$config" "$state/previous/.$METIS_WAS" && chmod 0600 "$state/previous/.$METIS_WAS" &&
			flush "$state/previous/.$METIS_WAS" &&
			mv -f "$state/previous/.$METIS_WAS" "$state/previous/$METIS_WAS" || return
	}
	[ -n "${METIS_KEEP:=}" ] || return 0
	cp "$config" "$previous.new" && flush "$previous.new" && mv -f "$previous.new" "$previous"
}

note_what_booted() {
	read -r boot_id </proc/sys/kernel/random/boot_id || return
	while read -r id _ path; do
		[ "$id $path" != "$boot_id $config" ] || return 0
	done 2>/dev/null <"$booted"
	printf '%s %s %s\n' "$boot_id" "$METIS_WAS" "$config" >>"$booted"
}

mkdir -p "$state/previous" || fail "$state could not be created: is the file system read-only?"
lock_host

[ "$(digest "$config")" = "${METIS_WAS:?}" ] || fail "$config changed after it was looked at: run again"
content=$(cat)
case $content in
*'
end') content=${content%?end} ;;
*) fail "the transfer was cut off: $config was left as it was" ;;
esac

# Redirections of a failing open end a shell's special built-ins; a subshell keeps that from us.
if ! (printf '%s\n' "$content" | base64 -d >"$new") 2>/dev/null || ! flush "$new"; then
	fail "nothing can be written beside $config: is ${config%/*} mounted read-only, or full? $config was left as it was"
fi
[ "$(digest "$new")" = "${METIS_DIGEST:?}" ] || fail "the new $config did not arrive whole: it was left as it was"
keep || fail "$config could not be kept as $previous and under $state/previous: it was left as it was"
note_what_booted || fail "$booted could not be written: $config was left as it was"
mv -f "$new" "$config" || fail "$config could not be replaced; what it was is in $state/previous/$METIS_WAS"
flush "$config"
[ "$(digest "$config")" = "$METIS_DIGEST" ] ||
	fail "$config does not read back as written: put $state/previous/$METIS_WAS in its place before the next boot"
[ -n "$METIS_KEEP" ] || { rm -f "$previous" && flush "$config"; }

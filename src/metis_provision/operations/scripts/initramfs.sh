#!/bin/sh
# Builds the initramfs of each kernel named anew, unless it holds what it must already; runs as a detached step.
#
# METIS_GENERATOR  dracut, initramfs-tools, mkinitcpio or mkinitfs
# METIS_WANTED     1 if images hold something of ours afterwards, empty if our parts were taken back
# METIS_IMAGES     a kernel's release and the path of its image on each line
#
# The image in use is replaced whole or not at all: dracut copies over it and mkinitcpio may, so those two build beside
# it or from a copy that is put back; update-initramfs and we ourselves build beside it and rename.
set -u
generator=$METIS_GENERATOR
records=/var/lib/metis-provision/initramfs
inputs=/usr/lib/metis-provision/initramfs-inputs
marks=/usr/lib/metis-provision/initramfs
mkinitfs_line="features=\"\$features rpi-hardware\""
beside=''
saved=''
log=$(mktemp) || exit 1

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

leave_as_it_was() {
	[ -z "$beside" ] || rm -f "$beside"
	[ -z "$saved" ] || mv -f "$saved" "$image"
	rm -f "$log"
}
trap leave_as_it_was EXIT
trap 'exit 143' HUP INT TERM

flush() {
	sync "$1" 2>/dev/null || sync
}

size_in_kib() {
	bytes=$(wc -c <"$1") || return
	printf '%s' "$((bytes / 1024 + 1))"
}

need_room() { # directory: the new image lies beside the old one for a moment, and may be larger
	needed=$(size_in_kib "$image") || fail "$image cannot be read"
	needed=$((needed + needed / 4 + 1024))
	free=$(df -P -k "$1" | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge "$needed" ] || fail "$1 has $((${free:-0} / 1024)) MB free, a new image needs $((needed / 1024)) MB:" \
		"make room there (remove old kernels), then run again; $image was left as it was"
}

run_tool() {
	"$@" >"$log" 2>&1
	status=$?
	cat "$log"
	return "$status"
}

why() { # the line of the tool's output that says most
	grep -i -E 'no space left|will not be installed|cannot be installed|error|fail' "$log" | tail -n 1 | grep . || tail -n 1 "$log"
}

tool_failed() {
	said=$(why)
	fail "$generator could not build the image of $release: ${said:-it said nothing}; $image was left as it was"
}

build_with_dracut() {
	beside=$image.metis-new
	NO_POST_UPDATE_HOOKS=1 run_tool dracut --force --kver "$release" "$beside" || tool_failed
	replace
	[ ! -d /etc/initramfs/post-update.d ] || run-parts --arg="$release" --arg="$image" /etc/initramfs/post-update.d ||
		fail "a hook in /etc/initramfs/post-update.d failed after $image was replaced"
}

build_with_initramfs_tools() {
	# A Raspberry Pi's image is a copy that a hook makes of this one.
	[ "${image%/*}" = /boot ] || need_room /boot
	run_tool update-initramfs -u -k "$release" || tool_failed
	holds_all "$image" || fail "update-initramfs ended without an error, but $image $(what_is_wrong "$image")"
}

preset_of() { # PRESET: the preset that makes this kernel's image
	read -r PRESET 2>/dev/null <"/lib/modules/$release/pkgbase" || PRESET=''
	[ -n "$PRESET" ] && [ -f "/etc/mkinitcpio.d/$PRESET.preset" ] && return 0
	for preset in /etc/mkinitcpio.d/*.preset; do
		grep -q -F "$image" "$preset" 2>/dev/null || continue
		PRESET=${preset##*/}
		PRESET=${PRESET%.preset}
		return 0
	done
	return 1
}

build_with_mkinitcpio() {
	preset_of || fail "no preset in /etc/mkinitcpio.d makes $image: add one for kernel $release"
	saved=$image.metis-old
	cp -p "$image" "$saved" || fail "$image could not be copied: is ${image%/*} full?"
	flush "$saved"
	run_tool mkinitcpio -p "$PRESET" || tool_failed
	holds_all "$image" || fail "mkinitcpio ended without an error, but the image $(what_is_wrong "$image"); the old one was put back"
	rm -f "$saved"
	saved=''
}

build_with_mkinitfs() {
	beside=$image.metis-new
	run_tool mkinitfs -o "$beside" "$release" || tool_failed
	replace
}

replace() { # the image by what was built beside it, once that holds what it must
	[ -s "$beside" ] || tool_failed
	holds_all "$beside" || fail "$generator ended without an error, but the new image $(what_is_wrong "$beside"); $image was left as it was"
	chmod --reference="$image" "$beside" 2>/dev/null
	flush "$beside"
	mv -f "$beside" "$image" || fail "$image could not be replaced"
	beside=''
	flush "${image%/*}"
}

holds_all() { # image: it can be listed and lacks nothing; what was taken back cannot be asked for any more
	[ -n "$METIS_WANTED" ] || return 0
	found=$("$inputs" "$release" "$1") || fail "$inputs failed: run again"
	case "
$found" in
	*'
lacks '* | *'
unreadable'*) return 1 ;;
	esac
}

what_is_wrong() {
	case $found in
	unreadable*) printf 'cannot be listed' ;;
	*)
		printf 'lacks %s' "$(printf '%s\n' "$found" | sed -n 's/^lacks //p' | sed 's/^inputs .*/the mark of our inputs/' | tr '\n' ',' | sed 's/,$//; s/,/, /g')"
		said=$(grep -E "rpi-hardware|will not be installed|cannot be installed" "$log" | tail -n 1)
		[ -z "$said" ] || printf ' (%s said: %s)' "$generator" "$said"
		;;
	esac
}

set_mkinitfs_feature() {
	conf=/etc/mkinitfs/mkinitfs.conf
	[ "$generator" = mkinitfs ] && [ -f "$conf" ] || return 0
	others=$(grep -v -x -F "$mkinitfs_line" "$conf")
	fresh=$(mktemp "$conf.XXXXXX") || fail "nothing can be written to ${conf%/*}"
	cp -p "$conf" "$fresh" || fail "$conf could not be copied: is the disk full?"
	{
		printf '%s\n' "$others" && { [ -z "$METIS_WANTED" ] || printf '%s\n' "$mkinitfs_line"; }
	} >"$fresh" || { rm -f "$fresh" && fail "$conf could not be written and is as it was: is the disk full?"; }
	if cmp -s "$conf" "$fresh"; then
		rm -f "$fresh"
	else
		flush "$fresh"
		mv -f "$fresh" "$conf" || fail "$conf could not be replaced"
	fi
}

mark_for_mkinitfs() { # its features name files of the host, so the mark must be one
	[ "$generator" = mkinitfs ] || return 0
	rm -f "$marks"/inputs-*
	[ -n "$METIS_WANTED" ] || return 0
	{ mkdir -p "$marks" && printf '' >"$marks/inputs-$(digest)"; } || fail "$marks could not be written: is /usr full?"
}

digest() {
	"$inputs" "$release" | sed -n 's/^inputs //p'
}

record() { # text: one line about this kernel's image
	{
		printf '%s\n' "$1" >"$records/.$release" && flush "$records/.$release" &&
			mv -f "$records/.$release" "$records/$release"
	} || fail "$records could not be written: is /var full?"
}

build() {
	printf 'building the initramfs of %s with %s\n' "$release" "$generator"
	need_room "${image%/*}"
	mark_for_mkinitfs
	: >"$log"
	case $generator in
	dracut) build_with_dracut ;;
	initramfs-tools) build_with_initramfs_tools ;;
	mkinitcpio) build_with_mkinitcpio ;;
	mkinitfs) build_with_mkinitfs ;;
	*) fail "no generator is called $generator" ;;
	esac
	grep -E 'will not be installed|cannot be installed|^W: ' "$log" | sed 's/^/metis-provision: a finding, not an error: /'
}

each_image() {
	while read -r release image; do
		[ -z "$release" ] || "$1" </dev/null
	done <<EOF
$METIS_IMAGES
EOF
}

note_unfinished() { # whatever happens from here on, this image is looked at again
	record "- -"
}

see_to() {
	if [ -z "$METIS_WANTED" ]; then
		build
		rm -f "$records/$release"
	else
		if holds_all "$image"; then
			printf 'the initramfs of %s holds what it must\n' "$release"
		else
			build
		fi
		record "$(digest) $(stat -c '%s %Y' "$image")"
	fi
}

# Directories in an image get their modes from here where a generator does not say.
umask 022
mkdir -p "$records" || fail "$records could not be created"
set_mkinitfs_feature
each_image note_unfinished
each_image see_to

#!/bin/sh
# Puts a DKMS source tree in place and builds it; runs as a detached step.
#
# METIS_MODULE, METIS_VERSION, METIS_SOURCE   what and where below /usr/src
# METIS_UNPACK                                1 if the tree must be unpacked from the payload
# METIS_PAYLOAD, METIS_SHA256, METIS_CONF     tarball, its pin, and dkms.conf in base64
# METIS_KERNELS                               releases to install for, separated by spaces
set -u
module=$METIS_MODULE
version=$METIS_VERSION
previous=/var/lib/metis-provision/previous
fresh=''

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard() {
	[ -z "$fresh" ] || rm -rf "$fresh"
}
trap discard EXIT
trap 'exit 143' HUP INT TERM

unpack() {
	sum=$(sha256sum <"$METIS_PAYLOAD") || fail "$METIS_PAYLOAD cannot be read"
	[ "${sum%% *}" = "$METIS_SHA256" ] || fail "$METIS_PAYLOAD is not the pinned payload: run again to send it anew"
	fresh=$(mktemp -d /usr/src/.metis-XXXXXX) || fail "nothing can be written to /usr/src"
	chmod 0755 "$fresh"
	tar -x -o -z -f "$METIS_PAYLOAD" -C "$fresh" --strip-components=1 || fail "$METIS_PAYLOAD could not be unpacked: is /usr full?"
	[ -f "$fresh/driver/Makefile" ] || fail "$METIS_PAYLOAD holds no driver/Makefile: it is not the driver's source"
	printf '%s' "$METIS_CONF" | base64 -d >"$fresh/dkms.conf" || fail "dkms.conf could not be written: is /usr full?"
	printf '%s\n' "$METIS_SHA256" >"$fresh/.payload-sha256" || fail "/usr is full"
	if [ -e "/var/lib/dkms/$module/$version" ]; then
		# Without its source dkms cannot remove a version.
		dkms remove -m "$module" -v "$version" --all || rm -rf "/var/lib/dkms/${module:?}/${version:?}"
	fi
	keep_source
	rm -rf "${METIS_SOURCE:?}"
	mv "$fresh" "$METIS_SOURCE" || fail "$METIS_SOURCE could not be put in place"
	fresh=''
	dkms add -m "$module" -v "$version" || fail "dkms does not accept $METIS_SOURCE"
}

keep_source() { # somebody may have worked in it
	[ -d "$METIS_SOURCE" ] || return 0
	kept=$(mktemp "$previous/.source-XXXXXX") || fail "nothing can be written to $previous"
	tar -c -f "$kept" -C "${METIS_SOURCE%/*}" "${METIS_SOURCE##*/}" || fail "$METIS_SOURCE could not be kept: is the disk full?"
	sum=$(sha256sum <"$kept") || fail "$METIS_SOURCE could not be kept under $previous"
	mv -f "$kept" "$previous/${sum%% *}" || fail "$METIS_SOURCE could not be kept under $previous"
	printf '%s %s\n' "${sum%% *}" "$METIS_SOURCE" >>"$previous/index" || fail "$previous/index could not be written"
}

why_build_failed() {
	log=/var/lib/dkms/$module/$version/build/make.log
	[ -f "$log" ] || log=/var/lib/dkms/$module/$version/$1/$(uname -m)/log/make.log
	grep -m 1 -E 'error:|Error [0-9]|No space left' "$log" 2>/dev/null || printf 'see %s on the host' "$log"
}

install_for() {
	printf 'building %s %s for kernel %s\n' "$module" "$version" "$1"
	[ -f "/lib/modules/$1/build/Makefile" ] || fail "kernel $1 has no headers: install them, or boot a kernel that has"
	dkms install -m "$module" -v "$version" -k "$1"
	case $? in
	0 | 3) ;;
	10) fail "$module $version does not compile for kernel $1: $(why_build_failed "$1")" ;;
	21) fail "dkms finds no headers for kernel $1" ;;
	77) fail "$module $version is not meant for kernel $1, says its dkms.conf" ;;
	*) fail "$module $version could not be installed for kernel $1: $(why_build_failed "$1")" ;;
	esac
}

command -v dkms >/dev/null || fail "dkms is not installed"
[ -z "$METIS_UNPACK" ] || unpack
[ -d "/var/lib/dkms/$module/$version" ] || dkms add -m "$module" -v "$version" || fail "dkms does not accept $METIS_SOURCE"
failed=''
for kernel in $METIS_KERNELS; do
	(install_for "$kernel") || failed="$failed $kernel"
done
[ -z "$failed" ] || fail "no driver for:$failed"

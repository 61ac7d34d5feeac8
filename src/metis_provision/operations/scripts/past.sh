#!/bin/sh
# Sets aside what other tools and older hands left; runs as a detached step. Everything is kept before it goes.
#
# METIS_MODULE    name of the driver's module
# METIS_BUILDS    versions to take out of DKMS, separated by spaces
# METIS_KERNELS   kernels whose list of modules has to be made anew, separated by spaces
# METIS_PATHS     files and directories to keep and remove, one a line
set -u
umask 077

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard() {
	[ -z "$keeping" ] || rm -f "$keeping"
}
trap discard EXIT
trap 'exit 143' HUP INT TERM

check() {
	case $1 in
	*/../* | *'*'*) ;;
	/usr/src/metis-?* | /lib/modules/?*/metis.ko* | /etc/udev/rules.d/?*.rules) return ;;
	/etc/systemd/system/axelera*.service | /usr/lib/dracut/modules.d/?*/module-setup.sh) return ;;
	esac
	fail "$1 is none of the places where leftovers are: nothing was set aside"
}

take_out_of_dkms() {
	printf 'taking %s %s out of DKMS\n' "$METIS_MODULE" "$1"
	# Without its source dkms cannot remove a version, and what is left of it hinders every later kernel.
	dkms remove -m "$METIS_MODULE" -v "$1" --all || rm -rf "/var/lib/dkms/${METIS_MODULE:?}/${1:?}"
	[ ! -e "/var/lib/dkms/$METIS_MODULE/$1" ] || fail "dkms still has $METIS_MODULE $1"
}

while read -r path; do
	[ -z "$path" ] || check "$path"
done <<EOT
$METIS_PATHS
EOT
for version in $METIS_BUILDS; do
	take_out_of_dkms "$version"
done
while read -r path; do
	[ -z "$path" ] || set_aside "$path"
done <<EOT
$METIS_PATHS
EOT
for kernel in $METIS_KERNELS; do
	[ ! -d "/lib/modules/$kernel" ] || depmod "$kernel" || fail "depmod failed for kernel $kernel"
done
case $METIS_PATHS in
*/etc/udev/rules.d/*)
	if command -v udevadm >/dev/null && [ -S /run/udev/control ]; then
		udevadm control --reload || fail "udev did not read its rules again"
	fi
	;;
esac
case $METIS_PATHS in
*/etc/systemd/system/*) [ ! -d /run/systemd/system ] || systemctl daemon-reload || fail "systemd did not read its units again" ;;
esac

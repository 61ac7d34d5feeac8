#!/bin/sh
# Loads the driver's module and lets udev apply its rules to the card's nodes, and to nothing else.
#
# METIS_MODULE   module to load, empty if it is in memory
# METIS_TRIGGER  1 if existing nodes need their rules applied again
# METIS_CLASSES  device classes that hold only cards
set -u

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

if [ -n "${METIS_MODULE:=}" ]; then
	said=$(modprobe "$METIS_MODULE" 2>&1) || case $said in
	*'Key was rejected'*) fail "the kernel refused the module's signature: enrol the signing key, or see docs/secure-boot" ;;
	*) fail "module $METIS_MODULE could not be loaded: $said" ;;
	esac
fi
command -v udevadm >/dev/null && [ -S /run/udev/control ] || exit 0
if [ "${METIS_TRIGGER:-0}" = 1 ]; then
	for class in ${METIS_CLASSES:?}; do
		udevadm trigger --action=change --subsystem-match="$class" || fail "udev could not be asked about class $class"
	done
fi
udevadm settle --timeout=60 || fail "udev was still busy after a minute: see udevadm monitor"

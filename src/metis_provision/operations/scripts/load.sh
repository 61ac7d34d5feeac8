#!/bin/sh
# Loads the driver's module and lets udev apply its rules to the card's nodes, and to nothing else.
#
# METIS_MODULE   module to load, empty if it is in memory
# METIS_TRIGGER  what needs its rules applied again: addresses of cards, and dma_heap, separated by spaces
set -u

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

lock_host
if [ -n "${METIS_MODULE:=}" ]; then
	said=$(modprobe "$METIS_MODULE" 2>&1) || case $said in
	*'Key was rejected'*) fail "the kernel refused the module's signature: enrol the signing key, or see docs/secure-boot" ;;
	*) fail "module $METIS_MODULE could not be loaded: $said" ;;
	esac
fi
command -v udevadm >/dev/null && [ -S /run/udev/control ] || exit 0
for subject in ${METIS_TRIGGER:=}; do
	case $subject in
	dma_heap) udevadm trigger --action=change --subsystem-match=dma_heap ;;
	*) udevadm trigger --action=change --parent-match="/sys/bus/pci/devices/$subject" ;;
	esac || fail "udev could not be asked about $subject"
done
udevadm settle --timeout=60 || fail "udev was still busy after a minute: see udevadm monitor"

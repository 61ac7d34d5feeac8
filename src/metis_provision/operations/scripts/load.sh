#!/bin/sh
# Loads the driver's module and lets udev apply its rules to the card's nodes, and to nothing else.
#
# METIS_MODULE   module to load, empty if it is in memory
# METIS_RELOAD   module to take out of memory and load anew, empty for none
# METIS_TRIGGER  what needs its rules applied again: addresses of cards, and dma_heap, separated by spaces
set -u

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

load() {
	said=$(modprobe "$1" 2>&1) || case $said in
	*'Key was rejected'*) fail "the kernel refused the module's signature: enrol the signing key, see METIS-240 and docs/kernels" ;;
	*) fail "module $1 could not be loaded: $said" ;;
	esac
}

wait_for_turn() { # a program of ours may be asking the card: it holds this while it does
	[ -e /run/metis-provision/asking ] || return 0
	exec 8</run/metis-provision/asking
	flock -w 60 8 || fail "a program of ours has been asking a card for a minute: see axelera-watchdog on the host"
}

reload() { # the kernel itself refuses to let go of a module that somebody uses
	wait_for_turn
	said=$(modprobe -r "$1" 2>&1) ||
		fail "module $1 could not be taken out of memory, so the old one stays until the next boot: $said"
	load "$1"
	exec 8<&-
}

lock_host
[ -z "${METIS_MODULE:=}" ] || load "$METIS_MODULE"
[ -z "${METIS_RELOAD:=}" ] || reload "$METIS_RELOAD"
command -v udevadm >/dev/null && [ -S /run/udev/control ] || exit 0
for subject in ${METIS_TRIGGER:=}; do
	case $subject in
	dma_heap) udevadm trigger --action=change --subsystem-match=dma_heap ;;
	*) udevadm trigger --action=change --parent-match="/sys/bus/pci/devices/$subject" ;;
	esac || fail "udev could not be asked about $subject"
done
udevadm settle --timeout=60 || fail "udev was still busy after a minute: see udevadm monitor"

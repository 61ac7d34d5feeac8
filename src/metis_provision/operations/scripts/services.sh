#!/bin/sh
# Takes services out of the boot, puts others into it, and starts those that can run now.
#
# METIS_INIT    systemd or openrc
# METIS_REMOVE  names to stop and disable         METIS_ENABLE  names to enable
# METIS_START   names to start, or to start anew if they run; what lacks its card stays stopped
#
# A service that does not start is said, not refused: verification judges the host as a whole and names it.
set -u
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

say_failed() {
	printf 'metis-provision: %s did not start: %s\n' "$1" "$2"
}

can_run() {
	case $1 in
	axelera-rescan) /usr/lib/metis-provision/rescan --check >/dev/null 2>&1 ;;
	axelera-limits | axelera-watchdog) [ -e /dev/axelera0 ] ;;
	esac
}

with_systemd() {
	for service in ${METIS_REMOVE:=}; do
		said=$(systemctl disable --now "$service.service" 2>&1) || fail "$service could not be stopped and disabled: $said"
	done
	systemctl daemon-reload || fail "systemd did not read its units again"
	for service in ${METIS_ENABLE:=}; do
		said=$(systemctl reenable "$service.service" 2>&1) || fail "$service could not be enabled: $said"
	done
	for service in ${METIS_START:=}; do
		can_run "$service" || continue
		systemctl reset-failed "$service.service" 2>/dev/null
		systemctl restart "$service.service" 2>/dev/null ||
			say_failed "$service" "$(systemctl show -p Result --value "$service.service"), see journalctl -u $service"
	done
}

with_openrc() {
	for service in ${METIS_REMOVE:=}; do
		rc-service --ifstarted "$service" stop 9>&- || fail "$service could not be stopped"
		for level in /etc/runlevels/*/"$service"; do
			[ -h "$level" ] || continue
			level=${level%/*}
			said=$(rc-update delete "$service" "${level##*/}" 2>&1) || fail "$service could not be disabled: $said"
		done
	done
	for service in ${METIS_ENABLE:=}; do
		said=$(rc-update add "$service" default 2>&1) || fail "$service could not be enabled: $said"
	done
	for service in ${METIS_START:=}; do
		can_run "$service" || continue
		# A daemon keeps what it inherits, and this connection and the lock must end.
		said=$(rc-service "$service" restart 2>&1 </dev/null 9>&-) || say_failed "$service" "$said"
	done
}

lock_host
case ${METIS_INIT:?} in
systemd) with_systemd ;;
openrc) with_openrc ;;
*) fail "services cannot be set up under $METIS_INIT" ;;
esac

#!/bin/sh
# Runs a long step detached from the connection, or attaches to the same step if it still runs.
#
# METIS_JOB       name of the step
# METIS_KEY       what it does: a step that still runs is attached to only if its key is the same
# METIS_PROGRESS  sed script that picks the log lines worth showing
# standard input  the POSIX shell to run, its last line "# end"
set -u
umask 077
job=/run/metis-provision/jobs/${METIS_JOB:?}

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

start() {
	lock_host
	script=$(cat)
	case $script in
	*'
# end') ;;
	*) fail "the transfer was cut off: nothing was started" ;;
	esac
	: >"$job/log"
	printf '%s\n' "${METIS_KEY:?}" >"$job/key" || fail "$job could not be written: is /run full?"
	printf '%s\n' "$script" >"$job/script" || fail "$job could not be written: is /run full?"
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid sh -c '
		sh "$1/script" >"$1/log" 2>&1 </dev/null 8>&- 9>&-
		printf "%s\n" "$?" >"$1/status.new" && mv -f "$1/status.new" "$1/status"
	' sh "$job" >/dev/null 2>&1 </dev/null &
	exec 9>&-
}

attach() {
	running=$(cat "$job/key" 2>/dev/null)
	[ "$running" = "${METIS_KEY:?}" ] ||
		fail "a different $METIS_JOB step is still running on this host: wait for it to end, then run again"
	printf 'attaching to the %s step that is still running\n' "$METIS_JOB"
	cat >/dev/null
}

mkdir -p "$job" || fail "$job could not be created"
exec 8>"$job/lock"
if take_lock 8; then
	rm -f "$job/status" "$job/key"
	start
else
	attach
fi
exec 8>&-
follow "$job"

[ "$(cat "$job/key" 2>/dev/null)" = "$METIS_KEY" ] ||
	fail "another run started a different $METIS_JOB step meanwhile: wait for it to end, then run again"
[ -f "$job/status" ] || fail "the $METIS_JOB step was killed before it ended; its log is $job/log"
read -r status <"$job/status"
if [ "$status" -ne 0 ]; then
	tail -n 15 "$job/log" >&2
	printf 'metis-provision: the %s step ended with status %s; its log is %s on the host\n' "$METIS_JOB" "$status" "$job/log" >&2
fi
exit "$status"

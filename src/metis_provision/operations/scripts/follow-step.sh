#!/bin/sh
# Shows what a detached step writes to its log until it has ended; commands.py puts it before the scripts that follow one.

show_new_lines() { # job
	total=$(wc -l <"$1/log")
	[ "$total" -gt "$shown" ] || return 1
	sed -n "$((shown + 1)),${total}p" "$1/log" | sed -n "${METIS_PROGRESS:-p}"
	shown=$total
}

follow() { # job
	shown=0
	quiet=0
	while ! flock -n -s "$1/lock" true; do
		if show_new_lines "$1"; then quiet=0; else quiet=$((quiet + 1)); fi
		if [ "$quiet" -ge 15 ]; then
			printf '... the %s step is still working\n' "${1##*/}"
			quiet=0
		fi
		sleep 1
	done
	show_new_lines "$1" || :
}

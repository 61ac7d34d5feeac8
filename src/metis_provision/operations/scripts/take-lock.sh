#!/bin/sh
# The locks of whoever changes this host; commands.py puts it before the scripts that take one.

take_lock() { # descriptor: whoever works holds a lock alone; a survey that looks at it shares it for a moment
	while ! flock -n "$1"; do
		flock -n -s "$1" || return 1
	done
}

lock_host() { # kept as descriptor 9 while this shell lives, and what it starts with it
	(umask 077 && mkdir -p /run/metis-provision)
	exec 9>/run/metis-provision/lock
	take_lock 9 || {
		printf 'metis-provision: another run is changing this host: wait for it to end, then run again\n' >&2
		exit 1
	}
}

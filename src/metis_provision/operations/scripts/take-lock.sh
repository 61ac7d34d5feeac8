#!/bin/sh
# Takes the lock that whoever changes this host holds, and keeps it while this shell or what it starts lives.
mkdir -p /run/metis-provision
exec 9>/run/metis-provision/lock
while ! flock -n 9; do # a survey that looks at the lock shares it for a moment
	flock -n -s 9 || {
		echo 'metis-provision: another run is changing this host: wait for it to end, then run again' >&2
		exit 1
	}
done

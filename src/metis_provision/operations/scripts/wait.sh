#!/bin/sh
# Waits for the steps that an earlier run left running, and shows what they do; how they end is seen by looking again.
#
# METIS_PROGRESS  sed script that picks the log lines worth showing
set -u

for job in /run/metis-provision/jobs/*; do
	if [ ! -e "$job/lock" ] || flock -n -s "$job/lock" true; then continue; fi
	printf 'attaching to the %s step that is still running\n' "${job##*/}"
	follow "$job"
done

#!/bin/sh
# Apt for a step on a host: debian.py puts it before the calls of install_known and run_apt.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
lock_seconds=600
refused='^E: \(Could not get lock\|Unable to acquire the dpkg frontend lock\|Unable to lock\)'
holder='.*Could not get lock \(.*\)\. It is held by process \([0-9]* ([^)]*)\).*'

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

try_apt() { # output-file, apt-get's arguments
	output=$1
	shift
	rm -f "$output.status"
	# A pipe has its last command's status.
	{ apt-get -q -y -o DPkg::Lock::Timeout=5 -o Dpkg::Use-Pty=0 -o APT::Color=0 "$@" 2>&1 || : >"$output.status"; } |
		tee "$output"
	[ ! -e "$output.status" ]
}

run_apt() { # apt-get's arguments; apt by itself waits for some of its locks, and not for those of its lists
	said=$(mktemp -d) || fail "nothing can be written to ${TMPDIR:-/tmp}: is it full?"
	trap 'rm -rf "$said"' EXIT
	end=$(($(date +%s) + lock_seconds))
	until try_apt "$said/output" "$@"; do
		if ! grep -q "$refused" "$said/output"; then
			why=$(grep -m 1 'No space left on device' "$said/output" || grep -m 1 '^E: ' "$said/output")
			fail "apt-get failed: ${why#E: }"
		fi
		who=$(sed -n "s/$holder/process \\2, which holds \\1/p" "$said/output" | tail -n 1)
		[ "$(date +%s)" -lt "$end" ] || fail "the package manager is in use by ${who:-another process}," \
			"which did not end within $lock_seconds s: let it end, then run again"
		printf 'waiting for %s\n' "${who:-another process that has a lock of apt}"
		sleep 5
	done
}

install_known() { # packages; one that no repository has may be the headers of a kernel that is not the running one
	run_apt update
	for name; do
		shift
		if apt-cache show -- "$name" >/dev/null 2>&1; then
			set -- "$@" "$name"
		else
			printf 'metis-provision: no repository of this host has package %s\n' "$name"
		fi
	done
	[ $# -eq 0 ] || run_apt --no-install-recommends install -- "$@"
}

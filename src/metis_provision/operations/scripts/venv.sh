#!/bin/sh
# Makes a virtual environment with the runtime in it; runs as a detached step.
#
# METIS_DIRECTORY      where it will lie; what lies there without its mark was cut off
# METIS_PYTHON         the interpreter, by name
# METIS_INDEX          the index to fetch from, or empty if every wheel is handed over
# METIS_REQUIREMENTS   path of the requirements with hashes, or empty
# METIS_PAYLOADS       sha256, path and name of each file that was handed over, with tabs between them, one a line
# METIS_PINS           requirements with hashes, where they follow from the wheels
set -u
umask 022
directory=$METIS_DIRECTORY
mark=$directory/.metis-provision
wheels=''
tab=$(printf '\t')

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard() {
	[ -z "$wheels" ] || rm -rf "$wheels"
	[ -e "$mark" ] || rm -rf "$directory"
}
trap discard EXIT
trap 'exit 143' HUP INT TERM

take_payloads() { # every one is the pinned file, and has its own name again
	wheels=$(mktemp -d) || fail "nothing can be written to ${TMPDIR:-/tmp}"
	while IFS=$tab read -r sha256 path name; do
		[ -n "$sha256" ] || continue
		sum=$(sha256sum <"$path") || fail "$path cannot be read"
		[ "${sum%% *}" = "$sha256" ] || fail "$path is not the pinned payload: run again to send it anew"
		ln -s "$path" "$wheels/$name" || fail "nothing can be written to $wheels"
	done <<EOT
$METIS_PAYLOADS
EOT
}

check_python() {
	command -v "$METIS_PYTHON" >/dev/null || fail "there is no $METIS_PYTHON any more: run again to choose another"
	"$METIS_PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
		fail "$METIS_PYTHON cannot make virtual environments: install its venv and ensurepip modules"
}

take_payloads
check_python
rm -rf "${directory:?}"
mkdir -p "${directory%/*}" || fail "${directory%/*} could not be created"
printf 'making %s\n' "$directory"
"$METIS_PYTHON" -m venv "$directory" || fail "$directory could not be made: is ${directory%/*} full?"

requirements=$METIS_REQUIREMENTS
if [ -z "$requirements" ]; then
	requirements=$wheels/requirements.txt
	printf '%s\n' "$METIS_PINS" >"$requirements" || fail "nothing can be written to $wheels"
fi
set --
if [ -n "$METIS_INDEX" ]; then
	# Not on the command line, which everybody on the host can read: an index may have a password in its address.
	PIP_INDEX_URL=$METIS_INDEX
	export PIP_INDEX_URL
else
	set -- --no-index --find-links "$wheels"
fi
"$directory/bin/python" -m pip install --no-input --no-color --no-cache-dir --disable-pip-version-check \
	--progress-bar off --only-binary :all: --require-hashes "$@" -r "$requirements" ||
	fail "pip could not install the runtime: its reason is above; $directory was removed again"
for tool in axdevice axrunmodel; do
	[ -x "$directory/bin/$tool" ] || fail "axelera-rt brought no $tool: it is not the vendor's runtime"
done
printf '%s\n' "$METIS_PYTHON" >"$mark" || fail "$mark could not be written: is the disk full?"
sync "$mark" 2>/dev/null || sync

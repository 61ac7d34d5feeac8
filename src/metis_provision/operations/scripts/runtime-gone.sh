#!/bin/sh
# Removes runtimes and models that we put on the host and that are no longer wanted; runs as a detached step.
#
# METIS_DIRECTORIES   environments, one a line
# METIS_IMAGES        "engine reference" of each image, one a line
# METIS_PAYLOADS      digests of files that were handed over, as far as they are in the files' names; one a line
set -u
status=0

complain() {
	printf 'metis-provision: %s\n' "$*" >&2
	status=1
}

remove_directory() {
	case $1 in
	/opt/axelera/venv-*) ;;
	*) complain "$1 is no environment of ours and stays" && return ;;
	esac
	printf 'removing %s\n' "$1"
	rm -rf "$1" || complain "$1 could not be removed"
	rmdir /opt/axelera 2>/dev/null || : # another one is there
}

remove_image() { # engine, reference; an image of an engine that is gone is gone with it
	command -v "$1" >/dev/null && "$1" image inspect "$2" >/dev/null 2>&1 || return 0
	printf 'removing image %s\n' "$2"
	"$1" image rm "$2" || complain "$1 keeps the image $2, because somebody uses it: run again when nobody does"
}

while read -r directory; do
	[ -z "$directory" ] || remove_directory "$directory"
done <<EOT
$METIS_DIRECTORIES
EOT
while read -r engine reference; do
	[ -z "$engine" ] || remove_image "$engine" "$reference"
done <<EOT
$METIS_IMAGES
EOT
while read -r digest; do
	[ -z "$digest" ] || rm -f /var/cache/metis-provision/"$digest"-* || complain "the file $digest could not be removed"
done <<EOT
$METIS_PAYLOADS
EOT
exit "$status"

#!/bin/sh
# Gets the runtime's image into a container engine; runs as a detached step.
#
# METIS_ENGINE    podman or docker
# METIS_IMAGE     NAME@sha256:DIGEST to pull, or the id that the archive's image must have
# METIS_ARCHIVE   archive that was handed over, or empty
# METIS_SHA256    its pin
set -u
engine=$METIS_ENGINE

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

has_image() {
	"$engine" image inspect "$METIS_IMAGE" >/dev/null 2>&1
}

load() {
	sum=$(sha256sum <"$METIS_ARCHIVE") || fail "$METIS_ARCHIVE cannot be read"
	[ "${sum%% *}" = "$METIS_SHA256" ] || fail "$METIS_ARCHIVE is not the pinned payload: run again to send it anew"
	before=$("$engine" image ls --quiet --no-trunc)
	printf 'loading %s\n' "$METIS_ARCHIVE"
	loaded=$("$engine" load -i "$METIS_ARCHIVE") || fail "$engine could not load the image: its reason is above"
	printf '%s\n' "$loaded"
	if ! has_image; then
		name=$(printf '%s\n' "$loaded" | sed -n 's/^Loaded image\( ID\)\{0,1\}: *//p' | tail -n 1)
		held=$("$engine" image inspect --format '{{.Id}}' "$name" 2>/dev/null)
		case $before in
		*"${held:-unknown}"*) ;;
		*) [ -z "$name" ] || "$engine" image rm "$name" >/dev/null ;;
		esac
		fail "the archive holds image ${held:-of an unknown id}, and metis_runtime_image asks for $METIS_IMAGE:" \
			"correct whichever is wrong; the engine was left as it was"
	fi
	# It may be as large as the rest of the system, and the engine has it now.
	rm -f "$METIS_ARCHIVE"
}

pull() {
	printf 'pulling %s\n' "$METIS_IMAGE"
	"$engine" pull "$METIS_IMAGE" || fail "$engine could not pull $METIS_IMAGE: its reason is above"
	has_image || fail "$engine pulled something else than $METIS_IMAGE: see what the registry has under that digest"
}

command -v "$engine" >/dev/null || fail "$engine is not installed: install it, or set metis_runtime_engine"
"$engine" info >/dev/null || fail "$engine does not answer: start it, then run again"
has_image && exit 0
if [ -n "$METIS_ARCHIVE" ]; then load; else pull; fi

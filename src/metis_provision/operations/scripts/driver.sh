#!/bin/sh
# Builds the driver beside what the host has, and only what was built takes its place; runs as a detached step.
#
# METIS_MODULE, METIS_VERSION, METIS_SOURCE   what and where below /usr/src
# METIS_UNPACK                                1 if the tree must be unpacked from the payload
# METIS_PAYLOAD, METIS_SHA256, METIS_CONF     tarball, its pin, and dkms.conf in base64
# METIS_KERNELS, METIS_RUNNING                releases to install for, separated by spaces; the one in memory
# METIS_STRAYS                                modules that DKMS did not put there and that would be in its way, one a line
#
# A new tree is built in a DKMS tree of its own. Unless it compiles for the running kernel and for every other that has
# a driver, nothing of the host is changed. Its mark is written last: a run that was cut off is done again.
set -u
umask 022
module=$METIS_MODULE
version=$METIS_VERSION
dkms=/var/lib/dkms
fresh=''
stage=''
said=''

fail() {
	printf 'metis-provision: %s\n' "$*" >&2
	exit 1
}

discard() {
	[ -z "$fresh" ] || rm -rf "$fresh"
	[ -z "$stage" ] || rm -rf "$stage"
	[ -z "$keeping" ] || rm -f "$keeping"
	[ -z "$said" ] || rm -f "$said"
}
trap discard EXIT
trap 'exit 143' HUP INT TERM

wait_for_orphans() { # what dkms started goes on when the step that started it was killed
	exec 7>/run/metis-provision/dkms.lock
	flock -n 7 || {
		printf 'waiting for a build that an earlier run left\n'
		flock 7
	}
	rm -rf /usr/src/.metis-?????? $dkms/.metis-??????
}

run_dkms() {
	dkms "$@" >"$said" 2>&1 </dev/null
	status=$?
	cat "$said"
	return "$status"
}

in_tree() { # dkms's arguments: in the tree that is built in
	if [ -n "$METIS_UNPACK" ]; then set -- "$@" --dkmstree "$stage" --sourcetree "$fresh"; fi
	run_dkms "$@" -m "$module" -v "$version"
}

unpack() {
	sum=$(sha256sum <"$METIS_PAYLOAD") || fail "$METIS_PAYLOAD cannot be read: run again to send it anew"
	[ "${sum%% *}" = "$METIS_SHA256" ] || fail "$METIS_PAYLOAD is not the pinned payload: run again to send it anew"
	fresh=$(mktemp -d /usr/src/.metis-XXXXXX) || fail "nothing can be written to /usr/src: is it full or read-only? $unchanged"
	stage=$(mktemp -d $dkms/.metis-XXXXXX) || fail "nothing can be written to $dkms: is it full or read-only? $unchanged"
	tree=$fresh/$module-$version
	{ mkdir "$tree" && tar -x -o -z -f "$METIS_PAYLOAD" -C "$tree" --strip-components=1; } ||
		fail "$METIS_PAYLOAD could not be unpacked: is /usr full? $unchanged"
	[ -f "$tree/driver/Makefile" ] || fail "$METIS_PAYLOAD holds no driver/Makefile: it is not the driver's source"
	{ printf '%s' "$METIS_CONF" | base64 -d >"$tree/dkms.conf" && printf 'unfinished\n' >"$tree/.payload-sha256"; } ||
		fail "/usr/src could not be written: is /usr full? $unchanged"
}

first_error() { # log: the line that says most
	grep -h -m 1 'No space left on device' "$said" "$1" 2>/dev/null ||
		grep -h -m 1 -E '(^|: )(fatal )?error:|^ERROR: modpost|Read-only file system' "$1" "$said" 2>/dev/null ||
		grep -h -m 1 -E 'Error [0-9]+|[Ee]rror[!:]' "$1" "$said" 2>/dev/null || tail -n 1 "$said"
}

forget_empty() { # kernel: a power cut leaves files empty; dkms looks into none, and keeps those as the original module
	for file in "$dkms/$module/$version/$1"/*/module/"$module".ko*; do
		[ ! -f "$file" ] || [ -s "$file" ] || rm -rf "$dkms/${module:?}/${version:?}/${1:?}"
	done
	find "/lib/modules/$1" -name "$module.ko*" -size 0 -exec rm -f {} +
}

build_for() { # kernel; otherwise why says why it could not be
	printf 'building %s %s for kernel %s\n' "$module" "$version" "$1"
	why="kernel $1 has no headers: install them, or boot a kernel that has"
	[ -f "/lib/modules/$1/build/Makefile" ] || return 1
	forget_empty "$1"
	in_tree build -k "$1" && return 0
	log=${stage:-$dkms}/$module/$version/build/make.log
	case $status in
	3) return 0 ;;
	10) why="$module $version does not compile for kernel $1: $(first_error "$log")" ;;
	21) why="dkms finds no headers for kernel $1" ;;
	77) why="$module $version is not meant for kernel $1, says its dkms.conf" ;;
	*) why="$module $version could not be built for kernel $1 (dkms ended with status $status): $(first_error "$log")" ;;
	esac
	[ ! -f "$log" ] || {
		tail -n 40 "$log"
		[ -z "$stage" ] || cp "$log" "$stage/failed.log"
	}
	return 1
}

has_driver() { # kernel
	[ -n "$(find "/lib/modules/$1" -name "$module.ko*" 2>/dev/null | head -n 1)" ]
}

build_for_all() {
	built=''
	for kernel in $METIS_KERNELS; do
		if build_for "$kernel"; then
			built="$built $kernel"
		elif [ "$kernel" = "$METIS_RUNNING" ] || { [ -n "$METIS_UNPACK" ] && has_driver "$kernel"; }; then
			fail "$why; $unchanged"
		else
			printf 'metis-provision: %s; it has no driver of this version\n' "$why"
		fi
	done
}

put_in_place() { # from here on a run that is cut off leaves a mark that asks for another
	[ ! -d "$METIS_SOURCE" ] || keep "$METIS_SOURCE"
	{ rm -rf "${METIS_SOURCE:?}" && mv "$fresh/$module-$version" "$METIS_SOURCE"; } ||
		fail "$METIS_SOURCE could not be put in place: run again"
	keep_other_builds
	{
		mkdir -p "$dkms/$module" && rm -rf "$dkms/${module:?}/${version:?}" &&
			mv "$stage/$module/$version" "$dkms/$module/$version" &&
			ln -sfn "$METIS_SOURCE" "$dkms/$module/$version/source"
	} || fail "$dkms/$module could not be written: run again"
	# What reads DKMS's tree finds the log of a build that failed where DKMS leaves it.
	[ ! -f "$stage/failed.log" ] || {
		mkdir -p "$dkms/$module/$version/build" && cp "$stage/failed.log" "$dkms/$module/$version/build/make.log"
	}
}

keep_other_builds() { # of kernels that nothing can be built for any more: theirs is the only driver they will have
	for other in "$dkms/$module/$version"/*; do
		case ${other##*/} in
		source | build | '*') continue ;;
		esac
		[ -e "$stage/$module/$version/${other##*/}" ] || mv "$other" "$stage/$module/$version/" ||
			fail "$other could not be moved: run again"
	done
}

install_for() { # kernel; dkms has been seen to end well without having installed anything
	while read -r stray; do
		case $stray in
		"/lib/modules/$1/"*) set_aside "$stray" ;;
		esac
	done <<EOT
$METIS_STRAYS
EOT
	run_dkms install --force -m "$module" -v "$version" -k "$1" ||
		fail "$module $version could not be installed for kernel $1 (dkms ended with status $status): $(first_error /dev/null); run again"
	{ dkms status -m "$module" -v "$version" -k "$1" | grep -q ': installed' && has_driver "$1"; } ||
		fail "dkms ended without an error, but $module $version is not installed for kernel $1: see dkms status"
}

command -v dkms >/dev/null || fail "dkms is not installed"
unchanged='nothing was changed'
{ read -r loaded <"/sys/module/$module/version"; } 2>/dev/null && unchanged="$unchanged, $module $loaded stays in memory and on disk"
mkdir -p $dkms || fail "$dkms could not be created: is /var full or read-only? $unchanged"
said=$(mktemp /run/metis-provision/dkms-XXXXXX) || fail "nothing can be written to /run/metis-provision: is /run full?"
wait_for_orphans
[ -z "$METIS_UNPACK" ] || unpack
[ -d "${stage:-$dkms}/$module/$version" ] || in_tree add || fail "dkms does not accept $METIS_SOURCE: $(first_error /dev/null)"
build_for_all
[ -z "$METIS_UNPACK" ] || put_in_place
for kernel in $built; do
	install_for "$kernel"
done
[ -z "$METIS_UNPACK" ] || {
	sync
	printf '%s\n' "$METIS_SHA256" >"$METIS_SOURCE/.payload-sha256" || fail "$METIS_SOURCE could not be written: is /usr full?"
}
sync

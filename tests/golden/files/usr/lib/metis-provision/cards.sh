# shellcheck shell=sh
# Managed by metis-provision: changes made here are replaced by the next run.
# Finds cards, their nodes, links and holders, and asks them how they are; sourced by the programs that need it.
# Before that they set root: empty on a host, in a test a tree in the place of /sys, /proc and /dev.
# shellcheck disable=SC2034 # the variables in capitals are what the functions answer with
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin
export LC_ALL PATH
: "${root:=}"
wanted_clock=800
wanted_mvm=100

first_line() { # file: FIRST
	FIRST=''
	{ IFS= read -r FIRST <"$1"; } 2>/dev/null
	[ -n "$FIRST" ]
}

is_bdf() {
	case $1 in
	*[0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f].[0-7]) return 0 ;;
	esac
	return 1
}

kind_of() { # directory of a PCI function: KIND is card, unstarted or other
	first_line "$1/vendor"
	kind_ids=$FIRST
	first_line "$1/device"
	kind_ids=$kind_ids:$FIRST
	first_line "$1/class"
	KIND=other
	case $kind_ids in
	0x1f9d:0x1100) KIND=card ;;
	0x1f9d:0x11aa) KIND=card ;;
	0x1234:0x2023) KIND=card ;;
	0x1234:0x2024) KIND=card ;;
	0x1234:0x2025) KIND=card ;;
	0x1f0f:0x0001) case $FIRST in 0x1200*) KIND=card ;; esac ;;
	0x1e81:*) case $FIRST in 0x1200*) KIND=card ;; esac ;;
	# Also the id of many boards' own ports: a bridge is never a card.
	0x16c3:0xabcd) case $FIRST in 0x0604* | 0x0609*) ;; *) KIND=unstarted ;; esac ;;
	esac
}

list_cards() { # prints the address of every card, and of what a card shows until its firmware starts
	for list_device in "$root"/sys/bus/pci/devices/*; do
		kind_of "$list_device"
		[ "$KIND" = other ] || printf '%s\n' "${list_device##*/}"
	done
}

list_nodes() { # prints axelera0, axelera1, ... as far as they lead to a device
	for list_link in "$root"/dev/axelera[0-9]*; do
		[ -c "$list_link" ] && printf '%s\n' "${list_link##*/}"
	done
}

device_numbers() { # path: NUMBERS is MAJOR:MINOR of the device it leads to, in hexadecimal
	NUMBERS=$(stat -L -c '%t:%T' "$1" 2>/dev/null)
	[ -n "$NUMBERS" ]
}

card_of() { # path of a node: BDF of the card behind it, empty if the kernel names none
	BDF=''
	device_numbers "$1" || return 1
	card_up=$(cd -P "$root/sys/dev/char/$((0x${NUMBERS%%:*})):$((0x${NUMBERS##*:}))/device" 2>/dev/null && pwd)
	while [ -n "$card_up" ]; do
		if is_bdf "${card_up##*/}"; then
			kind_of "$card_up"
			[ "$KIND" = card ] || return 1
			BDF=${card_up##*/}
			return 0
		fi
		card_up=${card_up%/*}
	done
	return 1
}

nodes_of() { # BDF: prints the path of every node that belongs to it
	for nodes_link in "$root"/sys/bus/pci/devices/"$1"/*/*/dev; do
		[ -r "$nodes_link" ] || continue
		while IFS='=' read -r nodes_key nodes_value; do
			[ "$nodes_key" != DEVNAME ] || printf '%s\n' "$root/dev/${nodes_value#/dev/}"
		done 2>/dev/null <"${nodes_link%/dev}/uevent"
	done
}

list_holders() { # device numbers in hexadecimal: prints the process id of everybody who has it open
	# Only the names of descriptors are read, and only those asked further that may be a card's: nothing is opened.
	# shellcheck disable=SC2012 # find has no portable way to print where a link leads
	# A second directory, because ls gives no heading to one alone.
	ls -ln "$root"/proc/[0-9]*/fd "$root"/proc/self/fd 2>/dev/null | awk '
		/\/proc\/[0-9]+\/fd:$/ { directory = substr($0, 1, length($0) - 1); next }
		/\/fd:$/ { directory = "" }
		directory == "" || !/ -> .*\/dev\// || / -> .*\/dev\/(null|zero|full|u?random|console|kmsg|ptmx|fuse|tty[^\/]*|(pts|shm|input)\/.*)$/ { next }
		{ sub(/ -> .*/, ""); print directory "/" $NF }' | while read -r holder_path; do
		[ "$(stat -L -c '%F %t:%T' "$holder_path" 2>/dev/null)" = "character special file $1" ] || continue
		holder_path=${holder_path#"$root/proc/"}
		printf '%s\n' "${holder_path%%/*}"
	done | sort -u -n
}

holder_of() { # path of a node: HOLDER is a process that has it open, with its name; false if there is none
	HOLDER=''
	device_numbers "$1" || return 1
	holder_pid=$(list_holders "$NUMBERS" | head -n 1)
	[ -n "$holder_pid" ] || return 1
	first_line "$root/proc/$holder_pid/comm"
	HOLDER="$holder_pid (${FIRST:-gone})"
}

reads_ff() { # BDF: its configuration space reads 0xff: it has left the bus
	[ "$(od -An -v -tx1 -N 4 "$root/sys/bus/pci/devices/$1/config" 2>/dev/null | tr -d ' ')" = ffffffff ]
}

firmware_of() { # BDF: FIRMWARE is up, down or unknown, by the driver's last word
	case $(dmesg 2>/dev/null | grep -E "axl $1: .*(vmsi configured|vmsi not available)" | tail -n 1) in
	*'vmsi configured'*) FIRMWARE=up ;;
	*'vmsi not available'*) FIRMWARE=down ;;
	*) FIRMWARE=unknown ;;
	esac
}

link_of() { # BDF: SPEED in GT/s and WIDTH in lanes
	SPEED=unknown
	WIDTH=unknown
	first_line "$root/sys/bus/pci/devices/$1/current_link_speed" && SPEED=${FIRST%% *}
	first_line "$root/sys/bus/pci/devices/$1/current_link_width" && WIDTH=$FIRST
	return 0
}

driver_version() { # VERSION of the driver in memory
	VERSION=unknown
	first_line "$root/sys/module/metis/version" || first_line "$root/sys/class/metis/version"
	[ -z "$FIRST" ] || VERSION=$FIRST
}

take_turn() { # waits until nobody of ours asks a card; false if that takes longer than a minute
	turn=$root/run/metis-provision/asking
	# Somebody who may not write there asks without: only root's programs come round by themselves.
	if ! command -v flock >/dev/null 2>&1 || ! (mkdir -p "${turn%/*}" && : >>"$turn") 2>/dev/null; then return 0; fi
	exec 9>>"$turn"
	turn_left=60
	while ! flock -n 9; do
		[ "$turn_left" -gt 0 ] || return 1
		turn_left=$((turn_left - 1))
		sleep 1
	done
}

end_turn() {
	exec 9>&-
}

ask() { # seconds, command...: what it prints, cut off after a while; nothing if it is not installed
	ask_seconds=$1
	shift
	command -v "$1" >/dev/null 2>&1 || return 127
	timeout "$ask_seconds" "$@" 2>&1 </dev/null
}

ask_until() { # seconds, expression of sed, command...: what the first line with it has in its group, which ends the command
	until_seconds=$1
	until_wanted=$2
	shift 2
	command -v "$1" >/dev/null 2>&1 || return 127
	{
		# The shell becomes timeout, so that its process is known, and the group that it makes for the command.
		sh -c 'echo "$$" && exec timeout "$@"' sh "$until_seconds" "$@" 2>&1 </dev/null | {
			read -r until_process
			until_found=$(sed -n "/$until_wanted/{s/.*$until_wanted.*/\\1/p;q;}")
			if [ -n "$until_found" ]; then
				printf '%s\n' "$until_found"
				# To all of the group: a timeout that has not yet noted what it started ends without it (coreutils 9.1).
				# That of busybox makes none and becomes the command itself.
				kill -s TERM -- "-$until_process" || kill "$until_process"
			fi
		}
	} 2>/dev/null
}

alias_of() { # BDF: ALIAS is the node's name with colons, as the runtime prints it
	alias_rest=${1#*:}
	alias_slot=${alias_rest#*:}
	ALIAS=$(printf 'metis-%x:%x:%x' "0x${1%%:*}" "0x${alias_rest%%:*}" "0x${alias_slot%%.*}")
}

ask_clock() { # index, BDF: CLOCK in MHz, MVM in percent, CARD_FIRMWARE, and STATE silent if the card does not answer
	alias_of "$2"
	ask_line=$(ask 20 axdevice --device "$1" | grep -F "$ALIAS " | head -n 1)
	case $ask_line in
	*'not responding'*) STATE=silent ;;
	esac
	CLOCK=$(printf '%s\n' "$ask_line" | sed -n 's/.*[ (]clock=\([0-9]*\)MHz.*/\1/p')
	MVM=$(printf '%s\n' "$ask_line" | sed -n 's/.* mvm=[0-9-]*:\([0-9]*\)%.*/\1/p')
	CARD_FIRMWARE=$(printf '%s\n' "$ask_line" | sed -n "s/.* f[lw]*ver='*\([^' ]*\).*/\1/p")
}

ask_temperatures() { # index: BOARD_TEMP and CORE_TEMPS in degrees Celsius
	# It tells of the first card only, and may hold it and print for as long as it is let.
	if [ "$(list_nodes | wc -l)" -eq 1 ]; then
		ask_temps=$(ask_until 5 'core_temps=\[\([0-9.-]*,[0-9.,-]*\)\]' axlogdevice --slog-level inf:collector --slog)
		if [ -n "$ask_temps" ]; then
			BOARD_TEMP=${ask_temps%%,*}
			CORE_TEMPS=${ask_temps#*,}
		fi
	fi
	[ -n "$BOARD_TEMP" ] ||
		BOARD_TEMP=$(ask 10 axcmd --board-temp | sed -n "s/^ *$1: .* = \([0-9.-]*\) *$/\1/p" | head -n 1)
}

any_held() { # some card is held: a tool that opens them all must wait
	for held_node in $(list_nodes); do
		holder_of "$root/dev/$held_node" && return 0
	done
	return 1
}

is_throttled() { # THROTTLED is yes if clock or MVM run below what they were set to
	THROTTLED=unknown
	[ -n "$CLOCK" ] || return 0
	THROTTLED=no
	if [ "$CLOCK" -lt "$wanted_clock" ] || [ "${MVM:-$wanted_mvm}" -lt "$wanted_mvm" ]; then THROTTLED=yes; fi
}

look_at() { # name of a node: everything above; a busy card is not asked, it serves one process at a time
	STATE=free
	SPEED=unknown WIDTH=unknown CLOCK='' MVM='' CARD_FIRMWARE='' BOARD_TEMP='' CORE_TEMPS='' HOLDER='' FIRMWARE=unknown
	driver_version
	if card_of "$root/dev/$1"; then
		link_of "$BDF"
		firmware_of "$BDF"
		if reads_ff "$BDF"; then STATE=off-bus; fi
	fi
	if ! take_turn; then
		STATE=busy
		HOLDER='unknown (another look at the cards)'
	elif holder_of "$root/dev/$1"; then
		STATE=busy
	elif [ -n "$BDF" ] && [ "$STATE" = free ]; then
		look_index=${1#axelera}
		ask_clock "$look_index" "$BDF"
		any_held || [ "$STATE" != free ] || ask_temperatures "$look_index"
		HOLDER=''
	fi
	end_turn
	is_throttled
}

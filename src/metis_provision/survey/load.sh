# Keeps the cards at work and looks at their links meanwhile; part of script.sh where that section is asked for.

list_cards() { # CARDS: BDF of every card, each after a space
    CARDS=''
    for see_device in "$ROOT"/sys/bus/pci/devices/*; do
        read_ids "$see_device" || continue
        ! is_ours "$VENDOR" "$DEVICE" "$CLASS" || CARDS="$CARDS ${see_device##*/}"
    done
}

list_path() { # BDF: PATH_TO is it and every bridge above it
    PATH_TO=''
    real_directory "$ROOT/sys/bus/pci/devices/$1" || return 0
    while is_bdf "${REAL##*/}"; do
        PATH_TO="$PATH_TO ${REAL##*/}"
        REAL=${REAL%/*}
    done
}

link_status_at() { # BDF: OFFSET of the Link Status register in its configuration space, empty if only root may know
    # shellcheck disable=SC2046 # decimal numbers
    set -- $(od -An -v -tu1 -N 256 "$ROOT/sys/bus/pci/devices/$1/config" 2>/dev/null)
    OFFSET=''
    [ $# -eq 256 ] || return 0
    shift 52
    see_pointer=$1
    shift 12
    # 64 bytes are gone: the list of capabilities lies behind them, and goes round in a broken one.
    see_hops=0
    while [ "$see_pointer" -ge 64 ] && [ "$see_pointer" -lt 236 ] && [ "$see_hops" -lt 48 ]; do
        eval "CAPABILITY=\${$((see_pointer - 63))}"
        if [ "$CAPABILITY" = 16 ]; then
            OFFSET=$((see_pointer + 18))
            return 0
        fi
        eval "see_pointer=\${$((see_pointer - 62))}"
        see_hops=$((see_hops + 1))
    done
}

see_sample() { # seconds since the begin; LAST holds what was seen last of each function: only changes are told
    for see_watched in $WATCHED; do
        see_bdf=${see_watched%%,*}
        see_at=${see_watched#*,}
        see_directory=$ROOT/sys/bus/pci/devices/$see_bdf
        see_speed=''
        see_width=''
        first_line "$see_directory/current_link_speed" && see_speed=$FIRST
        first_line "$see_directory/current_link_width" && see_width=$FIRST
        see_register=''
        if [ -n "$see_at" ]; then
            join_words_of "$(od -An -v -tu2 -j "$see_at" -N 2 "$see_directory/config" 2>/dev/null)"
            see_register=$JOINED
        fi
        see_now="$see_bdf|$see_speed|$see_width|$see_register"
        case $LAST in *";$see_now;"*) continue ;; esac
        # Of what is remembered, the entry of this function is replaced.
        see_kept=';'
        see_rest=${LAST#;}
        while [ -n "$see_rest" ]; do
            see_entry=${see_rest%%;*}
            see_rest=${see_rest#*;}
            case $see_entry in "$see_bdf|"*) ;; *) see_kept="$see_kept$see_entry;" ;; esac
        done
        LAST="$see_kept$see_now;"
        put link_seen "$1" "$see_bdf" "$see_speed" "$see_width" "$see_register"
    done
}

join_words_of() { # text: JOINED without the space around it
    # shellcheck disable=SC2086
    join_words $1
}

watch_links() { # process whose end ends the watch, seconds at most, seconds between two looks
    watch_count=0
    watch_left=$2
    read_clock
    watch_began=$CLOCK
    while kill -0 "$1" 2>/dev/null && [ "$watch_left" -gt 0 ]; do
        read_clock
        see_sample $(((CLOCK - watch_began) / 100))
        watch_count=$((watch_count + 1))
        watch_left=$((watch_left - $3))
        sleep "$3"
    done
    read_clock
    see_sample $(((CLOCK - watch_began) / 100))
    put looks "$((watch_count + 1))" "$3"
}

see_error_counters() { # before or after: what the ports above the cards have counted; the cards' own are masked by the driver
    for see_watched in $WATCHED; do
        see_bdf=${see_watched%%,*}
        for see_kind in correctable nonfatal fatal; do
            see_total=$(sed -n 's/^TOTAL_ERR_[A-Z]* //p' "$ROOT/sys/bus/pci/devices/$see_bdf/aer_dev_$see_kind" 2>/dev/null)
            [ -z "$see_total" ] || put errors "$1" "$see_bdf" "$see_kind" "$see_total"
        done
    done
}

see_clocks() { # before or after
    call_tool 60 axdevice
    put_words clocks "$1"
}

section_load() {
    [ -n "$METIS_MODEL" ] && [ -n "$METIS_LOAD_SECONDS" ] || return 0
    wait_for_turn
    # shellcheck disable=SC2086 # the plan's options are words of our own
    may_run axrunmodel "$METIS_MODEL" $METIS_CORES --seconds "$METIS_LOAD_SECONDS" || return 0
    list_cards
    WATCHED=''
    for see_card in $CARDS; do
        list_path "$see_card"
        for see_function in $PATH_TO; do
            case $WATCHED in *"$see_function,"*) continue ;; esac
            link_status_at "$see_function"
            WATCHED="$WATCHED $see_function,$OFFSET"
        done
    done
    LAST=';'
    see_clocks before
    see_temperatures before
    see_error_counters before
    count_interrupts before
    see_most=$((METIS_LOAD_SECONDS + 60))
    # The watch ends with a process, not by a trap: bash 5.2 loses a signal that comes while it reads a substitution.
    sleep "$see_most" >/dev/null 2>&1 &
    see_work=$!
    watch_links "$see_work" "$see_most" "$((METIS_LOAD_SECONDS / 600 + 1))" &
    see_watcher=$!
    # shellcheck disable=SC2086
    call_tool "$see_most" axrunmodel "$METIS_MODEL" $METIS_CORES --seconds "$METIS_LOAD_SECONDS"
    # A shell may say of a process that a signal ended it.
    { kill "$see_work" && wait "$see_work"; } 2>/dev/null
    wait "$see_watcher"
    put_words output
    put exit "$STATUS"
    count_interrupts after
    see_error_counters after
    see_temperatures after
    see_clocks after
}


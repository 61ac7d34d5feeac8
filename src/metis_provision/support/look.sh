#!/bin/sh
# Looks at what the survey leaves out: the kernel's log around the card, PCI detail, versions. Changes nothing.
# Output: "## name" begins a part, its lines begin with a space; "## end" is the last line.
# METIS_VENDORS: PCI vendors of cards, four hexadecimal digits each. METIS_ROOT: where the host's tree is, for tests.
ROOT=${METIS_ROOT:-}
export LC_ALL=C

part() { printf '## %s\n' "$1"; }
lines() { sed 's/^/ /'; }
there() { command -v "$1" >/dev/null 2>&1; }
limited() {
    if there timeout; then timeout 20 "$@"; else "$@"; fi
}

# The cards and every bridge above them, each once.
cards() {
    for device in "$ROOT"/sys/bus/pci/devices/*; do
        [ -r "$device/vendor" ] || continue
        read -r vendor <"$device/vendor"
        read -r class <"$device/class"
        case " $METIS_VENDORS " in
            *" ${vendor#0x} "*) ;;
            *) case $class in 0x1200*) ;; *) continue ;; esac ;;
        esac
        readlink -f "$device" | tr / '\n' | grep -E '^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$'
    done | sort -u
}

part names
{
    uname -n | sed 's/^/host /'
    there hostname && hostname -f 2>/dev/null | sed 's/^/host /'
    while IFS=: read -r name _ uid _; do
        case $uid in *[!0-9]* | '') continue ;; esac
        [ "$uid" -ge 1000 ] && [ "$uid" -lt 65000 ] && printf 'user %s\n' "$name"
    done <"$ROOT/etc/passwd"
} 2>/dev/null | lines

part kernel-log
{
    limited dmesg 2>/dev/null || { there journalctl && limited journalctl -k -b --no-pager -o short-monotonic; }
} 2>&1 | grep -E -i -B 3 -A 8 'axl |metis|axlaipu|pcieport|AER:|dma_heap|iommu|vfio-pci' | tail -n 1500 | lines

part pci
cards | while read -r bdf; do
    device=$ROOT/sys/bus/pci/devices/$bdf
    printf '%s\n' "$bdf"
    there lspci && limited lspci -D -nn -vvv -s "$bdf" 2>&1
    for attribute in "$device"/vendor "$device"/device "$device"/class "$device"/*_link_* "$device"/aer_* \
        "$device"/resource "$device"/power/control "$device"/d3cold_allowed "$device"/enable; do
        [ -r "$attribute" ] && sed "s|^|${attribute##*/}: |" "$attribute" 2>/dev/null
    done
    [ -e "$device/driver" ] && printf 'driver: %s\n' "$(readlink -f "$device/driver")"
    printf '\n'
done | lines

part interrupts
grep -E -i 'CPU|axl|metis' "$ROOT/proc/interrupts" 2>/dev/null | lines

part versions
{
    uname -a
    cat "$ROOT/etc/os-release" "$ROOT/etc/rpi-issue" 2>/dev/null
    printf 'command line: '
    cat "$ROOT/proc/cmdline" 2>/dev/null
    there modinfo && modinfo metis 2>&1
    there dkms && limited dkms status 2>&1
    for tool in systemctl udevadm dracut; do there "$tool" && limited "$tool" --version 2>&1 | head -n 1; done
    packages='metis|axelera|voyager|dkms|linux-image|linux-headers|kernel-core|kernel-devel|initramfs|dracut|mkinitcpio'
    if there dpkg-query; then
        # shellcheck disable=SC2016 # dpkg's own variables
        dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
    elif there rpm; then
        rpm -qa
    elif there pacman; then
        pacman -Q
    elif there apk; then
        apk info -v
    fi 2>/dev/null | grep -E "$packages" | sort
} | lines
printf '## end\n'

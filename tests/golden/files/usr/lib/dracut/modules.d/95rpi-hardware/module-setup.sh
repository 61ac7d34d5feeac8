#!/bin/bash
# Managed by metis-provision: changes made here are replaced by the next run.
# What early user space needs of an accelerator's board: driver, device-tree overlays, udev rules.

check() {
    local machine
    for machine in aarch64; do
        [[ $machine != "${DRACUT_ARCH:-$(uname -m)}" ]] || return 0
    done
    return 1
}

depends() {
    echo bash
}

installkernel() {
    local kind name _
    while read -r kind name _; do
        # Wanted on this host whether or not the module is in memory while the image is made.
        [[ $kind != module ]] || hostonly='' instmods "$name"
    done < <(/usr/lib/metis-provision/initramfs-inputs "${kernel:?}")
    return 0
}

install() {
    local kind one two
    while read -r kind one two; do
        case $kind in
            file) inst_simple "$one" "$two" ;;
            inputs) inst_simple /usr/lib/metis-provision/initramfs-inputs "/usr/lib/metis-provision/inputs-$one" ;;
        esac
    done < <(/usr/lib/metis-provision/initramfs-inputs "${kernel:?}")
    return 0
}

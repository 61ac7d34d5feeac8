"""The disk of a Raspberry Pi twin: Debian 13 for arm64 with its stock kernel, booted the way a Raspberry Pi is."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

from metis_provision.lab.apt import AptSetup, local_certificates, read_apt_setup
from metis_provision.lab.boot_partition import make_disk
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import Recipe, obtain
from metis_provision.lab.image import CUSTOMIZE_SCRIPT, MAX_AGE, PACKAGES, RELEASE, configure_apt, packages
from metis_provision.lab.raspberry import COMMAND_LINE, CONFIG, OVERLAYS
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

DISK_SIZE = 8192
"""MiB, sparse."""
_OTHERS = {"linux-image-amd64": "linux-image-arm64", "initramfs-tools": "dracut"}
TWIN_PACKAGES = tuple(_OTHERS.get(package, package) for package in PACKAGES)
DRIVERS = "virtio_mmio virtio_blk ext4 qemu_fw_cfg"

# Instead of raspi-firmware, which is for Raspberry Pi's own kernels and in non-free-firmware.
BOOT_HOOK = """\
#!/bin/sh
# Puts a kernel and its initramfs where the firmware loads them from, as raspi-firmware does on a Raspberry Pi.
set -e
mountpoint -q /boot/firmware || exit 0
for pair in vmlinuz-$1:kernel_2712.img initrd.img-$1:initramfs_2712; do
    [ -f "/boot/${pair%%:*}" ] || continue
    cp "/boot/${pair%%:*}" "/boot/firmware/${pair#*:}.new"
    sync /boot/firmware
    mv "/boot/firmware/${pair#*:}.new" "/boot/firmware/${pair#*:}"
done
"""

# An initramfs for the machine this is, as MODULES=dep makes for the PC; fw_cfg brings name and keys.
DRACUT_CONF = f"""\
hostonly="yes"
add_drivers+=" {DRIVERS} "
omit_dracutmodules+=" plymouth crypt lvm mdraid dmraid multipath nfs iscsi network bluetooth tpm2-tss "
"""

TWIN_SCRIPT = rf"""
{CUSTOMIZE_SCRIPT.strip()}
echo 'LABEL=bootfs /boot/firmware vfat defaults 0 2' >> "$root/etc/fstab"
mkdir -p "$root/boot/firmware" "$root/etc/dracut.conf.d" "$root/etc/initramfs/post-update.d"
cat > "$root/etc/kernel/postinst.d/zz-boot-firmware" << 'END'
{BOOT_HOOK}END
chmod 0755 "$root/etc/kernel/postinst.d/zz-boot-firmware"
ln -s ../../kernel/postinst.d/zz-boot-firmware "$root/etc/initramfs/post-update.d/zz-boot-firmware"
cat > "$root/etc/dracut.conf.d/machine.conf" << 'END'
{DRACUT_CONF}END
release=$(basename "$root"/lib/modules/*)
chroot "$root" dracut --quiet --force --no-hostonly --kver "$release" --add-drivers '{DRIVERS}' \
    --drivers '{DRIVERS}' "/boot/initrd.img-$release"
"""


def twin_recipe(setup: AptSetup, certificates: dict[str, str]) -> Recipe:
    """Return everything the image depends on but the archive's state; ``certificates`` maps names to PEM texts."""
    return {
        "architecture": "arm64",
        "release": RELEASE,
        "packages": packages(TWIN_PACKAGES, setup),
        "sources": setup.sources(RELEASE),
        "options": setup.guest_options(),
        "certificates": certificates if setup.uses_tls else {},
        "scripts": [TWIN_SCRIPT],
        "boot": [CONFIG, COMMAND_LINE, OVERLAYS],
        "size": DISK_SIZE,
        "layout": 1,
    }


def twin_image() -> Path:
    """Return the cached entry with ``disk.raw`` and ``root.packages``; UserError if it cannot be built."""
    setup = read_apt_setup()
    certificates = {path.name: path.read_text() for path in local_certificates()}
    recipe = twin_recipe(setup, certificates)
    return obtain("images", recipe, lambda directory: _build(directory, setup, certificates), max_age=MAX_AGE)


def _build(directory: Path, setup: AptSetup, certificates: dict[str, str]) -> None:
    root, boot = directory / "root", directory / "boot"
    command = mmdebstrap_command(
        RELEASE,
        root,
        architecture="arm64",
        variant="minbase",
        packages=packages(TWIN_PACKAGES, setup),
        sources=setup.sources(RELEASE),
        apt_options=setup.options,
        customize=TWIN_SCRIPT,
    )
    # Each initramfs made by package scripts takes minutes under emulation, and the last step makes the one that counts.
    bootstrap(["env", "INITRD=No", *command], "the Raspberry Pi twin's image")
    configure_apt(root, setup.guest_options(), certificates if setup.uses_tls else {})
    _fill_boot(root, boot)
    make_disk(directory / "disk.raw", root, boot, DISK_SIZE)
    shutil.rmtree(root)
    shutil.rmtree(boot)


def _fill_boot(root: Path, boot: Path) -> None:
    """Write what the firmware reads into the tree ``boot``."""
    (boot / "overlays").mkdir(parents=True)
    (boot / "config.txt").write_text(CONFIG)
    (boot / "cmdline.txt").write_text(COMMAND_LINE)
    for kind, name in (("vmlinuz", "kernel_2712.img"), ("initrd.img", "initramfs_2712")):
        (image,) = (root / "boot").glob(f"{kind}-*")
        shutil.copyfile(image, boot / name)
    for name, source in OVERLAYS.items():
        command = ["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", str(boot / f"overlays/{name}.dtbo")]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"dtc cannot make the overlay {name}: {done.stderr.strip()}", ExitCode.FAILED)

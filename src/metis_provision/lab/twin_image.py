"""The disk of a Raspberry Pi twin: Debian 13 for arm64 with its stock kernel, booted the way a Raspberry Pi is."""

from __future__ import annotations

import logging
import lzma
import shutil
import subprocess
from collections.abc import Sequence
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
TWIN_PACKAGES = (*(_OTHERS.get(package, package) for package in PACKAGES), "busybox-static")

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

# Later initramfs are dracut's, made in the guest for the machine it finds; fw_cfg brings name and keys, and nobody
# gains from the best compression of a file that is read once under emulation.
DRACUT_CONF = """\
hostonly="yes"
compress="zstd -3 -q"
add_drivers+=" virtio_mmio virtio_blk ext4 qemu_fw_cfg "
omit_dracutmodules+=" plymouth crypt lvm mdraid dmraid multipath nfs iscsi network bluetooth tpm2-tss "
"""

# The first one is ours: dracut takes longer under user-mode emulation than everything else of the image.
FIRST_MODULES = ("crc32c_generic", "virtio_mmio", "virtio_blk", "ext4")
"""ext4 asks for crc32c by name, which modules.dep does not know."""
FIRST_INIT = """\
#!/bin/busybox sh
# Finds the root file system and hands over to it.
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in /modules/*; do
    /bin/busybox insmod "$module"
done
until root=$(/bin/busybox findfs LABEL=root 2>/dev/null); do
    /bin/busybox sleep 1
done
/bin/busybox mount -t ext4 "$root" /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
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
        "scripts": [TWIN_SCRIPT, FIRST_INIT, FIRST_MODULES],
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
    # Or the kernel's scripts would call dracut.
    bootstrap(["env", "INITRD=No", *command], "the image of a Raspberry Pi twin")
    configure_apt(root, setup.guest_options(), certificates if setup.uses_tls else {})
    _make_first_initramfs(root, directory / "initramfs")
    _fill_boot(root, boot)
    make_disk(directory / "disk.raw", root, boot, DISK_SIZE)
    for tree in (root, boot, directory / "initramfs"):
        shutil.rmtree(tree)


def _make_first_initramfs(root: Path, tree: Path) -> None:
    """Write the initramfs of the root's kernel beside it in /boot; ``tree`` is where its files are gathered."""
    (kernel,) = (root / "lib/modules").iterdir()
    for directory in ("bin", "dev", "proc", "root", "modules"):
        (tree / directory).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin/busybox")
    (tree / "init").write_text(FIRST_INIT)
    (tree / "init").chmod(0o755)
    dependencies = (kernel / "modules.dep").read_text()
    for number, path in enumerate(load_order(dependencies, FIRST_MODULES)):
        module = lzma.decompress((kernel / path).read_bytes())
        (tree / f"modules/{number:02}-{Path(path).stem}").write_bytes(module)
    image = root / f"boot/initrd.img-{kernel.name}"
    pack = ["sh", "-c", 'find . | busybox cpio -o -H newc >"$1"', "sh", str(image)]
    done = subprocess.run(pack, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"busybox cannot pack {image}: {done.stderr.strip()}", ExitCode.FAILED)


def load_order(dependencies: str, wanted: Sequence[str]) -> list[str]:
    """Return the files of ``wanted`` modules as modules.dep(5) has them, in the order to load them in.

    UserError naming one that is not there.
    """
    needs = dict(line.split(":", 1) for line in dependencies.splitlines())
    names = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    for name in wanted:
        if name not in names:
            raise UserError(f"The twin's kernel has no module {name}.", ExitCode.FAILED)
    # The file lists all that a module needs, what is to be loaded first last.
    order = [path for name in wanted for path in (*reversed(needs[names[name]].split()), names[name])]
    return list(dict.fromkeys(order))


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

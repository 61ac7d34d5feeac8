"""Debian 13 roots with a real initramfs generator and unpacked kernels, for tests that build images and look inside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from metis_provision.lab.apt import read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, obtain

RELEASE = "trixie"
COMMON = ("cpio", "kmod", "udev", "zstd")
GENERATORS = {"dracut": ("dracut", "systemd", "libpam-systemd"), "initramfs-tools": ("initramfs-tools",)}
"""What brings each generator, by its name."""

# The kernel's package is unpacked without its scripts: it is the deploy that must see to the image. Whole classes of
# drivers are left out, because images take them in and tests wait for that; the module named metis is just any module.
KERNELS_SCRIPT = r"""
set -eu
root=$1
package=$(APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-cache depends --important linux-image-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
(cd "$root/tmp" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download "$package")
dpkg-deb -x "$root/tmp/$package"_*.deb "$root"
rm "$root/tmp/$package"_*.deb
modules=$(echo "$root"/lib/modules/*)
kernel=${modules##*/}
for left_out in gpu media net/wireless net/ethernet infiniband scsi staging usb iio hwmon; do
    rm -rf "$modules/kernel/drivers/$left_out"
done
rm -rf "$modules/kernel/sound" "$modules/kernel/net"
mkdir -p "$modules/updates/dkms"
cp "$modules/kernel/drivers/net/dummy.ko.xz" "$modules/updates/dkms/metis.ko.xz"
cp -a "$modules" "${modules}-second"
for release in "$kernel" "$kernel-second"; do
    chroot "$root" depmod "$release"
done
for name in vmlinuz config; do
    cp "$root/boot/$name-$kernel" "$root/boot/$name-$kernel-second"
done
"""


def missing() -> list[str]:
    """What this machine lacks for such a root."""
    tools = [tool for tool in ("mmdebstrap", "unshare", "chroot", "dpkg-deb") if shutil.which(tool) is None]
    return tools if os.geteuid() == 0 else ["root", *tools]


def initramfs_root(generator: str) -> Path:
    """The root with that generator, from the cache or built by mmdebstrap."""
    recipe = {"release": RELEASE, "packages": COMMON + GENERATORS[generator], "kernels": KERNELS_SCRIPT, "layout": 1}
    return obtain("roots", recipe, lambda directory: _build(directory, generator), max_age=30 * DAY) / "root"


def _build(directory: Path, generator: str) -> None:
    setup = read_apt_setup()
    command = mmdebstrap_command(
        RELEASE,
        directory / "root",
        variant="minbase",
        packages=(*COMMON, *GENERATORS[generator]),
        sources=setup.sources(RELEASE),
        apt_options=setup.options,
        customize=KERNELS_SCRIPT,
    )
    bootstrap(command, f"the {generator} root")

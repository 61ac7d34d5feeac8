"""The hooks for mkinitcpio and mkinitfs, which Debian does not package, run by stubs of what their manuals describe."""

from __future__ import annotations

from pathlib import Path

import initramfs_root
import pytest
from test_initramfs import OVERLAY, RULE, Root, ours

from metis_provision.desired import initramfs

pytestmark = pytest.mark.container

# mkinitcpio(8), "ABOUT BUILD HOOKS": build() of each hook runs with these functions and KERNELVERSION.
MKINITCPIO = r"""#!/bin/bash
set -e
[[ $1 == -p ]]
shopt -s nullglob
. "/etc/mkinitcpio.d/$2.preset"
. /etc/mkinitcpio.conf
for part in /etc/mkinitcpio.conf.d/*.conf; do . "$part"; done
KERNELVERSION=$ALL_kver
BUILDROOT=$(mktemp -d)
add_file() { install -D -m "${3:-644}" "$1" "$BUILDROOT${2:-$1}"; }
add_module() { add_file "$(modinfo -k "$KERNELVERSION" -n "$1")"; }
for hook in "${HOOKS[@]}"; do
    . "/etc/initcpio/install/$hook"
    [[ -n $(help) ]]
    build
done
[[ ! -e /broken ]] || { echo "==> ERROR: No space left on device"; : > "$default_image"; exit 1; }
(cd "$BUILDROOT" && find . -mindepth 1 -printf '%P\n' | cpio --quiet -o -H newc) > "$default_image"
"""

# mkinitfs(1) and mkinitfs-features(5): *.modules hold globs below the kernel's modules, *.files globs of the host.
MKINITFS = r"""#!/bin/bash
set -e
[[ $1 == -o ]]
shopt -s nullglob
. /etc/mkinitfs/mkinitfs.conf
for feature in $features; do
    while read -r glob; do printf '%s\n' /lib/modules/"$3"/$glob; done < "/etc/mkinitfs/features.d/$feature.modules"
    while read -r glob; do printf '%s\n' $glob; done < "/etc/mkinitfs/features.d/$feature.files"
done | while read -r path; do [[ ! -e $path ]] || echo "${path#/}"; done |
    (cd / && cpio --quiet -o -H newc) | gzip > "$2"
[[ ! -e /broken ]] || exit 1
"""


def install(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


@pytest.fixture
def base(tmp_path: Path) -> Root:
    """A host with one kernel, an overlay, and no generator yet."""
    if lacking := initramfs_root.missing():
        pytest.skip(f"needs {', '.join(lacking)}")
    root = Root.copy_of(initramfs_root.initramfs_root("initramfs-tools"), tmp_path, "mkinitcpio")
    (root.path / "etc/kernel/postinst.d/initramfs-tools").unlink()
    kernel = root.kernels[0]
    install(root.path, "/running", f"{kernel}\n")
    install(root.path, OVERLAY, "overlay")
    return root


@pytest.fixture
def mkinitcpio(base: Root) -> Root:
    """An Arch-like host."""
    kernel = base.kernels[0]
    install(base.path, "/usr/bin/mkinitcpio", MKINITCPIO, 0o755)
    install(base.path, "/usr/bin/lsinitcpio", '#!/bin/sh\ncpio --quiet -it <"$1"\n', 0o755)
    install(base.path, "/usr/share/libalpm/hooks/90-mkinitcpio-install.hook", "")
    install(base.path, f"/lib/modules/{kernel}/pkgbase", "linux\n")
    preset = f'ALL_kver="{kernel}"\nPRESETS=(default)\ndefault_image="/boot/initramfs-linux.img"\n'
    install(base.path, "/etc/mkinitcpio.d/linux.preset", preset)
    install(base.path, "/etc/mkinitcpio.conf", "HOOKS=()\n")
    install(base.path, "/boot/initramfs-linux.img", "the image in use")
    return base


@pytest.fixture
def mkinitfs(base: Root) -> Root:
    """An Alpine-like host."""
    flavour = base.kernels[0].rpartition("-")[2]
    base.generator = "mkinitfs"
    install(base.path, "/usr/sbin/mkinitfs", MKINITFS, 0o755)
    install(base.path, "/etc/mkinitfs/mkinitfs.conf", 'features="base"\n')
    install(base.path, "/etc/mkinitfs/features.d/base.modules", "kernel/drivers/net/dummy.ko*\n")
    install(base.path, "/etc/mkinitfs/features.d/base.files", "/etc/hostname\n")
    install(base.path, f"/boot/initramfs-{flavour}", "the image in use")
    return base


def listing(root: Root, image: str, unpack: str) -> str:
    return root.inside(f"{unpack} /boot/{image} | cpio --quiet -it")


def test_mkinitcpio_takes_everything_in_once_and_out_again(mkinitcpio: Root) -> None:
    kernel, image = mkinitcpio.kernels[0], "initramfs-linux.img"
    said = mkinitcpio.deploy("driver")
    assert said.endswith("status 0"), said
    found = ours(listing(mkinitcpio, image, "cat"))
    module = f"lib/modules/{kernel}/updates/dkms/metis.ko.xz"
    assert set(found) == {module, RULE, OVERLAY, "usr/lib/metis-provision/inputs"}
    assert "building" not in mkinitcpio.deploy("driver")
    said = mkinitcpio.deploy("none")
    assert said.endswith("status 0"), said
    assert ours(listing(mkinitcpio, image, "cat")) == []
    assert not [path for path in initramfs.PATHS if (mkinitcpio.path / path.lstrip("/")).exists()]


def test_a_failed_mkinitcpio_gives_the_old_image_back(mkinitcpio: Root) -> None:
    install(mkinitcpio.path, "/broken", "")
    said = mkinitcpio.deploy("driver")
    assert said.endswith("status 1"), said
    assert "mkinitcpio could not build the image" in said
    assert "No space left on device" in said
    assert (mkinitcpio.path / "boot/initramfs-linux.img").read_text() == "the image in use"
    assert not list((mkinitcpio.path / "boot").glob("*metis-old"))


def test_mkinitfs_takes_driver_and_overlays_in_once_and_out_again(mkinitfs: Root) -> None:
    kernel = mkinitfs.kernels[0]
    image = f"initramfs-{kernel.rpartition('-')[2]}"
    said = mkinitfs.deploy("driver")
    assert said.endswith("status 0"), said
    conf = mkinitfs.path / "etc/mkinitfs/mkinitfs.conf"
    assert conf.read_text() == 'features="base"\nfeatures="$features rpi-hardware"\n'
    found = ours(listing(mkinitfs, image, "gzip -dc"))
    module = f"lib/modules/{kernel}/updates/dkms/metis.ko.xz"
    assert set(found) == {module, OVERLAY, "usr/lib/metis-provision/initramfs/inputs"}
    assert "building" not in mkinitfs.deploy("driver")
    said = mkinitfs.deploy("none")
    assert said.endswith("status 0"), said
    assert ours(listing(mkinitfs, image, "gzip -dc")) == []
    assert conf.read_text() == 'features="base"\n'


def test_a_failed_mkinitfs_leaves_the_old_image(mkinitfs: Root) -> None:
    install(mkinitfs.path, "/broken", "")
    said = mkinitfs.deploy("driver")
    assert said.endswith("status 1"), said
    assert "mkinitfs could not build the image" in said
    assert [path.read_text() for path in (mkinitfs.path / "boot").glob("initramfs-*")] == ["the image in use"]

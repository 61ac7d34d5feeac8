"""What a Raspberry Pi twin's image is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_provision.lab.apt import AptSetup
from metis_provision.lab.cache import recipe_key
from metis_provision.lab.image import image_recipe
from metis_provision.lab.twin_image import (
    BOOT_HOOK,
    FIRST_INIT,
    FIRST_MODULES,
    TWIN_PACKAGES,
    TWIN_SCRIPT,
    load_order,
    twin_recipe,
)
from metis_provision.model.errors import UserError

PLAIN = AptSetup("http://mirror.example/debian", "http://mirror.example/debian-security", ())
DEPENDENCIES = """\
kernel/fs/mbcache.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz
kernel/drivers/block/virtio-blk.ko.xz:
"""


def test_nothing_of_what_a_deploy_installs_is_in_it():
    forbidden = {"dkms", "gcc", "make", "pciutils", "linux-headers-arm64", "linux-image-amd64", "initramfs-tools"}
    assert forbidden.isdisjoint(TWIN_PACKAGES)
    assert {"linux-image-arm64", "dracut"} <= set(TWIN_PACKAGES)


def test_it_is_another_entry_of_the_cache_than_the_pcs():
    assert recipe_key(twin_recipe(PLAIN, {})) != recipe_key(image_recipe(PLAIN, {}))


def test_modules_come_after_what_they_need_and_once():
    order = [Path(path).name for path in load_order(DEPENDENCIES, ["virtio_blk", "ext4", "jbd2"])]
    assert order[0] == "virtio-blk.ko.xz"
    assert sorted(order) == sorted(set(order))
    assert order.index("crc16.ko.xz") < order.index("jbd2.ko.xz") < order.index("ext4.ko.xz")
    assert order.index("mbcache.ko.xz") < order.index("ext4.ko.xz")


def test_a_kernel_without_a_module_is_told():
    with pytest.raises(UserError, match="kernel has no module virtio_mmio"):
        load_order(DEPENDENCIES, FIRST_MODULES[1:])


@pytest.mark.parametrize("script", [TWIN_SCRIPT, BOOT_HOOK, FIRST_INIT])
def test_shellcheck_is_content(script, shellcheck):
    assert shellcheck("--shell=sh", text=script) == ""

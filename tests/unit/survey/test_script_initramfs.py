"""Which tool makes a host's images, which file is loaded with each kernel, and what the script says of it."""

from __future__ import annotations

import pytest
from conftest import HostTree

from metis_provision.model.survey import Generator, ImageItem

INPUTS = "/usr/lib/metis-provision/initramfs-inputs"
KERNEL = "6.12.63+deb13-amd64"
PI, OLDER_PI = "6.12.62+rpt-rpi-2712", "6.12.25+rpt-rpi-2712"
TOOLS = ("update-initramfs", "dracut", "mkinitcpio", "mkinitfs")


def install(host: HostTree, *releases: str, running: str = KERNEL) -> None:
    host.file("/proc/sys/kernel/osrelease", f"{running}\n")
    for release in releases or (running,):
        host.file(f"/lib/modules/{release}/modules.builtin")


def images(host: HostTree) -> dict[str, str]:
    state = host.survey("initramfs").initramfs
    assert state is not None
    return {image.kernel: image.path for image in state.images}


@pytest.mark.parametrize(
    ("callers", "tools", "generator"),
    [
        ((), TOOLS, None),
        (("/etc/kernel/postinst.d/initramfs-tools",), TOOLS, Generator.INITRAMFS_TOOLS),
        (("/etc/kernel/postinst.d/dracut",), TOOLS, Generator.DRACUT),
        # Removed and not purged: the caller stays, the tool is gone.
        (("/etc/kernel/postinst.d/initramfs-tools", "/etc/kernel/postinst.d/dracut"), ("dracut",), Generator.DRACUT),
        (("/etc/kernel/postinst.d/dracut",), ("update-initramfs",), None),
        (("/usr/lib/kernel/install.d/50-dracut.install",), ("dracut",), Generator.DRACUT),
        (("/usr/share/libalpm/hooks/90-mkinitcpio-install.hook",), ("mkinitcpio", "dracut"), Generator.MKINITCPIO),
        (("/etc/mkinitfs/mkinitfs.conf",), ("mkinitfs",), Generator.MKINITFS),
    ],
)
def test_the_generator_is_the_one_that_is_called(host: HostTree, callers, tools, generator):
    for caller in callers:
        host.file(caller)
    for tool in tools:
        host.stub(tool, "exit 0")
    state = host.survey("initramfs").initramfs
    assert state is not None
    assert state.generator == generator


def test_kernel_install_says_whom_it_calls(host: HostTree):
    host.file("/usr/lib/kernel/install.d/50-dracut.install")
    host.file("/etc/kernel/install.conf", "layout=bls\ninitrd_generator=mkinitcpio\n")
    for tool in TOOLS:
        host.stub(tool, "exit 0")
    assert host.survey("initramfs").initramfs.generator == Generator.MKINITCPIO


@pytest.mark.parametrize(
    ("release", "path"),
    [
        (KERNEL, f"/boot/initrd.img-{KERNEL}"),
        ("6.16.7-200.fc42.x86_64", "/boot/initramfs-6.16.7-200.fc42.x86_64.img"),
        ("6.16.7-200.fc42.x86_64", "/boot/efi/0123abcd/6.16.7-200.fc42.x86_64/initrd"),
        ("6.18.32-0-lts", "/boot/initramfs-lts"),
    ],
)
def test_images_are_found_where_distributions_put_them(host: HostTree, release, path):
    install(host, running=release)
    assert images(host) == {}
    host.file(path, "image")
    assert images(host) == {release: path}


def test_an_arch_kernel_names_its_package(host: HostTree):
    install(host, running="6.11.6-arch1-1")
    host.file("/lib/modules/6.11.6-arch1-1/pkgbase", "linux\n")
    host.file("/boot/initramfs-linux.img", "image")
    assert images(host) == {"6.11.6-arch1-1": "/boot/initramfs-linux.img"}


def test_leftovers_of_a_removed_kernel_have_no_image(host: HostTree):
    install(host)
    host.file("/lib/modules/5.10.0-old/updates/dkms/metis.ko")
    host.file("/boot/initrd.img-5.10.0-old", "image")
    assert images(host) == {}


@pytest.mark.parametrize(
    ("config", "loaded"),
    [
        ("auto_initramfs=1\n", "initramfs_2712"),
        ("auto_initramfs=1\r\n[all]\r\n", "initramfs_2712"),
        ("[pi5]\ninitramfs early.img followkernel\n[all]\n", "early.img"),
        ("auto_initramfs=1\n[pi4]\nauto_initramfs=0\n", "initramfs_2712"),
        ("[pi4]\nauto_initramfs=1\n", None),
        ("auto_initramfs=1\nauto_initramfs=0", None),
        ("# auto_initramfs=1\n", None),
    ],
)
def test_the_firmware_of_a_pi_loads_what_config_txt_names(host: HostTree, config, loaded):
    install(host, running=PI)
    host.file("/boot/firmware/config.txt", config)
    for name in ("initramfs_2712", "early.img", "initramfs8"):
        host.file(f"/boot/firmware/{name}", "image")
    host.file(f"/boot/initrd.img-{PI}", "image")
    assert images(host) == ({PI: f"/boot/firmware/{loaded}"} if loaded else {})


def test_one_copy_on_the_boot_partition_is_the_running_kernels(host: HostTree):
    install(host, PI, OLDER_PI, running=PI)
    host.file("/boot/firmware/config.txt", "auto_initramfs=1\n")
    host.file("/boot/firmware/initramfs_2712", "the newer image")
    host.file(f"/boot/initrd.img-{PI}", "the newer image")
    host.file(f"/boot/initrd.img-{OLDER_PI}", "older")
    assert images(host) == {PI: "/boot/firmware/initramfs_2712", OLDER_PI: f"/boot/initrd.img-{OLDER_PI}"}


def test_an_image_is_current_when_its_record_is_that_of_the_host(host: HostTree):
    install(host)
    image = host.file(f"/boot/initrd.img-{KERNEL}", "image")
    record = f"/var/lib/metis-provision/initramfs/{KERNEL}"

    def found():
        (only,) = host.survey("initramfs").initramfs.images
        return only

    identity = f"5 {int(image.stat().st_mtime)}"
    assert (found().identity, found().inputs, found().record, found().current) == (identity, None, None, False)
    host.file(INPUTS, "#!/bin/sh\necho 'module metis /lib/x'\necho inputs d1-$1\n", mode=0o755)
    assert found().inputs == f"d1-{KERNEL}"
    host.file(record, f"d1-{KERNEL} {identity}\n")
    assert found().current
    host.file(record, "- -\n")
    assert found().record == ("-", "-")
    assert not found().current


def test_images_are_looked_into_by_the_hosts_own_program(host: HostTree):
    install(host)
    host.file(f"/boot/initrd.img-{KERNEL}", "image")
    assert host.survey("images").image_items == ()
    host.file(INPUTS, '#!/bin/sh\n[ -f "$2" ] && echo holds metis && echo lacks inputs d1\necho noise\n', mode=0o755)
    assert host.survey("images").image_items == (
        ImageItem(KERNEL, "metis", held=True),
        ImageItem(KERNEL, "inputs d1", held=False),
    )
    host.file(INPUTS, "#!/bin/sh\necho unreadable\n", mode=0o755)
    assert host.survey("images").image_items == (ImageItem(KERNEL, "", held=None),)


@pytest.mark.parametrize("status", [1, 124], ids=["failed", "cut off"])
def test_an_image_whose_listing_ended_early_is_one_that_could_not_be_listed(host: HostTree, status: int):
    install(host)
    host.file(f"/boot/initrd.img-{KERNEL}", "image")
    host.file(INPUTS, f"#!/bin/sh\nexit {status}\n", mode=0o755)
    assert host.survey("images").image_items == (ImageItem(KERNEL, "", held=None),)

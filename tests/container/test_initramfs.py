"""The deploy on roots with a real dracut and a real initramfs-tools; their own tools list what is in the images."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import initramfs_root
import pytest

from metis_provision.desired import initramfs

pytestmark = pytest.mark.container

PROJECT = Path(__file__).resolve().parents[2]
RULE = "etc/udev/rules.d/99-axelera.rules"
OVERLAY = "boot/firmware/overlays/exaviz-cruiser.dtbo"
LIST = {"dracut": "lsinitrd", "initramfs-tools": "lsinitramfs"}
LIST_MODES = {"dracut": "lsinitrd", "initramfs-tools": "lsinitramfs -l"}
BUILD = {"dracut": "dracut --force --kver {0} /boot/initrd.img-{0}", "initramfs-tools": "update-initramfs -c -k {0}"}

# Images as small as these tools make them: what is left out is not what these tests are about.
CONFIGURE = {
    "dracut": (
        "etc/dracut.conf.d/small.conf",
        'compress="cat"\nomit_dracutmodules+=" crypt dm i18n kernel-modules kernel-modules-extra lvm mdraid qemu '
        'systemd systemd-initrd systemd-udevd dracut-systemd resume rootfs-block terminfo dbus "\n',
    ),
    "initramfs-tools": ("etc/initramfs-tools/conf.d/small", "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n"),
}

# A mount namespace of our own: nothing stays mounted, whatever ends the test.
INSIDE = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind "$1/running" "$1/proc/sys/kernel/osrelease"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
if [ -n "$BOOT_SIZE" ]; then
    mount --bind "$1/boot" "$1/mnt"
    mount -t tmpfs -o "size=$BOOT_SIZE" tmpfs "$1/boot"
    cp -a "$1/mnt/." "$1/boot/"
fi
shift
exec "$@"
"""


@dataclass
class Root:
    """A copy of a root that a test may change."""

    path: Path
    generator: str
    inventory: Path

    @classmethod
    def copy_of(cls, root: Path, base: Path, generator: str) -> Root:
        """A copy of ``root`` below ``base``."""
        subprocess.run(["cp", "-a", str(root), str(base / "root")], check=True)
        return cls(base / "root", generator, base / "inventory.py")

    @property
    def kernels(self) -> list[str]:
        return sorted(path.name for path in (self.path / "lib/modules").iterdir())

    def image(self, kernel: str) -> Path:
        return self.path / f"boot/initrd.img-{kernel}"

    def isolated(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", INSIDE, "sh", str(self.path), *command],
            cwd=PROJECT,
            env={**os.environ, "BOOT_SIZE": "", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def inside(self, script: str) -> str:
        done = self.isolated("chroot", str(self.path), "sh", "-c", script, PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def listing(self, kernel: str) -> str:
        return self.inside(f"{LIST[self.generator]} /boot/initrd.img-{kernel}")

    def command(self, choice: str) -> list[str]:
        """The deploy as pyinfra's command line."""
        data = {"metis_cards": 0, "metis_driver": "none", "metis_initramfs": choice}
        data |= {"metis_service_users": [], "metis_runtime_overlays": ["exaviz-cruiser"]}
        self.inventory.write_text(f"hosts = [({f'@chroot/{self.path}'!r}, {data!r})]\n")
        return [str(Path(sys.executable).with_name("pyinfra")), str(self.inventory), "deploys/metis.py", "-y"]

    def deploy(self, choice: str) -> str:
        """Run the deploy and return what it printed; the last line is its exit status."""
        done = self.isolated(*self.command(choice))
        return f"{done.stdout}{done.stderr}\nstatus {done.returncode}"


@pytest.fixture(scope="module", params=list(LIST))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root as its distribution leaves it: an image for each kernel, and overlays as a board's image has them."""
    if lacking := initramfs_root.missing():
        pytest.skip(f"needs {', '.join(lacking)}")
    base = tmp_path_factory.mktemp(request.param)
    root = Root.copy_of(initramfs_root.initramfs_root(request.param), base, request.param)
    configuration, text = CONFIGURE[root.generator]
    (root.path / configuration).write_text(text)
    (root.path / "running").write_text(f"{root.kernels[0]}\n")
    (root.path / OVERLAY).parent.mkdir(parents=True)
    (root.path / OVERLAY).write_bytes(b"\xd0\x0d\xfe\xed")
    for kernel in root.kernels:
        root.inside(BUILD[root.generator].format(kernel))
    return root


@pytest.fixture
def root(built: Root, tmp_path: Path) -> Root:
    """A fresh copy of it."""
    return Root.copy_of(built.path, tmp_path, built.generator)


@pytest.fixture
def provisioned(root: Root) -> Root:
    """One whose images hold the driver."""
    said = root.deploy("driver")
    assert said.endswith("status 0"), said
    return root


def ours(listing: str) -> list[str]:
    """The last words of the lines that name something of ours, without what they are marked with."""
    names = (line.split(" -> ")[0].split()[-1] for line in listing.splitlines() if line.strip())
    pattern = re.compile(r"/metis\.ko|99-axelera\.rules|\.dtbo|metis-provision/")
    return [re.sub(r"inputs-[0-9a-f]{64}", "inputs", name) for name in names if pattern.search(name)]


def test_driver_rules_and_overlays_are_in_the_image_of_every_kernel_and_stay_there(provisioned: Root) -> None:
    for kernel in provisioned.kernels:
        found = ours(provisioned.listing(kernel))
        assert [re.sub(r"^usr/|\.xz$", "", name) for name in found if "metis.ko" in name] == [
            f"lib/modules/{kernel}/updates/dkms/metis.ko"
        ]
        assert {RULE, OVERLAY, "usr/lib/metis-provision/inputs"} <= set(found)
    before = {kernel: provisioned.image(kernel).stat() for kernel in provisioned.kernels}
    again = provisioned.deploy("driver")
    assert again.endswith("status 0"), again
    assert "building" not in again
    assert {kernel: provisioned.image(kernel).stat() for kernel in provisioned.kernels} == before
    assert not list((provisioned.path / "boot").glob("*metis*"))


def test_only_the_image_whose_module_changed_is_built_anew_and_what_others_built_is_only_looked_into(
    provisioned: Root,
) -> None:
    first, second = provisioned.kernels
    module = provisioned.path / f"lib/modules/{first}/updates/dkms/metis.ko.xz"
    shutil.copy(provisioned.path / f"lib/modules/{first}/kernel/drivers/net/veth.ko.xz", module)
    # As after any package that asks for a new image: the hook is there, so the image is right.
    os.utime(provisioned.image(second), (1, 1))
    before = provisioned.image(second).read_bytes()
    said = provisioned.deploy("driver")
    assert said.endswith("status 0"), said
    assert f"building the initramfs of {first} with" in said
    assert f"building the initramfs of {second} with" not in said
    assert f"the initramfs of {second} holds what it must" in said
    assert provisioned.image(second).read_bytes() == before


def modes(root: Root, kernel: str) -> set[tuple[str, str]]:
    """Mode and name of everything in an image."""
    listed = root.inside(f"{LIST_MODES[root.generator]} /boot/initrd.img-{kernel}").splitlines()
    return {(line.split()[0], line.split()[8]) for line in listed if re.match(r"[dl-][rwxst-]{9} ", line)}


def test_switched_off_every_image_is_what_it_was_before(built: Root, provisioned: Root) -> None:
    said = provisioned.deploy("none")
    assert said.endswith("status 0"), said
    for kernel in provisioned.kernels:
        assert len(modes(built, kernel)) > 100
        before = {entry for entry in modes(built, kernel) if "udev/rules.d" not in entry[1]}
        assert {entry for entry in modes(provisioned, kernel) if "udev/rules.d" not in entry[1]} == before
        assert ours(provisioned.listing(kernel)) == []
    left = [path for path in initramfs.PATHS if (provisioned.path / path.lstrip("/")).exists()]
    assert left == []
    assert "building" not in provisioned.deploy("none")


AFTERWARDS = 'boot=$0 && "$@"; status=$?; (cd "$boot" && sha256sum *) && exit "$status"'


def test_a_full_boot_partition_is_named_and_the_old_images_stay(root: Root) -> None:
    boot = root.path / "boot"
    files = [path for path in boot.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files) // 1024 + 3000
    command = ["sh", "-c", AFTERWARDS, str(boot), *root.command("driver")]
    done = root.isolated(*command, BOOT_SIZE=f"{size}k")
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "/boot has" in said
    assert "make room there" in said
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    found = dict(reversed(line.split("  ")) for line in done.stdout.splitlines() if re.match(r"[0-9a-f]{64}  ", line))
    assert found == sums


def test_a_generator_that_leaves_the_hook_out_fails_the_host_and_keeps_the_old_image(root: Root) -> None:
    if root.generator == "dracut":
        with (root.path / CONFIGURE["dracut"][0]).open("a") as conf:
            conf.write('omit_dracutmodules+=" rpi-hardware "\n')
    else:
        (root.path / "etc/initramfs-tools/update-initramfs.conf").write_text("update_initramfs=no\n")
    before = {kernel: root.image(kernel).read_bytes() for kernel in root.kernels}
    said = root.deploy("driver")
    assert said.endswith("status 1"), said
    assert "ended without an error, but" in said
    assert "lacks metis, /etc/udev/rules.d/99-axelera.rules" in said
    assert {kernel: root.image(kernel).read_bytes() for kernel in root.kernels} == before

"""The guest's disk: Debian 13 with its stock kernel, sshd, and nothing of what a deploy installs."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from metis_provision.lab.apt import AptSetup, local_certificates, read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, Recipe, obtain
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

RELEASE = "trixie"
DISK_SIZE = "8G"
"""Sparse; kernel headers, a compiler and DKMS builds take about 1.5 GiB of it."""
MAX_AGE = 7 * DAY
"""Seconds; older images are made again, because the headers of a kernel leave the archive soon after its successor
arrives."""
PACKAGES = (
    "linux-image-amd64",
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "udev",
    "dbus",
    # Without it, an ssh connection outlives its host's shutdown and hangs.
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "iproute2",
    "procps",
)
NAMESERVER = "10.0.2.3"
"""The resolver of QEMU's user-mode network (QEMU's documentation, "Using the user mode network stack")."""

# Before the kernel is unpacked: an initramfs for the disk this machine has, as MODULES=dep makes on a real host.
SETUP_SCRIPT = r"""
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo 'MODULES=list' > "$1/etc/initramfs-tools/conf.d/machine"
printf '%s\n' virtio_pci virtio_blk ext4 > "$1/etc/initramfs-tools/modules"
"""

CUSTOMIZE_SCRIPT = rf"""
set -eu
root=$1
echo 'LABEL=root / ext4 errors=remount-ro 0 0' > "$root/etc/fstab"
echo 'nameserver {NAMESERVER}' > "$root/etc/resolv.conf"
printf '%s\n' '[Match]' 'Name=en*' '[Network]' 'DHCP=ipv4' '[DHCPv4]' 'UseHostname=no' \
    > "$root/etc/systemd/network/wired.network"
# Each machine brings a name and keys of its own, as credentials of systemd.system-credentials(7).
rm -f "$root/etc/hostname" "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
# All clients share one address behind QEMU's network, so that penalties for one would lock everybody out.
printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'PasswordAuthentication no' 'PerSourcePenalties no' \
    > "$root/etc/ssh/sshd_config.d/machine.conf"
# networkd asks for it at each start, and there is nothing wireless here.
echo 'blacklist cfg80211' > "$root/etc/modprobe.d/machine.conf"
chroot "$root" systemctl --quiet enable systemd-networkd.service
# Further host keys take long to make, there is nothing to draw on, nobody waits for the network, and apt's lock is
# to be held when a deploy holds it.
chroot "$root" systemctl --quiet mask sshd-keygen.service modprobe@drm.service \
    systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer
# There is no vsock to offer ssh on, and looking for one loads modules.
mkdir -p "$root/etc/systemd/system-generators"
ln -s /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"
chroot "$root" useradd --create-home --shell /bin/bash --gid operator operator
echo 'operator ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/operator"
chmod 0440 "$root/etc/sudoers.d/operator"
# What a first boot would do once more: all of it has just been installed.
chroot "$root" /usr/lib/systemd/systemd-update-done
# shellcheck disable=SC2016  # dpkg-query's own variables
chroot "$root" dpkg-query --show --showformat '${{Package}} ${{Version}}\n' > "$root.packages"
"""


def image_recipe(setup: AptSetup, certificates: dict[str, str]) -> Recipe:
    """Return everything the image depends on but the archive's state; ``certificates`` maps names to PEM texts."""
    return {
        "release": RELEASE,
        "packages": packages(PACKAGES, setup),
        "sources": setup.sources(RELEASE),
        "options": setup.guest_options(),
        "certificates": certificates if setup.uses_tls else {},
        "scripts": [SETUP_SCRIPT, CUSTOMIZE_SCRIPT],
        "size": DISK_SIZE,
        "layout": 1,
    }


def packages(wanted: tuple[str, ...], setup: AptSetup) -> tuple[str, ...]:
    """Return the packages of an image; certificates only where the mirror needs them."""
    return (*wanted, "ca-certificates") if setup.uses_tls else wanted


def guest_image() -> Path:
    """Return the cached entry with ``disk.raw`` and ``root.packages``; UserError if it cannot be built."""
    setup = read_apt_setup()
    certificates = {path.name: path.read_text() for path in local_certificates()}
    recipe = image_recipe(setup, certificates)
    return obtain("images", recipe, lambda directory: _build(directory, setup, certificates), max_age=MAX_AGE)


def _build(directory: Path, setup: AptSetup, certificates: dict[str, str]) -> None:
    root = directory / "root"
    command = mmdebstrap_command(
        RELEASE,
        root,
        variant="minbase",
        packages=packages(PACKAGES, setup),
        sources=setup.sources(RELEASE),
        apt_options=setup.options,
        setup=SETUP_SCRIPT,
        customize=CUSTOMIZE_SCRIPT,
    )
    bootstrap(command, "the guest image")
    configure_apt(root, setup.guest_options(), certificates if setup.uses_tls else {})
    make_filesystem(root, directory / "disk.raw")
    shutil.rmtree(root)


def configure_apt(root: Path, options: Iterable[str], certificates: Mapping[str, str]) -> None:
    """Write the apt options and the certificate authorities of an unpacked root."""
    # mmdebstrap leaves its own options there, with the proxies as this machine sees them.
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    # Descriptions in other languages would be half of what an emulated guest downloads and reads.
    lines = ('Acquire::Languages "none";', *options)
    (root / "etc/apt/apt.conf.d/90machine").write_text("".join(f"{line}\n" for line in lines))
    if certificates:
        for name, text in certificates.items():
            (root / "usr/local/share/ca-certificates" / name).write_text(text)
        subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, capture_output=True)


def make_filesystem(root: Path, disk: Path) -> None:
    """Write the tree ``root`` as an ext4 file system into the sparse file ``disk``, without mounting anything."""
    command = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root), str(disk), DISK_SIZE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"mke2fs cannot write {disk}: {result.stderr.strip()}", ExitCode.FAILED)

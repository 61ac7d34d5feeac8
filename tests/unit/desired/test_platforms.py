"""Each family told by os-release files in the shapes of real hosts, and what it asks its package manager for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metis_provision.desired.platforms import DeviceManager, InitSystem, Platform, platform_of, platforms
from metis_provision.desired.state import desired_state
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Account, Host, Kernel, Survey
from metis_provision.survey.formats import parse_os_release

OS_RELEASE = {
    "debian 13": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n',
    "debian sid": 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME=forky\nID=debian',
    "devuan": "ID=devuan\nID_LIKE=debian\n",
    "ubuntu 24.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nUBUNTU_CODENAME=noble\n',
    "mint": 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=xia\nUBUNTU_CODENAME=noble\n',
    "raspbian": 'ID=raspbian\nID_LIKE=debian\nVERSION_ID="12"\n',
    "fedora": 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=42\nVERSION_CODENAME=""\n',
    "oracle": 'ID="ol"\nID_LIKE="fedora"\nVERSION_ID="9.5"\n',
    "rhel 9": 'ID="rhel"\nID_LIKE="fedora"\n',
    "rhel 10": 'ID="rhel"\nID_LIKE="centos fedora"\n',
    "rocky": 'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
    "arch": 'NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n',
    "arch arm": "ID=archarm\nID_LIKE=arch\n",
    "artix": "ID=artix\nID_LIKE=arch\n",
    "manjaro": "ID=manjaro\nID_LIKE=arch\n",
    "alpine": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n',
    "gentoo": 'NAME=Gentoo\nID=gentoo\nPRETTY_NAME="Gentoo Linux"\n',
}


def host(name: str, **changes: object) -> Host:
    return replace(Host(os_release=parse_os_release(OS_RELEASE[name].splitlines())), **changes)


def family(name: str, **changes: object) -> Platform:
    found = platform_of(host(name, **changes))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian 13", "debian"),
        ("debian sid", "debian"),
        ("devuan", "debian"),
        ("ubuntu 24.04", "ubuntu"),
        ("mint", "ubuntu"),
        ("raspbian", "raspios"),
        ("fedora", "fedora"),
        ("oracle", "fedora"),
        ("rhel 9", "fedora"),
        ("rhel 10", "fedora"),
        ("rocky", "fedora"),
        ("arch", "arch"),
        ("arch arm", "arch"),
        ("artix", "arch"),
        ("manjaro", "arch"),
        ("alpine", "alpine"),
        ("gentoo", "gentoo"),
    ],
)
def test_a_family_is_recognised(name: str, expected: str) -> None:
    assert family(name).name == expected


def test_64_bit_raspberry_pi_os_is_told_from_debian_by_its_issue_file() -> None:
    assert family("debian 13", rpi_issue=True).name == "raspios"
    assert family("debian 13").name == "debian"
    assert family("ubuntu 24.04", rpi_issue=True).name == "ubuntu"


@pytest.mark.parametrize(
    "os_release", [{}, {"ID": "haiku"}, {"ID": "nixos"}, {"ID": "opensuse-leap", "ID_LIKE": "suse"}]
)
def test_a_stranger_belongs_to_no_family(os_release: dict[str, str]) -> None:
    assert platform_of(Host(os_release=os_release)) is None


DEBIAN_META = {"linux-image-amd64": "6", "linux-image-6.12.63+deb13-amd64": "6"}
PI_BOTH = {"linux-image-rpi-2712": "1", "linux-image-rpi-v8": "1", "linux-image-6.12.62+rpt-rpi-2712": "1"}
HWE = {"linux-image-generic-hwe-24.04": "6.8", "linux-image-6.8.0-136-generic": "6.8"}


@pytest.mark.parametrize(
    ("name", "release", "installed", "expected"),
    [
        ("debian 13", "6.1.0-28-arm64", {}, ["linux-headers-6.1.0-28-arm64"]),
        (
            "debian 13",
            "6.12.63+deb13-amd64",
            DEBIAN_META,
            ["linux-headers-6.12.63+deb13-amd64", "linux-headers-amd64"],
        ),
        ("debian 13", "6.12.63+deb13-amd64", {"linux-image-arm64": "6"}, ["linux-headers-6.12.63+deb13-amd64"]),
        (
            "ubuntu 24.04",
            "6.8.0-136-generic",
            HWE,
            ["linux-headers-6.8.0-136-generic", "linux-headers-generic-hwe-24.04"],
        ),
        (
            "ubuntu 24.04",
            "6.8.0-1044-raspi",
            {"linux-image-raspi": "1", "linux-image-6.8.0-1044-raspi": "1"},
            ["linux-headers-6.8.0-1044-raspi", "linux-headers-raspi"],
        ),
        (
            "debian 13",
            "6.18.10-current-rockchip64",
            {"linux-image-current-rockchip64": "26.5.1"},
            ["linux-headers-current-rockchip64"],
        ),
        ("debian 13", "6.1.115-vendor-rk35xx", {"linux-image-vendor-rk35xx": "26"}, ["linux-headers-vendor-rk35xx"]),
        ("debian 13", "6.11.11-2-pve", {}, ["proxmox-headers-6.11.11-2-pve"]),
        ("ubuntu 24.04", "5.15.148-tegra", {}, ["nvidia-l4t-kernel-headers"]),
        ("fedora", "6.16.7-200.fc42.x86_64", {}, ["kernel-devel-6.16.7-200.fc42.x86_64"]),
        ("rocky", "5.14.0-362.13.1.el9_3.x86_64", {}, ["kernel-devel-5.14.0-362.13.1.el9_3.x86_64"]),
        ("rocky", "5.14.0-503.el9.aarch64+64k", {}, ["kernel-64k-devel-5.14.0-503.el9.aarch64"]),
        ("rocky", "6.12.0-55.el10.x86_64+rt", {}, ["kernel-rt-devel-6.12.0-55.el10.x86_64"]),
        ("arch", "6.11.6-arch1-1", {}, ["linux-headers"]),
        ("arch", "6.6.13-1-lts", {}, ["linux-lts-headers"]),
        ("arch", "7.0.8-zen1-1-zen", {}, ["linux-zen-headers"]),
        ("arch", "6.17.1-2-cachyos", {}, ["linux-cachyos-headers"]),
        ("arch arm", "6.1.64-2-rpi-ARCH", {}, ["linux-rpi-headers"]),
        ("alpine", "6.18.32-0-lts", {}, ["linux-lts-dev"]),
        ("alpine", "6.1.70-0-virt", {}, ["linux-virt-dev"]),
        ("gentoo", "6.18.26-gentoo-dist", {}, []),
    ],
)
def test_headers_are_those_of_the_running_kernel(
    name: str, release: str, installed: dict[str, str], expected: list[str]
) -> None:
    kernel = Kernel(release, running=True, headers=False)
    survey = Survey(host=host(name), kernels=(kernel,), packages=installed)
    assert list(family(name).headers_packages(kernel, survey)) == expected


@pytest.mark.parametrize(
    ("release", "installed", "expected"),
    [
        ("6.12.62+rpt-rpi-2712", PI_BOTH, ["linux-headers-6.12.62+rpt-rpi-2712", "linux-headers-rpi-2712"]),
        ("6.12.34+rpt-rpi-v8", {}, ["linux-headers-6.12.34+rpt-rpi-v8"]),
        ("6.1.21-v8+", {}, ["raspberrypi-kernel-headers"]),
        ("5.10.17-v7l+", {}, ["raspberrypi-kernel-headers"]),
    ],
)
def test_headers_on_raspberry_pi_os(release: str, installed: dict[str, str], expected: list[str]) -> None:
    survey = Survey(host=host("debian 13", rpi_issue=True), packages=installed)
    platform = platform_of(survey.host)
    assert platform is not None
    assert list(platform.headers_packages(Kernel(release, running=True, headers=False), survey)) == expected


def test_a_pi_with_big_pages_has_another_kernel_package_on_arch() -> None:
    survey = Survey(host=host("arch arm", page_size=16384))
    kernel = Kernel("6.1.64-2-rpi-ARCH", running=True, headers=False)
    assert family("arch arm").headers_packages(kernel, survey) == ("linux-rpi-16k-headers",)


DKMS = Settings(driver_version="1.6.2", driver_source="d", driver_sha256="d" * 64)
DEB_RUNTIME = {"runtime": "deb", "runtime_version": "1.8.0", "runtime_source": "r", "runtime_sha256": "e" * 64}
FILES_ONLY = Settings(cards=0, driver="none")  # type: ignore[arg-type]


def surveyed(name: str, *releases: str, tools: tuple[str, ...] = ("udevadm",), headers: bool = False) -> Survey:
    kernels = tuple(Kernel(release, running=not n, headers=headers) for n, release in enumerate(releases))
    return Survey(host=host(name, uid=0, tools=dict.fromkeys(tools, "/usr/bin/tool")), kernels=kernels)


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        (surveyed("alpine", "6.18.32-0-lts", tools=("dkms",)), ["mdev reads no udev rules", "apk add eudev"]),
        (surveyed("alpine", "6.18.32-0-lts"), ["Alpine packages no dkms", "akms"]),
        (
            surveyed("alpine", "6.18.32-0-lts", "6.18.33-0-lts", tools=("dkms", "udevadm")),
            ["6.18.32-0-lts runs, but an upgrade replaced it by 6.18.33-0-lts: reboot"],
        ),
        (surveyed("arch", "6.11.6-arch1-1", "6.11.7-arch1-2"), ["an upgrade replaced it by 6.11.7-arch1-2", "reboot"]),
        (surveyed("gentoo", "6.18.26-gentoo-dist"), ["no build tree at /lib/modules/6.18.26-gentoo-dist/build"]),
    ],
)
def test_what_stands_in_the_way_on_a_family_is_one_sentence(survey: Survey, words: list[str]) -> None:
    (blocker,) = desired_state(DKMS, survey).blockers
    assert all(word in blocker for word in words)


@pytest.mark.parametrize(
    "survey",
    [
        surveyed("alpine", "6.18.32-0-lts", tools=("dkms", "udevadm")),
        surveyed("arch", "6.11.6-arch1-1"),
        surveyed("arch", "6.11.6-arch1-1", "6.6.13-1-lts"),
        surveyed("arch", "6.11.6-arch1-1", "6.11.7-arch1-1", headers=True),
        surveyed("gentoo", "6.18.26-gentoo-dist", headers=True),
        surveyed("fedora", "6.16.7-200.fc42.x86_64"),
    ],
)
def test_a_host_that_can_be_provisioned_is_not_refused(survey: Survey) -> None:
    assert desired_state(DKMS, survey).blockers == ()


def test_an_alpine_that_only_carries_the_files_needs_no_udev() -> None:
    assert desired_state(FILES_ONLY, surveyed("alpine", "6.18.32-0-lts", tools=())).blockers == ()


@pytest.mark.parametrize("name", ["fedora", "arch", "alpine", "gentoo"])
def test_a_runtime_packaged_for_debian_alone_is_refused_elsewhere(name: str) -> None:
    settings = DKMS.model_validate({**DKMS.model_dump(), **DEB_RUNTIME})
    survey = surveyed(name, "6.0", tools=("dkms", "udevadm"), headers=True)
    (blocker,) = desired_state(settings, survey).blockers
    assert "set metis_runtime = 'pip' or 'container'" in blocker


@pytest.mark.parametrize("name", ["debian 13", "ubuntu 24.04", "raspbian"])
def test_the_runtime_has_its_version_in_its_name(name: str) -> None:
    assert family(name).runtime_package("1.8.0") == "axelera-runtime-1.8.0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian 13", ("acl", "dkms", "kmod", "linux-headers-6.0")),
        ("fedora", ("acl", "dkms", "kmod", "kernel-devel-6.0")),
        ("arch", ("acl", "dkms", "kmod", "linux-headers")),
        ("alpine", ("acl", "kmod", "linux-6.0-dev")),
        ("gentoo", ("sys-apps/acl", "sys-kernel/dkms", "sys-apps/kmod")),
    ],
)
def test_packages_of_a_bare_host(name: str, expected: tuple[str, ...]) -> None:
    assert family(name).packages(DKMS, surveyed(name, "6.0")) == expected


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("debian 13", "install_known 'linux-headers-6.1 x' dkms"),
        ("fedora", "install -- 'linux-headers-6.1 x' dkms"),
        ("arch", "pacman -S --needed --noconfirm --noprogressbar -- 'linux-headers-6.1 x' dkms"),
        ("alpine", "add 'linux-headers-6.1 x' dkms"),
        ("gentoo", "--noreplace --quiet-build=y -- 'linux-headers-6.1 x' dkms"),
    ],
)
def test_packages_are_installed_by_the_familys_tool(name: str, command: str) -> None:
    assert command in family(name).install_script(("linux-headers-6.1 x", "dkms"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian 13", "--allow-downgrades --reinstall install -- '/var/cache/a b'"),
        ("fedora", "dnf -y install -- '/var/cache/a b'"),
        ("arch", "pacman -U --noconfirm --noprogressbar -- '/var/cache/a b'"),
        ("alpine", "add --allow-untrusted '/var/cache/a b'"),
    ],
)
def test_a_package_file_is_installed_by_the_family_s_own_means(name: str, expected: str) -> None:
    assert expected in family(name).install_file_script("/var/cache/a b")


def test_gentoo_installs_no_package_files() -> None:
    with pytest.raises(NotImplementedError, match="gentoo installs no package files"):
        family("gentoo").install_file_script("/x.tbz2")


def test_the_runtimes_package_is_for_debian_alone() -> None:
    debian = family("debian 13")
    file = debian.install_runtime_script("/var/cache/a b.deb", ())
    assert "install -- '/var/cache/a b.deb'\n" in file
    assert "\nrun_apt update\n" not in file
    upgrade = debian.install_runtime_script("axelera-runtime-1.8.0", ("axelera-runtime-1.7.0",))
    assert upgrade.index("\nrun_apt update\n") < upgrade.index(
        "install -- axelera-runtime-1.8.0 axelera-runtime-1.7.0-\n"
    )
    assert "purge -- axelera-runtime-1.7.0\n" in debian.remove_script(("axelera-runtime-1.7.0",))
    with pytest.raises(NotImplementedError, match="fedora has no package"):
        family("fedora").install_runtime_script("/x.rpm", ())
    with pytest.raises(NotImplementedError, match="fedora has no package"):
        family("fedora").remove_script(("x",))


def test_defaults_of_each_family() -> None:
    shown = {p.name: (p.inits[0], p.device_manager, str(p.generator), p.module_location) for p in platforms()}
    udev, systemd, openrc = DeviceManager.UDEV, InitSystem.SYSTEMD, InitSystem.OPENRC
    assert shown == {
        "debian": (systemd, udev, "initramfs-tools", "/updates/dkms"),
        "ubuntu": (systemd, udev, "initramfs-tools", "/updates/dkms"),
        "raspios": (systemd, udev, "initramfs-tools", "/updates/dkms"),
        "fedora": (systemd, udev, "dracut", "/extra"),
        "arch": (systemd, udev, "mkinitcpio", "/updates/dkms"),
        "alpine": (openrc, DeviceManager.MDEV, "mkinitfs", "/kernel/extra"),
        "gentoo": (openrc, udev, "dracut", "/kernel/extra"),
    }


def test_a_group_with_another_gid_than_asked_for_is_refused() -> None:
    fixed = Settings(cards=0, driver="none", group_gid=990)  # type: ignore[arg-type]
    survey = replace(surveyed("debian 13", "6.0"), groups={"axelera": Account("axelera", 997)})
    (blocker,) = desired_state(fixed, survey).blockers
    assert "exists with gid 997, and metis_group_gid asks for 990" in blocker
    right = replace(survey, groups={"axelera": Account("axelera", 990)})
    assert desired_state(fixed, right).blockers == ()
    assert desired_state(FILES_ONLY, survey).blockers == ()

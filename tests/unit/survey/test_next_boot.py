"""Which kernel boots next, from what each loader's files say; and that nothing is concluded where they do not say."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.model.survey import NextBoot
from metis_provision.survey.next_boot import Loaders, Menu, MenuEntry, next_boot, version_key

OLD, NEW = "6.12.48+deb13-amd64", "6.12.57+deb13-amd64"
BOTH = (OLD, NEW)
ROOT = "gnulinux-simple-6d0f"
ENTRIES = (
    MenuEntry("0", ROOT, "Debian GNU/Linux", f"/boot/vmlinuz-{NEW}"),
    MenuEntry("1", "gnulinux-advanced-6d0f", "Advanced options for Debian GNU/Linux", ""),
    MenuEntry("1>0", f"gnulinux-{NEW}-advanced-6d0f", f"Debian GNU/Linux, with Linux {NEW}", f"/boot/vmlinuz-{NEW}"),
    MenuEntry("1>1", f"gnulinux-{OLD}-advanced-6d0f", f"Debian GNU/Linux, with Linux {OLD}", f"/boot/vmlinuz-{OLD}"),
    MenuEntry("2", "uefi-firmware", "UEFI Firmware Settings", ""),
)
CFG = "/boot/grub/grub.cfg"


def grub(default: str = "0", **changes: object) -> Loaders:
    """GRUB as Debian's generator sets it up, with this default."""
    usual = {"path": CFG, "entries": ENTRIES, "defaults": ("${next_entry}", default)}
    return Loaders(grub=Menu(**{**usual, **changes}))  # type: ignore[arg-type]


def release(found: Loaders, on_disk: tuple[str, ...] = BOTH) -> str | None:
    answer = next_boot(on_disk, found)
    assert answer is not None
    assert answer.source
    return answer.release


def test_without_a_kernel_there_is_no_next_one() -> None:
    assert next_boot((), Loaders()) is None


def test_one_kernel_is_the_one_whatever_the_loader() -> None:
    assert next_boot((OLD,), Loaders(efi="rEFInd")) == NextBoot(OLD, "the only kernel on disk")


def test_several_kernels_and_no_loader_is_unknown() -> None:
    assert release(Loaders()) is None


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("0", NEW),
        ("1>1", OLD),
        (f"gnulinux-advanced-6d0f>gnulinux-{OLD}-advanced-6d0f", OLD),
        (f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {OLD}", OLD),
        ("1", NEW),  # a submenu's own first entry
        ("gone", NEW),  # GRUB takes the first where the default is not there
        ("1>gone", NEW),
        ("2", None),
        ("${weird}", None),
    ],
)
def test_grub(default: str, expected: str | None) -> None:
    assert release(grub(default)) == expected


def test_grub_remembers() -> None:
    saved = {"saved_entry": f"gnulinux-advanced-6d0f>gnulinux-{OLD}-advanced-6d0f"}
    assert release(grub("${saved_entry}", environment=saved)) == OLD
    assert release(grub("${saved_entry}")) == NEW
    assert release(grub("0", environment=saved)) == NEW


def test_grub_reboot_is_for_one_boot_and_wins() -> None:
    assert release(grub("0", environment={"next_entry": "1>1"})) == OLD


def test_grub_that_cannot_be_read_is_unknown() -> None:
    assert release(Loaders(grub=Menu(path=CFG))) is None
    assert release(grub("0", entries=())) is None
    assert release(grub("0", own_menu=True)) is None


def test_images_without_a_release_are_named_by_their_package() -> None:
    entries = (MenuEntry("0", "", "Arch Linux", "/boot/vmlinuz-linux-lts"),)
    known = {"linux-lts": "6.12.57-1-lts", "linux": "6.17.8-arch1-1"}
    found = Loaders(grub=Menu(CFG, entries, ("0",)), flavours=known)
    assert release(found, ("6.12.57-1-lts", "6.17.8-arch1-1")) == "6.12.57-1-lts"
    assert release(Loaders(grub=Menu(CFG, entries, ("0",)))) is None


def test_a_kernel_whose_modules_are_gone_is_still_named() -> None:
    entries = (MenuEntry("0", "", "Debian", "/boot/vmlinuz-6.12.99+deb13-amd64"),)
    assert release(Loaders(grub=Menu(CFG, entries, ("0",)))) == "6.12.99+deb13-amd64"


BLS = (
    ("abc-6.16.7-200.fc42.x86_64", "6.16.7-200.fc42.x86_64", "/vmlinuz-6.16.7-200.fc42.x86_64"),
    ("abc-6.16.10-200.fc42.x86_64", "6.16.10-200.fc42.x86_64", "/vmlinuz-6.16.10-200.fc42.x86_64"),
    ("abc-0-rescue", "0-rescue-abc", "/vmlinuz-0-rescue-abc"),
)
FEDORA = ("6.16.10-200.fc42.x86_64", "6.16.7-200.fc42.x86_64")


def bls(**environment: str) -> Loaders:
    return Loaders(grub=Menu("/boot/grub2/grub.cfg", (), ("${saved_entry}",), environment, bls=BLS))


def test_boot_loader_specification_entries() -> None:
    assert release(bls(), FEDORA) == FEDORA[0]
    assert release(bls(saved_entry=BLS[0][0]), FEDORA) == FEDORA[1]
    assert release(bls(saved_entry="1"), FEDORA) == FEDORA[1]
    assert release(bls(saved_entry="abc-0-rescue"), FEDORA) is None
    assert release(Loaders(grub=Menu(CFG, bls=())), FEDORA) is None


def test_newest_is_by_version_not_by_letter() -> None:
    ordered = ["6.9.1-1~rc1", "6.9.1-1", "6.9.1-1+b1", "6.9.1-2", "6.9.12-1", "6.10.0-1", "06.11"]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=version_key) == ordered


BOOTCTL = (
    "Default Boot Loader Entry:",
    "         type: Boot Loader Specification Type #1 (.conf)",
    "        title: Debian GNU/Linux 13 (trixie)",
    f"           id: 2f3c4d-{OLD}.conf",
    f"       source: /boot/efi//loader/entries/2f3c4d-{OLD}.conf",
    f"      version: {OLD}",
    f"        linux: /boot/efi//2f3c4d/{OLD}/linux",
)


@pytest.mark.parametrize(
    "lines",
    [BOOTCTL, BOOTCTL[:5], (BOOTCTL[6],), (f"           id: 2f3c4d-{OLD}+3-0.conf",), (f"  id: arch-{OLD}.efi",)],
)
def test_systemd_boot(lines: tuple[str, ...]) -> None:
    assert release(Loaders(efi="systemd-boot 257.8", bootctl=lines)) == OLD


def test_systemd_boot_with_names_of_flavours() -> None:
    found = Loaders(
        efi="systemd-boot 257.8", bootctl=("  id: arch.conf", "  linux: /boot//vmlinuz-linux"), flavours={"linux": NEW}
    )
    assert release(found) == NEW


def test_systemd_boot_that_says_nothing_is_unknown() -> None:
    assert release(Loaders(efi="systemd-boot 257.8", grub=grub().grub)) is None
    assert release(Loaders(efi="systemd-boot 257.8", bootctl=("  id: auto-windows", "  title: Windows"))) is None


def test_another_loader_is_unknown_although_grub_lies_there() -> None:
    assert release(Loaders(efi="rEFInd 0.14.2", grub=grub().grub)) is None
    assert release(Loaders(efi="GRUB 2.12", grub=grub().grub)) == NEW


EXTLINUX = (
    "default l0",
    "menu title U-Boot menu",
    "label l0",
    f"linux /boot/vmlinuz-{NEW}",
    "label l1",
    "LINUX /Image",
)


def test_extlinux() -> None:
    path = "/boot/extlinux/extlinux.conf"
    assert release(Loaders(extlinux=path, extlinux_lines=EXTLINUX)) == NEW
    later = (*EXTLINUX, "default l1")
    assert release(Loaders(extlinux=path, extlinux_lines=later)) is None
    assert release(Loaders(extlinux=path, extlinux_lines=later, links={"/Image": f"vmlinuz-{OLD}"})) == OLD
    assert release(Loaders(extlinux=path, extlinux_lines=EXTLINUX[2:])) is None
    assert release(Loaders(extlinux=path, extlinux_lines=(*EXTLINUX, "INCLUDE other.conf"))) is None
    assert release(Loaders(extlinux=path, extlinux_lines=EXTLINUX, grub=grub().grub)) is None
    alpine = ("DEFAULT menu.c32", "LABEL virt", "MENU DEFAULT", "LINUX vmlinuz-virt", "LABEL lts", "LINUX vmlinuz-lts")
    flavours = {"virt": "6.18.32-0-virt", "lts": "6.18.32-0-lts"}
    found = Loaders(extlinux="/boot/extlinux.conf", extlinux_lines=alpine, flavours=flavours)
    assert release(found, tuple(flavours.values())) == "6.18.32-0-virt"


def test_a_raspberry_pi() -> None:
    assert release(Loaders(firmware=("/boot/firmware/kernel_2712.img", NEW), grub=grub().grub)) == NEW
    assert (
        release(Loaders(firmware=("/boot/firmware/u-boot.bin", ""), links={"/vmlinuz": f"boot/vmlinuz-{NEW}"})) is None
    )


def test_links_count_where_there_is_no_menu_and_they_agree() -> None:
    link = f"boot/vmlinuz-{NEW}"
    assert release(Loaders(links={"/vmlinuz": link})) == NEW
    assert release(Loaders(links={"/vmlinuz": link, "/boot/vmlinuz": f"vmlinuz-{NEW}"})) == NEW
    assert release(Loaders(links={"/vmlinuz": link, "/boot/vmlinuz": f"vmlinuz-{OLD}"})) is None
    assert release(Loaders(links={"/vmlinuz": "boot/vmlinuz"})) is None
    assert release(Loaders(links={"/vmlinuz": f"boot/vmlinuz-{NEW}"}, grub=grub("1>1").grub)) == OLD


WORDS = st.one_of(
    st.text(max_size=12), st.sampled_from(["0", "1>0", ">", "9" * 5000, "${saved_entry}", f"/boot/vmlinuz-{NEW}"])
)


@given(
    st.builds(
        Loaders,
        flavours=st.dictionaries(WORDS, WORDS, max_size=3),
        efi=st.one_of(st.none(), st.sampled_from(["systemd-boot 257", "GRUB"])),
        bootctl=st.lists(WORDS, max_size=5).map(tuple),
        grub=st.builds(
            Menu,
            path=st.one_of(st.none(), st.just(CFG)),
            entries=st.lists(st.builds(MenuEntry, WORDS, WORDS, WORDS, WORDS), max_size=5).map(tuple),
            defaults=st.lists(WORDS, max_size=3).map(tuple),
            environment=st.dictionaries(st.sampled_from(["next_entry", "saved_entry"]), WORDS),
            bls=st.one_of(st.none(), st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4).map(tuple)),
        ),
        extlinux=st.one_of(st.none(), st.just("/boot/extlinux/extlinux.conf")),
        extlinux_lines=st.lists(WORDS, max_size=5).map(tuple),
        links=st.dictionaries(st.sampled_from(["/vmlinuz", "/boot/vmlinuz"]), WORDS),
    )
)
def test_nothing_makes_it_raise(found: Loaders) -> None:
    assert next_boot(BOTH, found) is not None


def test_a_line_of_bootctl_that_ends_in_a_colon_says_nothing():
    found = Loaders(efi="systemd-boot 255", bootctl=("title: ", "options:", "  version: 6.2  ", "id: x: y"))
    assert next_boot(("6.1", "6.2"), found).release == "6.2"

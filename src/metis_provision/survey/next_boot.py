"""Concludes from the files of the boot loaders which kernel boots next; where they do not say, neither does this."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from metis_provision.model.survey import NextBoot

_RELEASE = re.compile(r"\d+\.\d+\S*")
_PREFIXES = ("vmlinuz-", "vmlinux-", "kernel-", "Image-", "image-", "linux-")


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An entry of GRUB's menu: its place by numbers (``1>0``), id, title, and the image; a submenu has none."""

    place: str
    identity: str
    title: str
    image: str


@dataclass(frozen=True, slots=True)
class Menu:
    """GRUB's configuration, as far as it says what is booted."""

    path: str | None = None
    entries: tuple[MenuEntry, ...] = ()
    defaults: tuple[str, ...] = ()
    """Every value that ``default`` is set to, in order."""
    environment: Mapping[str, str] = field(default_factory=dict)
    own_menu: bool = False
    """The operator has a menu beside it that speaks of a default."""
    bls: tuple[tuple[str, ...], ...] | None = None
    """Id, version and image of each entry of its own file, where GRUB takes its menu from those."""


@dataclass(frozen=True, slots=True)
class Loaders:
    """Everything that was found of boot loaders on a host."""

    flavours: Mapping[str, str] = field(default_factory=dict)
    """Release by the name that its image has instead of a release (``linux-lts`` on Arch, ``lts`` on Alpine)."""
    efi: str | None = None
    """What the loader that started this boot calls itself."""
    bootctl: tuple[str, ...] = ()
    firmware: tuple[str, str] | None = None
    """Image that a Raspberry Pi loads, and the release it is a copy of, empty if that is not known."""
    grub: Menu = field(default_factory=Menu)
    extlinux: str | None = None
    extlinux_lines: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Where symbolic links to images lead."""


def next_boot(on_disk: tuple[str, ...], found: Loaders) -> NextBoot | None:
    """The kernel that boots next, of those with modules on disk; None for a host without any kernel."""
    if not on_disk:
        return None
    if len(on_disk) == 1:
        return NextBoot(on_disk[0], "the only kernel on disk")
    if found.firmware is not None:
        return _by_firmware(found.firmware)
    if found.efi is not None and found.efi.startswith("systemd-boot"):
        return _by_systemd_boot(on_disk, found)
    if found.efi is not None and not found.efi.startswith("GRUB"):
        return NextBoot(None, f"this host was started by {found.efi}, whose configuration is not known")
    if found.grub.path is not None and found.extlinux is not None:
        return NextBoot(None, f"there are both {found.grub.path} and {found.extlinux}")
    if found.grub.path is not None:
        return _by_grub(on_disk, found, found.grub)
    if found.extlinux is not None:
        return _by_extlinux(on_disk, found, found.extlinux)
    return _by_links(on_disk, found)


def _by_firmware(firmware: tuple[str, str]) -> NextBoot:
    path, release = firmware
    if not release:
        return NextBoot(None, f"{path} does not tell which kernel the firmware loads")
    return NextBoot(release, f"{path}, which the firmware loads")


def _by_systemd_boot(on_disk: tuple[str, ...], found: Loaders) -> NextBoot:
    said = {
        key.strip(): value.strip() for key, colon, value in (line.partition(": ") for line in found.bootctl) if colon
    }
    source = "systemd-boot's default entry"
    for key in ("version", "linux", "id"):
        words = {*re.split(r"[/\s]", said.get(key, "")), *_after_machine_id(said.get(key, ""))}
        release = next((release for release in on_disk if release in words), None)
        if release is not None:
            return NextBoot(release, source)
    image = said.get("linux", "")
    return _named(on_disk, found, image, source) if image else NextBoot(None, "bootctl does not name a default entry")


def _after_machine_id(text: str) -> Iterator[str]:
    """The release in ``<machine-id>-<release>+3.conf``, with and without the count of tries."""
    entry = re.fullmatch(r"[^-]+-(.+?)(\+\d+(?:-\d+)?)?\.(?:conf|efi)", text.strip())
    if entry:
        yield entry[1]


def _by_grub(on_disk: tuple[str, ...], found: Loaders, menu: Menu) -> NextBoot:
    if menu.own_menu:
        return NextBoot(None, "GRUB's custom.cfg speaks of a default")
    wanted = _default(menu)
    if wanted is None:
        return NextBoot(None, f"{menu.path} does not say which entry is the default")
    source = f"GRUB's default entry ({wanted or 'the first'})"
    if menu.bls is not None:
        return _by_bls(on_disk, found, menu.bls, wanted, source)
    image = _image_of(menu.entries, wanted)
    if not image:
        return NextBoot(None, f"{source} was not found in {menu.path}")
    return _named(on_disk, found, image, source)


def _default(menu: Menu) -> str | None:
    """What GRUB looks for, empty for the first entry; None where its configuration is not as generators write it."""
    if next_entry := menu.environment.get("next_entry"):
        return next_entry
    values = [value for value in menu.defaults if "next_entry" not in value]
    if not values and menu.bls is None:
        return None
    value = values[-1] if values else "${saved_entry}"
    if "saved_entry" in value:
        return menu.environment.get("saved_entry", "")
    return None if "$" in value else value


def _image_of(entries: tuple[MenuEntry, ...], wanted: str) -> str:
    """The image of an entry named by places, ids or titles, level by level; one that is not there means the first."""
    place = ""
    # A submenu that is the default opens at its own first entry.
    for part in (*(wanted or "0").split(">"), "0"):
        level = [entry for entry in entries if entry.place.rpartition(">")[0] == place]
        chosen = [e for e in level if part in (e.place.rpartition(">")[2], e.identity, e.title)] or level[:1]
        if not chosen:
            return ""
        if chosen[0].image:
            return chosen[0].image
        place = chosen[0].place
    return ""


def _by_bls(
    on_disk: tuple[str, ...], found: Loaders, entries: tuple[tuple[str, ...], ...], wanted: str, source: str
) -> NextBoot:
    newest_first = sorted(entries, key=lambda entry: version_key(entry[1] or entry[0]), reverse=True)
    if re.fullmatch(r"[0-9]{1,4}", wanted) and int(wanted) < len(newest_first):
        chosen = newest_first[int(wanted)]
    else:
        chosen = next(
            (entry for entry in newest_first if entry[0] == wanted), newest_first[0] if entries else ("",) * 3
        )
    for release in on_disk:
        if release == chosen[1]:
            return NextBoot(release, source)
    return _named(on_disk, found, chosen[2], source)


_TILDE, _END, _LETTERS, _NUMBER = range(4)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts versions as package managers do: numbers by value and behind letters, a tilde before the end of another."""
    parts = re.findall(r"\d+|[A-Za-z]+|~", version, re.ASCII)
    return (*map(_part_key, parts), (_END, 0, ""))


def _part_key(part: str) -> tuple[int, int, str]:
    if part.isdecimal():
        value = part.lstrip("0")
        return (_NUMBER, len(value), value)
    return (_TILDE if part == "~" else _LETTERS, 0, part)


def _by_extlinux(on_disk: tuple[str, ...], found: Loaders, path: str) -> NextBoot:
    default = label = ""
    images: dict[str, str] = {}
    for line in found.extlinux_lines:
        key, _, value = line.strip().partition(" ")
        value = value.strip()
        match key.lower():
            case "include":
                return NextBoot(None, f"{path} includes another file")
            case "default" | "ontimeout" if value and not value.lower().endswith((".c32", ".sys")):
                default = value
            case "label":
                label = value
            case "menu" if label:
                default = label
            case "linux" | "kernel" if label:
                images[label] = value
    if default not in images:
        return NextBoot(None, f"{path} does not say which entry is the default")
    return _named(on_disk, found, images[default], f"the default of {path}")


def _by_links(on_disk: tuple[str, ...], found: Loaders) -> NextBoot:
    links = [path for path in ("/vmlinuz", "/boot/vmlinuz") if path in found.links]
    releases = {_release_of(on_disk, found, path) for path in links}
    if len(releases) == 1 and None not in releases:
        return NextBoot(releases.pop(), f"{links[0]}, which leads to the kernel to boot")
    return NextBoot(None, "no configuration of a boot loader known to us was found")


def _named(on_disk: tuple[str, ...], found: Loaders, image: str, source: str) -> NextBoot:
    release = _release_of(on_disk, found, image)
    if release is None:
        return NextBoot(None, f"{source} loads {image or 'nothing that is named'}, which does not tell its release")
    return NextBoot(release, source)


def _release_of(on_disk: tuple[str, ...], found: Loaders, image: str) -> str | None:
    path = PurePosixPath(found.links.get(image, image))
    for release in on_disk:
        if release in (path.parent.name, path.name):
            return release
    prefix = next((prefix for prefix in _PREFIXES if path.name.startswith(prefix)), "")
    name = path.name.removeprefix(prefix).removesuffix(".efi")
    if name in on_disk:
        return name
    if name in found.flavours:
        return found.flavours[name]
    return name if prefix and _RELEASE.fullmatch(name) else None

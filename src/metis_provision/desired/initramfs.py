"""What early user space carries for a card, and the way it gets into the images of whichever tool makes them."""

from __future__ import annotations

from collections.abc import Mapping

from metis_provision.catalog.carriers import carrier
from metis_provision.catalog.contract import contract
from metis_provision.catalog.initramfs import Named, initramfs_catalogue
from metis_provision.desired import access, driver, services
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import Concern, File, ImageContent, Initramfs, Validator
from metis_provision.model.settings import InitramfsChoice, Settings
from metis_provision.model.survey import Generator, Survey

INPUTS = "/usr/lib/metis-provision/initramfs-inputs"
RULES = "/usr/lib/metis-provision/initramfs/99-axelera.rules"
RULES_IN_IMAGE = "/etc/udev/rules.d/99-axelera.rules"
MARKS = "/usr/lib/metis-provision/initramfs"
MARK = "/usr/lib/metis-provision/inputs-"
"""Prefix of the file in the image whose name ends in the digest of what went in."""

DRACUT_MODULE = "/usr/lib/dracut/modules.d/95rpi-hardware/module-setup.sh"
INITRAMFS_TOOLS_HOOK = "/etc/initramfs-tools/hooks/rpi-hardware"
MKINITCPIO_HOOK = "/etc/initcpio/install/rpi-hardware"
MKINITCPIO_CONF = "/etc/mkinitcpio.conf.d/rpi-hardware.conf"
MKINITFS_MODULES = "/etc/mkinitfs/features.d/rpi-hardware.modules"
MKINITFS_FILES = "/etc/mkinitfs/features.d/rpi-hardware.files"

_HOOKS: Mapping[Generator, tuple[str, ...]] = {
    Generator.DRACUT: (DRACUT_MODULE,),
    Generator.INITRAMFS_TOOLS: (INITRAMFS_TOOLS_HOOK,),
    Generator.MKINITCPIO: (MKINITCPIO_HOOK, MKINITCPIO_CONF),
    Generator.MKINITFS: (MKINITFS_MODULES, MKINITFS_FILES),
}

PATHS = (INPUTS, RULES, *(path for paths in _HOOKS.values() for path in paths))
"""Every file of this concern on any host."""


def initramfs(settings: Settings) -> Initramfs | None:
    """What the images hold and why, as asked for or as the carrier wants it; None for nothing."""
    if settings.initramfs is InitramfsChoice.AUTO:
        entry = carrier(settings.carrier).initramfs
        content, reason = entry.content, entry.reason
    else:
        content, reason = ImageContent(settings.initramfs), f"metis_initramfs = '{settings.initramfs}'"
    if content is ImageContent.NONE:
        return None
    return Initramfs(content, reason, _beside(content))


def files(settings: Settings, survey: Survey) -> tuple[File, ...]:
    """The hook of the generator in charge and what it takes in; nothing where nothing is wanted or no image is made."""
    wanted = initramfs(settings)
    generator = survey.initramfs.generator if survey.initramfs else None
    if wanted is None or generator is None:
        return ()
    return (
        *_rules(settings, generator),
        _script(INPUTS, _inputs(settings, wanted.content, generator)),
        *_hook_files(generator, settings, survey, wanted.content),
    )


def _rules(settings: Settings, generator: Generator) -> tuple[File, ...]:
    # An image of mkinitfs has no udev to read them.
    if generator is Generator.MKINITFS:
        return ()
    rules = access.initramfs_rules(settings)
    return (File(RULES, rules, validator=Validator.UDEV_RULES, concern=Concern.INITRAMFS),)


def _modules(content: ImageContent) -> list[str]:
    return [str(contract().module), *_names(initramfs_catalogue().modules)] if content is ImageContent.DRIVER else []


def _overlays(settings: Settings) -> list[tuple[str, ...]]:
    """For each overlay of the carrier and of the settings, the places where its file may be."""
    boot = carrier(settings.carrier).boot
    own = [overlay.name for overlay in boot.overlays] if boot else []
    names = dict.fromkeys([*own, *(settings.overlays or ()), *settings.runtime_overlays])
    return [
        (name,) if name.startswith("/") else tuple(f"{place}/{name}.dtbo" for place in services.OVERLAY_DIRECTORIES)
        for name in names
    ]


def _beside(content: ImageContent) -> tuple[str, ...]:
    """Files the generators take in by themselves: the options the driver is loaded with."""
    return (driver.MODPROBE,) if content is ImageContent.DRIVER else ()


def _names(entries: tuple[Named, ...]) -> list[str]:
    return [entry.name for entry in entries]


def _inputs(settings: Settings, content: ImageContent, generator: Generator) -> bytes:
    return render(
        INPUTS.removeprefix("/"),
        generator=str(generator),
        modules=_modules(content),
        rules=RULES,
        rules_in_image=RULES_IN_IMAGE,
        overlays=_overlays(settings),
        beside=[INPUTS, *_HOOKS[generator], *_beside(content)],
    )


def _hook_files(generator: Generator, settings: Settings, survey: Survey, content: ImageContent) -> tuple[File, ...]:
    match generator:
        case Generator.DRACUT:
            return (_script(DRACUT_MODULE, _hook(DRACUT_MODULE, architectures=_architectures(settings, survey))),)
        case Generator.INITRAMFS_TOOLS:
            return (_script(INITRAMFS_TOOLS_HOOK, _hook(INITRAMFS_TOOLS_HOOK)),)
        case Generator.MKINITCPIO:
            return (_plain(MKINITCPIO_HOOK, _hook(MKINITCPIO_HOOK)), _plain(MKINITCPIO_CONF, _hook(MKINITCPIO_CONF)))
        case Generator.MKINITFS:
            taken = _hook(MKINITFS_FILES, overlays=_overlays(settings), marks=MARKS)
            return (
                _plain(MKINITFS_MODULES, _hook(MKINITFS_MODULES, modules=_modules(content))),
                _plain(MKINITFS_FILES, taken),
            )


def _architectures(settings: Settings, survey: Survey) -> list[str]:
    """Where dracut takes the module in: as documented, and on this host too if it was asked for by name."""
    documented = _names(initramfs_catalogue().architectures)
    asked = settings.initramfs is not InitramfsChoice.AUTO
    return list(dict.fromkeys([*documented, *([survey.host.architecture] if asked else [])]))


def _hook(path: str, **values: object) -> bytes:
    return render(path.removeprefix("/"), inputs=INPUTS, mark=MARK, **values)


def _script(path: str, content: bytes) -> File:
    shell = Validator.NONE if path == DRACUT_MODULE else Validator.SHELL
    return File(path, content, mode="0755", validator=shell, concern=Concern.INITRAMFS)


def _plain(path: str, content: bytes) -> File:
    return File(path, content, concern=Concern.INITRAMFS)

"""Who may use the card: the group, its members, and the udev rule that gives them the node."""

from __future__ import annotations

from pathlib import PurePosixPath

from metis_provision.catalog.contract import IdKind, contract
from metis_provision.desired.rendering import BANNER, render
from metis_provision.model.artifact import File, Group, User, Validator
from metis_provision.model.settings import DriverSource, Settings

UDEV_RULES = "/etc/udev/rules.d/99-axelera-metis.rules"
PACKAGED_CARD_NAMES = "/usr/lib/udev/metis-card-names"
PACKAGED_RULES = "/usr/lib/udev/rules.d/99-axelera-metis.rules"
"""Where a package of ours keeps the rules: a file of the same name below /etc takes its place, says udev(7)."""
CARD_NAMES = "/usr/lib/metis-provision/card-names"
VENDOR_RULES = "/etc/udev/rules.d/72-axelera.rules"
"""Comes with the vendor's package and opens node and DMA heap to everybody; a package's file is never edited."""

CARD_KINDS = frozenset({IdKind.METIS, IdKind.DOCUMENTED, IdKind.EMULATOR})
"""What counts as a card: an emulator that the driver binds, and an id of the documents behind the class guard too."""

INITRAMFS_GROUP = "render"
"""As the documents have it. A name, never a number: an image that does not know it leaves the node to root alone."""

_HAILO_VENDOR = 0x1E60

PACKAGE_DEFAULTS = Settings.model_validate({"driver": DriverSource.NONE})
"""What the rules of a package say: a package knows no host, so it is what every host gets that sets nothing."""


def groups(settings: Settings) -> tuple[Group, ...]:
    """The group that may use the card."""
    return (Group(settings.group, settings.group_gid),)


def users(settings: Settings) -> tuple[User, ...]:
    """Service accounts that belong to the group."""
    return tuple(User(name, settings.group, settings.create_users) for name in settings.service_users)


def files(settings: Settings) -> tuple[File, ...]:
    """The rule, and the program it asks for the card's names; of what our package carries only what deviates."""
    if settings.driver is DriverSource.PACKAGE:
        rules = node_rules(settings, program=PACKAGED_CARD_NAMES)
        return () if rules == packaged_rules() else (File(UDEV_RULES, rules, validator=Validator.UDEV_RULES),)
    return (
        File(CARD_NAMES, card_names(), mode="0755", validator=Validator.SHELL),
        File(UDEV_RULES, node_rules(settings), validator=Validator.UDEV_RULES),
    )


def rules_in_force(settings: Settings) -> str:
    """The file whose rules give a card's nodes their owner and mode."""
    by_package = settings.driver is DriverSource.PACKAGE and not files(settings)
    return PACKAGED_RULES if by_package else UDEV_RULES


def packaged_rules(banner: str = BANNER) -> bytes:
    """The rules that a package of ours carries."""
    return node_rules(PACKAGE_DEFAULTS, banner, PACKAGED_CARD_NAMES)


def card_names(banner: str = BANNER) -> bytes:
    """The program that prints a card's names."""
    return render("usr/lib/metis-provision/card-names", **_matches(), classes=_classes(), banner=banner)


def node_rules(settings: Settings, banner: str = BANNER, program: str = CARD_NAMES) -> bytes:
    """The rules for the card's nodes and the DMA heap; ``program`` is where they find the card's names."""
    return render(
        "etc/udev/rules.d/99-axelera-metis.rules",
        **_matches(),
        banner=banner,
        classes=_classes(),
        hailo_vendor=f"0x{_HAILO_VENDOR:04x}",
        group=settings.group,
        mode=settings.node_mode,
        card_names=program,
        heap=PurePosixPath(str(contract().sysfs.dma_heap)).name if settings.cards else None,
        vendor_rules=VENDOR_RULES,
    )


def initramfs_rules(settings: Settings) -> bytes:  # noqa: ARG001 - the image knows the group of the documents alone
    """``99-axelera.rules``, for udev inside the initramfs."""
    return render(
        "etc/udev/rules.d/99-axelera.rules",
        **_matches(),
        classes=_classes(),
        hailo_vendor=f"0x{_HAILO_VENDOR:04x}",
        group=INITRAMFS_GROUP,
    )


def _classes() -> list[str]:
    return [entry.name for entry in contract().device_classes]


def _matches() -> dict[str, object]:
    """What a template asks of a PCI function: ids as sysfs prints them, and the class that guards doubtful ones."""
    ids = [
        {
            "vendor": f"0x{entry.vendor_hex}",
            "device": f"0x{entry.device_hex}" if entry.device_hex else None,
            "guarded": entry.class_guarded,
        }
        for entry in contract().ids
        if entry.kind in CARD_KINDS
    ]
    return {"ids": ids, "class_guard": f"0x{contract().class_guard.value:04x}*"}

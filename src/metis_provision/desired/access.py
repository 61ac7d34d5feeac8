"""Who may use the card: the group, its members, and the udev rule that gives them the node."""

from __future__ import annotations

from metis_provision.catalog.contract import IdKind, contract
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import File, Group, User, Validator
from metis_provision.model.settings import Settings

UDEV_RULES = "/etc/udev/rules.d/99-axelera-metis.rules"
CARD_NAMES = "/usr/lib/metis-provision/card-names"


def groups(settings: Settings) -> tuple[Group, ...]:
    """The group that may use the card."""
    return (Group(settings.group, settings.group_gid),)


def users(settings: Settings) -> tuple[User, ...]:
    """Service accounts that belong to the group."""
    return tuple(User(name, settings.group, settings.create_users) for name in settings.service_users)


def files(settings: Settings) -> tuple[File, ...]:
    """The rule, and the program it asks for the card's names."""
    ids = [
        {"vendor": f"0x{entry.vendor_hex}", "device": f"0x{entry.device_hex}"}
        for entry in contract().ids
        if entry.kind is IdKind.METIS
    ]
    classes = [entry.name for entry in contract().device_classes]
    return (
        File(
            CARD_NAMES,
            render("usr/lib/metis-provision/card-names", ids=ids),
            mode="0755",
            validator=Validator.SHELL,
        ),
        File(
            UDEV_RULES,
            render(
                "etc/udev/rules.d/99-axelera-metis.rules",
                classes=classes,
                ids=ids,
                group=settings.group,
                mode=settings.node_mode,
                card_names=CARD_NAMES,
                heap=str(contract().sysfs.dma_heap).removeprefix("/dev/") if settings.cards else None,
            ),
            validator=Validator.UDEV_RULES,
        ),
    )

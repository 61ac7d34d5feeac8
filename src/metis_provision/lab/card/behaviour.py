"""How a card may misbehave: what a fault changes in it, and what several at once come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from metis_provision.lab.card.registers import MSI_VECTORS


class Interrupts(StrEnum):
    """Which of the card's interrupts reach the host."""

    ALL = "all"
    FIRST = "first"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Identity:
    """The numbers by which a host knows the card."""

    vendor: int = 0x1F9D
    device: int = 0x1100
    revision: int = 0x02
    class_code: int = 0x120000


METIS = Identity()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a card behaves; the defaults are those of a healthy one."""

    identity: Identity = METIS
    present: bool = True
    """False: configuration space and BARs give 0xff, as if nobody were there."""
    link_width: int | None = None
    """Lanes in LnkSta; None for what card and port can do."""
    link_speed: int | None = None
    """PCI Express generation in LnkSta; None as above."""
    link_flaps: bool = False
    """True: LnkSta changes between the whole link and one Gen1 lane with every read of it."""
    window_mib: int = 32
    """Size of BAR2; what a host is told changes when the card is plugged in anew."""
    answers: bool = True
    """False: every BAR read gives 0xff and every BAR write is lost."""
    deaf_rescans: int = 0
    """As ``answers`` false, until the host has removed and found the card that often since its reset."""
    firmware: bool = True
    """False: the shared area and the register block read zero and no job is taken."""
    firmware_version: tuple[int, int, int] | None = None
    """What the card reports; None for its profile's."""
    interrupts: Interrupts = Interrupts.ALL
    msi_vectors: int = MSI_VECTORS
    """How many the card offers; what a host is told changes when the card is plugged in anew."""
    right_answers: bool = True
    """False: one byte of each product is wrong."""
    product_seconds: float = 0
    """What each product takes longer. The card answers nothing else meanwhile."""
    finishes: bool = True
    """False: a product is never completed."""
    heats_to: int | None = None
    """Degrees Celsius that the hottest sensor climbs to; None for its profile's temperatures."""


HEALTHY = Behaviour()


def combined(behaviours: Iterable[Behaviour]) -> Behaviour:
    """Return what several misbehaviours come to; where two change the same thing, the later has the last word."""
    changes = {
        field.name: getattr(behaviour, field.name)
        for behaviour in behaviours
        for field in fields(Behaviour)
        if getattr(behaviour, field.name) != getattr(HEALTHY, field.name)
    }
    return replace(HEALTHY, **changes)

"""The table of faults the virtual card can show, and what each changes in the card's behaviour.

A new fault is a row of ``FAULTS``; a new kind of misbehaviour is a field of ``Behaviour`` that the device
model obeys. Several faults at once combine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a card behaves; the defaults are those of a healthy one."""

    link_width: int | None = None
    """Lanes in LnkSta; None for the width in LnkCap."""
    answers: bool = True
    """False: every BAR read gives 0xff and every BAR write is lost."""
    firmware: bool = True
    """False: the shared area and the register block read zero and no job is taken."""
    right_answers: bool = True
    """False: one byte of each product is wrong."""
    finishes: bool = True
    """False: a product is never completed."""


HEALTHY = Behaviour()


@dataclass(frozen=True, slots=True)
class Fault:
    """One switchable fault: what it is, what an observer sees, how a card with it alone behaves."""

    name: str
    description: str
    visible: str
    behaviour: Behaviour


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "narrow-link",
            "The link trained to one lane although card and port can do four.",
            "LnkSta x1 below LnkCap x4, in lspci and in current_link_width of the card.",
            Behaviour(link_width=1),
        ),
        Fault(
            "wrong-answer",
            "The card gets one byte of every matrix-vector product wrong.",
            "axrunmodel names the byte, what was expected and what came, and exits 1.",
            Behaviour(right_answers=False),
        ),
        Fault(
            "no-firmware",
            "The card's firmware has not come up.",
            "Shared area reads zero: `vmsi not available` when the driver loads, axdevice says not responding.",
            Behaviour(firmware=False),
        ),
        Fault(
            "silent",
            "The card's memory no longer answers.",
            "Every BAR read gives 0xff and writes are lost; configuration space still answers.",
            Behaviour(answers=False),
        ),
        Fault(
            "hang",
            "A product is started and never finished.",
            "`IRQ MSI timeout` in the kernel log, axrunmodel reports a timeout and exits 1.",
            Behaviour(finishes=False),
        ),
    )
}


def behaviour_under(active: Iterable[str]) -> Behaviour:
    """Return the behaviour with the faults called ``active``; KeyError for an unknown name.

    Where two faults change the same thing, the later row of the table has the last word.
    """
    wanted = set(active)
    unknown = wanted - FAULTS.keys()
    if unknown:
        raise KeyError(min(unknown))
    changes = {
        field.name: value
        for name, fault in FAULTS.items()
        if name in wanted
        for field in fields(Behaviour)
        if (value := getattr(fault.behaviour, field.name)) != field.default
    }
    return replace(HEALTHY, **changes)

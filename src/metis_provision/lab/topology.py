"""What hangs on a lab machine's PCIe bus, as data: root ports, switches, slots, and the cards in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from metis_provision.model.errors import UserError

FIRST_SLOT = "slot0"
DEFAULT_CARD = "m2"
MOST_CARDS = 8
"""Each has a process of its own and 64 MiB of the bus below 4 GiB."""


class Layout(StrEnum):
    """How cards are attached."""

    PLAIN = "plain"
    """Each in a root port of its own."""
    QUAD = "quad"
    """Four behind the switch of one board."""
    SLOW_BRIDGE = "slow-bridge"
    """One behind a switch that is slower and narrower than it."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Link(_Data):
    """What a port can do: PCI Express generation and lanes."""

    generation: Literal[1, 2, 3, 4]
    lanes: Literal[1, 2, 4, 8, 16]


class Slot(_Data):
    """A place for a card below a port; ``card`` is a profile, None for a slot that stays empty."""

    link: Link
    card: str | None


class Board(_Data):
    """A root port, below it a switch, below that slots; ``upstream`` is what the switch can do towards the root."""

    root: Link
    upstream: Link
    slots: tuple[Slot, ...]


class Topology(_Data):
    """A whole bus. Slots are called slot0, slot1, ... in the order of their PCI addresses."""

    ports: tuple[Slot | Board, ...]

    @property
    def slots(self) -> dict[str, Slot]:
        """Every slot by its name."""
        found: list[Slot] = []
        for port in self.ports:
            found += port.slots if isinstance(port, Board) else [port]
        return {f"slot{number}": slot for number, slot in enumerate(found)}

    @property
    def cards(self) -> dict[str, str]:
        """The profiles of the cards by the names of their slots."""
        return {name: slot.card for name, slot in self.slots.items() if slot.card is not None}


_METIS = Link(generation=3, lanes=4)
_BOARD = Link(generation=3, lanes=16)
_SLOW = Link(generation=2, lanes=2)


def lay_out(layout: Layout, card: str | None, count: int | None = None) -> Topology:
    """Return a bus with ``count`` cards of a profile, None for slots that stay empty.

    UserError if the layout cannot have as many; None stands for as many as it has by itself.
    """
    slots = {Layout.PLAIN: count or 1, Layout.QUAD: 4, Layout.SLOW_BRIDGE: 1}[layout]
    if count not in (None, slots):
        raise UserError(f"--topology {layout} has {slots} of the cards, not {count}: leave --cards out.")
    if slots > MOST_CARDS:
        raise UserError(f"A lab machine has at most {MOST_CARDS} cards, not {slots}.")
    match layout:
        case Layout.PLAIN:
            return Topology(ports=(Slot(link=_METIS, card=card),) * slots)
        case Layout.QUAD:
            return Topology(ports=(Board(root=_BOARD, upstream=_BOARD, slots=(Slot(link=_METIS, card=card),) * slots),))
        case Layout.SLOW_BRIDGE:
            return Topology(ports=(Board(root=_METIS, upstream=_SLOW, slots=(Slot(link=_SLOW, card=card),)),))


ONE_CARD = lay_out(Layout.PLAIN, DEFAULT_CARD)

"""Typed view of ``faults.yml``: every fault of the lab, how it is switched, seen, caught and healed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metis_provision.lab.card.faults import BEHAVIOURS
from metis_provision.model.errors import UserError


class Side(StrEnum):
    """What misbehaves."""

    CARD = "card"
    HOST = "host"


class Switch(StrEnum):
    """What the lab takes away from a machine, where neither the card nor a script does it."""

    SLOT = "slot"
    """The card, out of its slot."""
    NETWORK = "network"
    """The cable of the machine's network."""
    POWER = "power"
    """The mains."""


class Heals(StrEnum):
    """What makes the host green again."""

    SWITCH_OFF = "switch-off"
    RESCAN = "rescan"
    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER_CYCLE = "power-cycle"
    MANUAL = "manual"


_GREEN_AGAIN = {
    Heals.SWITCH_OFF: "switched off, and verified again",
    Heals.RESCAN: (
        "the card removed and found again (1 to its remove, then 1 to /sys/bus/pci/rescan), with the fault on or off"
    ),
    Heals.DEPLOY: "switched off, then the deploy",
    Heals.REBOOT: "switched off, then a reboot of the host",
    Heals.POWER_CYCLE: "switched off, then the power taken from the host and given back",
}


class Needs(StrEnum):
    """What is done to the guest so that it sees a switched fault."""

    NOTHING = "nothing"
    RESCAN = "rescan"
    REPLUG = "replug"


class Fault(BaseModel):
    """One switchable fault; the head of ``faults.yml`` says what each field stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    side: Side
    description: str = Field(min_length=1)
    look: str | None = None
    shows: str | None = None
    codes: tuple[str, ...]
    settings: Mapping[str, Any] = Field(default_factory=dict)
    heals: Heals
    manual: str | None = None
    quick: bool = False
    in_container: bool = False
    switch: Switch | None = None
    begin: str | None = None
    end: str | None = None
    needs_on: Needs = Needs.NOTHING
    needs_off: Needs = Needs.NOTHING

    @field_validator("shows")
    @classmethod
    def _is_a_pattern(cls, shows: str | None) -> str | None:
        try:
            re.compile(shows or "")
        except re.error as error:
            raise ValueError(f"{shows!r} is no regular expression: {error}") from error
        return shows

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.begin is None) != (self.end is None):
            raise ValueError("begin and end belong together")
        if [self.is_the_cards_own, self.switch is not None, self.begin is not None].count(True) != 1:
            raise ValueError("a fault is switched in one way: by the card, by switch, or by begin and end")
        if self.is_the_cards_own and self.side is not Side.CARD:
            raise ValueError("what the card does itself is on the card's side")
        if len({self.look is None, self.shows is None, not self.codes}) != 1:
            raise ValueError("a fault has look, shows and codes, or none of them where the machine is cut off")
        if self.in_container and self.begin is None:
            raise ValueError("only a script can do anything in a container")
        if (self.manual is not None) != (self.heals is Heals.MANUAL):
            raise ValueError("manual says what to do where heals is manual, and nowhere else")
        return self

    @property
    def is_the_cards_own(self) -> bool:
        """Whether the card process shows it by itself."""
        return self.name in BEHAVIOURS

    @property
    def cuts_off(self) -> bool:
        """Whether the machine cannot be asked anything while the fault is on."""
        return self.look is None

    @property
    def visible(self) -> str:
        """What is seen from outside, as one sentence."""
        if self.look is None:
            return "The machine does not answer; metis-provision ends with status 3."
        return f"`{self.look}` prints what matches `{self.shows}`."

    @property
    def green_again(self) -> str:
        """What makes the host green again, as half a sentence."""
        return self.manual or _GREEN_AGAIN[self.heals]

    def is_shown_by(self, output: str) -> bool:
        """Whether what ``look`` printed shows the fault."""
        return re.search(self.shows or "", output, re.MULTILINE) is not None


def read_faults(table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Fault]:
    """Faults by name, in the table's order; ValueError for one that breaks its own rules."""
    return {name: Fault.model_validate({"name": name, **row}) for name, row in table.items()}


@cache
def faults() -> Mapping[str, Fault]:
    """Return the table, read once."""
    text = files("metis_provision.lab").joinpath("faults.yml").read_text(encoding="utf-8")
    return read_faults(yaml.safe_load(text))


def fault_called(name: str) -> Fault:
    """Return the fault of that name; UserError if the table has none."""
    known = faults()
    if name not in known:
        raise UserError(f"No fault is called {name!r}: metis-provision lab fault --list shows them.")
    return known[name]

"""The core plan: independent cores or one instance over all of them, from model size, card memory and a wish.

Everything is for one AIPU; each AIPU of a card with several has its own memory and gets the same plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from metis_provision.catalog.cards import CORES, Card
from metis_provision.model.errors import UserError
from metis_provision.model.settings import PREFIX, Settings, Wish

SHARE = 1.0 / CORES
"""``resources_used`` is a multiple of this, and that of all models on an AIPU at most 1.0 (compiler documents)."""
MIB, GIB = 1 << 20, 1 << 30


class Mode(StrEnum):
    """How the cores work."""

    INDEPENDENT = "independent"
    """Each core runs an instance of its own, on a frame of its own."""
    SHARED = "shared"
    """One instance, compiled for all cores, which share its memory and begin together."""


@dataclass(frozen=True, slots=True)
class CorePlan:
    """What to compile with (``aipu_cores_used``, ``resources_used``), how many instances to run, and why."""

    mode: Mode
    aipu_cores_used: int
    resources_used: float
    instances: int
    reasons: tuple[str, ...]

    @property
    def busy_cores(self) -> int:
        """Cores that work when all instances do."""
        return self.instances * self.aipu_cores_used


def core_plan(size: int, memory: int, wish: Wish, cards: Mapping[str, Card]) -> CorePlan:
    """Decide for a model that takes ``size`` bytes of the ``memory`` bytes an AIPU has to give.

    ``cards`` are looked through for one with more memory. Raises UserError for a model that does not fit even once.
    """
    fitting = memory // size
    if fitting == 0:
        raise UserError(
            f"the model takes {shown(size)} and the card has {shown(memory)} for it: not even one instance fits; "
            f"{_larger(size, cards)}, or make the model smaller"
        )
    if wish is Wish.THROUGHPUT:
        return _shared(_throughput_reasons(size, memory, fitting))
    if fitting == 1:
        return _shared(_one_copy_reasons(size, memory, cards))
    return _independent(min(CORES, fitting), _latency_reasons(size, memory, fitting, cards))


def self_test_plan(settings: Settings, cards: Mapping[str, Card]) -> CorePlan | None:
    """The plan of the self-test's model; None where the settings do not say what it takes, which leaves it to the tool.

    Raises UserError for a model that does not fit even once.
    """
    if settings.self_test_memory is None:
        return None
    smallest = min(memory for card in cards.values() for memory in card.memory_gib)
    memory = (settings.card_memory or smallest) * GIB
    try:
        return core_plan(settings.self_test_memory, memory, settings.self_test_for, cards)
    except UserError as error:
        raise UserError(f"{PREFIX}self_test_memory: {error}") from error


def shape_mistake(shape: str) -> str | None:
    """Why a model with this input shape cannot be compiled, as one sentence; None if its batch is one.

    A shape is written as ``1x3x640x640``, ``1,3,640,640`` or ``[1, 3, 640, 640]``.
    """
    words = re.split(r"\s*[x,]\s*", shape.strip().removeprefix("[").removesuffix("]").strip())
    if not all(re.fullmatch(r"[0-9]{1,9}", word) and int(word) for word in words[1:]) or len(words) < 2:
        return f"{shape!r} is not an input shape: whole numbers with the batch first, for example 1x3x640x640"
    batch = words[0]
    if batch.isdecimal() and batch.isascii() and int(batch) == 1:
        return None
    if not re.fullmatch(r"[0-9]{1,9}|-1|\?|[A-Za-z_][A-Za-z0-9_]*", batch) or batch.strip("0") == "":
        return f"{shape!r} is not an input shape: whole numbers with the batch first, for example 1x3x640x640"
    given = f"a batch of {batch}" if batch.isdecimal() else f"a batch that is left open ({batch})"
    return (
        f"{shape} has {given}, which axcompile rejects: export the model with a first dimension of 1; samples are "
        f"worked on in parallel by several cores (num_children={CORES} in an .axnet, aipu_cores: {CORES} in a pipeline)"
    )


def shown(size: int) -> str:
    """Bytes for a reader."""
    unit, name = (GIB, "GiB") if size >= GIB else (MIB, "MiB")
    return f"{size / unit:.4g} {name}"


def _shared(reasons: Iterable[str]) -> CorePlan:
    return CorePlan(Mode.SHARED, CORES, 1.0, 1, tuple(reasons))


def _independent(instances: int, reasons: Iterable[str]) -> CorePlan:
    return CorePlan(Mode.INDEPENDENT, 1, SHARE, instances, tuple(reasons))


def _throughput_reasons(size: int, memory: int, fitting: int) -> Iterable[str]:
    yield _room(size, memory, fitting)
    yield "for throughput the compiler plans the on-chip memory for all four cores at once"
    yield "the cores begin together, so that a frame may wait for three others"
    if fitting >= CORES:
        yield "four independent instances fit, too: where memory is no limit they may do as well; measure both"


def _one_copy_reasons(size: int, memory: int, cards: Mapping[str, Card]) -> Iterable[str]:
    yield _room(size, memory, 1)
    yield "one instance over all four cores leaves none of them idle; a single core would"
    yield f"lower latency needs independent cores, so room for several copies: {_larger(CORES * size, cards)}"


def _latency_reasons(size: int, memory: int, fitting: int, cards: Mapping[str, Card]) -> Iterable[str]:
    yield _room(size, memory, fitting)
    yield "an independent core begins with a frame as soon as it comes and waits for no other"
    if fitting < CORES:
        yield f"{CORES - fitting} of {CORES} cores stay idle: {_larger(CORES * size, cards)}, or plan for throughput"


def _room(size: int, memory: int, fitting: int) -> str:
    return f"{min(CORES, fitting)} of {CORES} copies of {shown(size)} fit into {shown(memory)}"


def _larger(needed: int, cards: Mapping[str, Card]) -> str:
    fitting = [
        f"{card.title} ({memory} GiB)"
        for card in cards.values()
        for memory in card.memory_gib
        if memory * GIB >= needed
    ]
    if not fitting:
        return f"no card of the catalogue has the {shown(needed)} this takes"
    return f"{shown(needed)} are on: {', '.join(fitting)}"

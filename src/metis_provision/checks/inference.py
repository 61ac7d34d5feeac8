"""Whether inferences on a host came to an end, and to what, against what its card can do at most."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metis_provision.catalog.cards import CORES, cards
from metis_provision.checks.device import CUT_OFF, INSTALL_RUNTIME, NOT_FOUND, TIMED_OUT
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.model.settings import CLOCKS_MHZ, RuntimeSource
from metis_provision.model.survey import CommandResult
from metis_provision.model.verdict import Inference
from metis_provision.survey.tools import parse_devices, parse_self_test

_NAME_INFERENCE = "Have metis_inference name the SDK's inference.py by its path there, or leave it out for axrunmodel."
_CORES_OF_COMMAND = re.compile(r"--aipu-cores (\d)\b")


def inferences(evidence: Evidence) -> Iterator[Inference]:
    """The self-test's and the long level's, as far as they ran and told a throughput."""
    for result, sustained in ((evidence.survey.self_test, False), (evidence.survey.sustained, True)):
        if result is not None and result.status == 0:
            yield from _inference(evidence, result, sustained)


def need_end(evidence: Evidence, result: CommandResult) -> None:
    """Raise ``CannotLook`` for an inference whose program is not there or was cut off."""
    if result.status == NOT_FOUND and evidence.settings.inference:
        place = "in the runtime's image" if evidence.settings.runtime is RuntimeSource.CONTAINER else "on this host"
        raise CannotLook(f"{evidence.settings.inference} is not {place}", _NAME_INFERENCE)
    if result.status == NOT_FOUND:
        raise CannotLook(f"{result.program} is not installed on this host", INSTALL_RUNTIME)
    if result.status == TIMED_OUT:
        raise CannotLook("the inference did not end in time", CUT_OFF, power_cycle=True)


def _inference(evidence: Evidence, result: CommandResult, sustained: bool) -> Iterator[Inference]:
    throughput = parse_self_test(result.output).throughput
    if throughput is None:
        return
    where, fps = throughput
    cores, clock, peak = _peak(evidence, result)
    operations = evidence.settings.model_operations
    tops = operations * fps / 1e12 if operations else None
    yield Inference(sustained, fps, where, cores, clock, peak, tops, tops / peak if tops is not None else None)


def _peak(evidence: Evidence, result: CommandResult) -> tuple[int, int, float]:
    """Cores that took part, their clock, and what they can do at most: the card's figure by cores and clock."""
    named = _CORES_OF_COMMAND.search(result.command)
    cores = int(named[1]) if named else CORES
    devices = [device for device in parse_devices(_listed(evidence)) if device.responding]
    clocks = [device.clock_mhz for device in devices if device.clock_mhz]
    clock = min(clocks, default=evidence.settings.clock_mhz or CLOCKS_MHZ[-1])
    boards = {device.board for device in devices}
    known = [card for card in cards().values() if card.board in boards] or list(cards().values())
    card = known[0]
    return cores, clock, round(card.peak_tops * cores / card.cores * clock / card.clock_mhz, 2)


def _listed(evidence: Evidence) -> tuple[str, ...]:
    return evidence.survey.devices.output if evidence.survey.devices is not None else ()

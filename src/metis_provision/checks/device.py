"""Checks of the card behind its node: its firmware answers, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped
from metis_provision.model.survey import CommandResult
from metis_provision.survey.tools import Device, parse_devices, says_busy, trouble

checks = Checks()

INSTALL_RUNTIME = "Install the runtime (metis_runtime) or run it in its container; it brings axdevice and axrunmodel."
CUT_OFF = "Look at the kernel log for timeouts of the driver, then switch the power of the host off and on."

NOT_FOUND, TIMED_OUT = 127, 124


@checks.answers("METIS-401")
def firmware_answers(evidence: Evidence) -> Iterator[Outcome]:
    """Every card expected answers ``axdevice``."""
    if evidence.survey.devices is None and evidence.holders:
        yield skipped(busy(evidence), brief="busy")
        return
    result = evidence.devices
    devices = parse_devices(result.output)
    answering = [device for device in devices if device.responding]
    if len(answering) >= evidence.settings.cards and result.status == 0:
        for device in answering:
            yield passed(describe(device), subject=device.node or "", brief=device.firmware or "answers")
        return
    if evidence.holders or says_busy(result.output):
        yield skipped(busy(evidence), brief="busy")
        return
    _refuse_to_judge(result, devices)
    detail = trouble(result.output).rstrip(".")
    yield failed(
        short=f"{len(answering)} of {evidence.settings.cards}",
        answering=len(answering) or "none",
        expected=evidence.settings.cards,
        detail=f"; axdevice said: {detail}" if detail else "",
    )


def describe(device: Device) -> str:
    """Return what a device says of itself, as far as it says it."""
    parts = (
        f"{device.memory_gib} GiB" if device.memory_gib is not None else "",
        device.board or "",
        f"firmware {device.firmware}" if device.firmware else "",
        f"board controller {device.controller}" if device.controller else "",
        f"{device.clock_mhz} MHz" if device.clock_mhz is not None else "",
    )
    return f"{device.node or 'A device'} answers: {', '.join(part for part in parts if part) or 'no detail'}."


def busy(evidence: Evidence) -> str:
    """Return why a check that needs the card alone was left out."""
    held = [f"{node.path} by {holder.command} (process {holder.pid})" for node, holder in evidence.holders]
    return f"the card is held: {', '.join(held)}" if held else "the card is held by another process"


def _refuse_to_judge(result: CommandResult, devices: tuple[Device, ...]) -> None:
    """Raise ``CannotLook`` for output that says nothing about the card, one way or the other."""
    if result.status == NOT_FOUND:
        raise CannotLook("axdevice is not installed on this host", INSTALL_RUNTIME)
    if result.status == TIMED_OUT:
        raise CannotLook("axdevice did not end in time", CUT_OFF)
    if not devices and result.status == 0:
        said = trouble(result.output)
        raise CannotLook(
            f"what axdevice printed is not understood: {said}" if said else "axdevice printed nothing",
            "Run axdevice on the host; if it lists the card, report its output so that this form is learned.",
        )

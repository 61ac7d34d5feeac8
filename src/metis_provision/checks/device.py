"""Checks of the card behind its node: its firmware answers, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metis_provision.catalog.contract import contract
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.settings import CLOCKS_MHZ, RuntimeSource
from metis_provision.model.survey import CommandResult, Section
from metis_provision.survey.tools import Device, parse_devices, says_busy, trouble

checks = Checks()

INSTALL_RUNTIME = "Install the runtime (metis_runtime) or run it in its container; it brings axdevice and axrunmodel."
CUT_OFF = "Look at the kernel log for timeouts of the driver, then switch the power of the host off and on."

INSTALL_TOOLS = "Install kmod (lsmod) and pciutils (lspci) wherever the runtime runs."
SELF_TEST_OFF = "the self-test is switched off (metis_self_test = False)"
HELD_BY_NOBODY = "the tool found the card held by another process, but no holder was seen"
VERIFY_LATER = "Verify again; if it stays, look for a container that has the card."

READ_DEVICES = "Run axdevice on the host and read what it prints."

NOT_FOUND, TIMED_OUT = 127, 124
_LEADING_NUMBERS = re.compile(r"v?(\d{1,6}(?:\.\d{1,6})*)", re.ASCII)


@checks.answers("METIS-401")
def firmware_answers(evidence: Evidence) -> Iterator[Outcome]:
    """Every card expected answers ``axdevice``."""
    result = evidence.survey.devices
    if evidence.holders and (result is None or says_busy(result.output)):
        yield skipped(held_by(evidence), brief="busy")
        return
    result = evidence.devices
    devices = parse_devices(result.output)
    answering = tuple({device.node: device for device in devices if device.responding}.values())
    if len(answering) >= evidence.settings.cards and result.status == 0:
        for device in answering:
            yield passed(
                f"{describe(device)}{attempts(result)}", subject=device.node, brief=device.firmware or "answers"
            )
        return
    if result.status == NOT_FOUND and not _runtime_wanted(evidence):
        yield skipped("no runtime is wanted on this host (metis_runtime, metis_self_test)")
        return
    _refuse_to_judge(evidence, result, devices)
    detail = trouble(result.output).rstrip(".")
    said = f"; axdevice said: {detail}" if detail else ""
    yield failed(
        short=f"{len(answering)} of {evidence.settings.cards}",
        answering=len(answering),
        expected=evidence.settings.cards,
        detail=f"{said}{attempts(result)}".rstrip("."),
    )


@checks.answers("METIS-402")
def firmware_recent(evidence: Evidence) -> Iterator[Outcome]:
    """The flashed firmware of every card that answers is no older than the settings ask for."""
    floor = evidence.settings.min_firmware
    if floor is None:
        yield skipped("no oldest firmware is set (metis_min_firmware)")
        return
    devices = _answering(evidence)
    if not devices and evidence.holders:
        yield skipped(held_by(evidence), brief="busy")
    elif not devices:
        raise CannotLook("no card says which firmware it has (METIS-401)", READ_DEVICES)
    for device in devices:
        found = _numbers(device.firmware or "")
        if not found:
            yield unknown(f"{device.node} does not say which firmware it has", READ_DEVICES, subject=device.node)
        elif found < _numbers(floor):
            yield failed(
                about=device.node,
                short=f"firmware {device.firmware}",
                node=device.node,
                firmware=device.firmware,
                floor=floor,
            )
        else:
            yield passed(f"{device.node} runs firmware {device.firmware}.", subject=device.node)


@checks.answers("METIS-403")
def clock_as_set(evidence: Evidence) -> Iterator[Outcome]:
    """Every card that answers runs at the clock that is set, or at its highest."""
    wanted = evidence.settings.clock_mhz or CLOCKS_MHZ[-1]
    devices = _answering(evidence)
    if not devices:
        yield skipped("no card says its clock (METIS-401)")
    for device in devices:
        if device.clock_mhz is None:
            yield skipped(f"{device.node} does not say its clock", subject=device.node)
        elif device.clock_mhz < wanted:
            yield warned(
                about=device.node,
                short=f"{device.clock_mhz} MHz",
                node=device.node,
                now=device.clock_mhz,
                wanted=wanted,
            )
        else:
            yield passed(f"{device.node} runs at {device.clock_mhz} MHz.", subject=device.node)


def _answering(evidence: Evidence) -> tuple[Device, ...]:
    """Every device that answers, each once; CannotLook where axdevice was not run although the card is free."""
    result = evidence.survey.devices if evidence.holders else evidence.devices
    output = result.output if result is not None else ()
    return tuple({device.node: device for device in parse_devices(output) if device.responding}.values())


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, such as (1, 2, 0) of v1.2.0-rc2; empty if it has none."""
    found = _LEADING_NUMBERS.match(version)
    return tuple(map(int, found[1].split("."))) if found else ()


def attempts(result: CommandResult) -> str:
    """What earlier attempts came to, as a sentence to add; empty if the first one was the only one."""
    told = [
        f"attempt {number} ended with status {earlier.status}: {trouble(earlier.output).rstrip('.') or 'no words'}"
        for number, earlier in enumerate(result.earlier, start=1)
    ]
    return f" (attempt {len(told) + 1}; {'; '.join(told)})." if told else ""


def describe(device: Device) -> str:
    """Return what a device says of itself, as far as it says it."""
    parts = (
        f"{device.memory_gib} GiB" if device.memory_gib is not None else "",
        device.board or "",
        f"firmware {device.firmware}" if device.firmware else "",
        f"board controller {device.controller}" if device.controller else "",
        f"{device.clock_mhz} MHz" if device.clock_mhz is not None else "",
    )
    return f"{device.node} answers: {', '.join(part for part in parts if part) or 'no detail'}."


def held_by(evidence: Evidence) -> str:
    """Return why a check that needs the card alone was left out; METIS-320 warns of the holders."""
    held = [f"{node.path} by {holder.command} (process {holder.pid})" for node, holder in evidence.holders]
    return f"the card is held: {', '.join(held)}"


def _runtime_wanted(evidence: Evidence) -> bool:
    return evidence.settings.runtime is not RuntimeSource.NONE or evidence.settings.self_test


def _refuse_to_judge(evidence: Evidence, result: CommandResult, devices: tuple[Device, ...]) -> None:
    """Raise ``CannotLook`` for output that says nothing about the card, one way or the other."""
    if says_busy(result.output):
        raise CannotLook(HELD_BY_NOBODY, VERIFY_LATER)
    if result.status == NOT_FOUND:
        raise CannotLook("axdevice is not installed on this host", INSTALL_RUNTIME)
    if result.status == TIMED_OUT:
        raise CannotLook("axdevice did not end in time", CUT_OFF, power_cycle=True)
    missing = [tool for tool in contract().tools.axdevice.needs if tool not in evidence.survey.host.tools]
    if Section.HOST in evidence.survey.sections and missing and not devices:
        raise CannotLook(f"axdevice runs {' and '.join(missing)}, which this host lacks", INSTALL_TOOLS)
    if not devices and result.status == 0:
        said = trouble(result.output)
        raise CannotLook(
            f"what axdevice printed is not understood: {said}" if said else "axdevice printed nothing",
            "Run axdevice on the host; if it lists the card, report its output so that this form is learned.",
        )

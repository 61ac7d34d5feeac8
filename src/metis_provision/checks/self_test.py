"""Checks of the self-test: an inference ran, its answer was right, it was fast enough."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.device import (
    HELD_BY_NOBODY,
    SELF_TEST_OFF,
    VERIFY_LATER,
    held_by,
)
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.inference import inferences, need_end
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown
from metis_provision.model.survey import CommandResult, Section
from metis_provision.survey.tools import (
    AnswerCheck,
    SelfTestOutput,
    parse_self_test,
    says_busy,
    trouble,
    version_mismatch,
)

checks = Checks()

_UNITS = (("TOPS", 1e12), ("GOPS", 1e9), ("MOPS", 1e6))
_DID_NOT_RUN = "the self-test did not come that far (METIS-501)"
_SET_MODEL = (
    "Set metis_model_source (a compiled model to hand over) or metis_self_test_model (one that is on the host), "
    "or metis_self_test = False to go without."
)
_NOT_COMPARED = "Nothing to repair: the inference ended well, but whether its answer was right is not proven."
_COUNT_INTERRUPTS = "Look for the card's lines in /proc/interrupts on the host, before and after an inference."
_READ_OUTPUT = "Run the same command on the host and report its output, so that this form is learned."


@checks.answers("METIS-501")
def self_test_ran(evidence: Evidence) -> Iterator[Outcome]:
    """The inference ended well and reported a throughput."""
    reason = _left_out(evidence)
    if reason is not None:
        yield reason
        return
    result = evidence.self_test
    output = parse_self_test(result.output)
    need_end(evidence, result)
    if result.status != 0:
        yield failed(short="did not run", command=result.command, status=result.status, detail=_last_words(result))
    elif not output.throughput:
        raise CannotLook(f"the self-test ended well but reported no throughput: {_last_words(result)}", _READ_OUTPUT)
    elif output.throughput[1] <= 0:
        yield failed(short="no frames", command=result.command, status=0, detail="its throughput is zero")
    else:
        figures = ", ".join(part for part in (_figures(output), _operations(evidence, output)) if part)
        yield passed(f"{result.command}: {figures}.", brief=f"{output.throughput[1]:g} FPS")


@checks.answers("METIS-502")
def answer_right(evidence: Evidence) -> Iterator[Outcome]:
    """What the card computed is what it should have computed."""
    ran = _output(evidence)
    if isinstance(ran, Outcome):
        yield ran
        return
    result, output = ran
    if output.answer is AnswerCheck.WRONG:
        yield failed(short="wrong answer", detail=output.answer_line.rstrip("."))
    elif output.answer is AnswerCheck.UNREADABLE:
        raise CannotLook(f"what the tool says of the answer is not understood: {output.answer_line}", _READ_OUTPUT)
    elif result.status != 0:
        yield skipped(_DID_NOT_RUN)
    elif output.answer is AnswerCheck.RIGHT:
        yield passed(f"{output.answer_line}.")
    else:
        yield unknown(
            "this tool does not compare the answer with the right one",
            _NOT_COMPARED,
            brief="answer unproven",
            required=False,
        )


@checks.answers("METIS-503")
def fast_enough(evidence: Evidence) -> Iterator[Outcome]:
    """The throughput reaches the floor of the settings."""
    floor = evidence.settings.min_fps
    ran = _output(evidence)
    if floor is None:
        yield skipped("no floor is set (metis_min_fps)")
    elif isinstance(ran, Outcome):
        yield ran
    elif ran[0].status != 0 or ran[1].throughput is None:
        yield skipped(_DID_NOT_RUN)
    else:
        where, fps = ran[1].throughput
        if fps < floor:
            yield failed(short=f"{fps:g} FPS", fps=f"{fps:g}", where=where, floor=f"{floor:g}")
        else:
            yield passed(f"{fps:g} FPS ({where}), at least {floor:g} are asked for.")


@checks.answers("METIS-505")
def interrupts_came(evidence: Evidence) -> Iterator[Outcome]:
    """Cards that worked raised interrupts meanwhile; a driver that polls in their place is slow and hides a fault."""
    ran = _output(evidence)
    if isinstance(ran, Outcome):
        yield ran
        return
    if ran[0].status != 0:
        yield skipped(_DID_NOT_RUN)
        return
    load = evidence.survey.load
    counted = (*evidence.survey.interrupts, *(load.interrupts if load else ()))
    if evidence.driver.parameters.get("dma_poll", "0") != "0":
        yield skipped("the driver was loaded with dma_poll, so that it does not wait for interrupts")
    elif not counted:
        yield unknown("the kernel does not count the card's interrupts", _COUNT_INTERRUPTS, required=False)
    else:
        raised = {
            bdf: sum(it.after - it.before for it in counted if it.bdf == bdf) for bdf in {it.bdf for it in counted}
        }
        for bdf, number in sorted(raised.items()):
            if number > 0:
                yield passed(f"{bdf} raised {number} interrupts during the inference.", subject=bdf)
            else:
                yield failed(about=bdf, short="no interrupts", where=bdf)


@checks.answers("METIS-504")
def model_for_this_runtime(evidence: Evidence) -> Iterator[Outcome]:
    """The runtime took the model as one of its own release."""
    ran = _output(evidence)
    if isinstance(ran, Outcome):
        yield ran
        return
    result, _ = ran
    mismatch = version_mismatch(result.output)
    if mismatch is not None:
        actual, expected = mismatch
        yield failed(short=f"model for {actual}", actual=actual, expected=expected, model=result.command)
    elif result.status != 0:
        yield skipped(_DID_NOT_RUN)
    else:
        yield passed("The runtime took the model.")


def _left_out(evidence: Evidence) -> Outcome | None:
    """Why there is no output to judge, or None if there is."""
    if not evidence.settings.self_test:
        return skipped(SELF_TEST_OFF)
    result = _result(evidence)
    if result is not None and not says_busy(result.output):
        return None
    if evidence.holders:
        return skipped(held_by(evidence), brief="busy")
    if result is not None:
        return unknown(HELD_BY_NOBODY, VERIFY_LATER)
    named = (evidence.settings.self_test_model, evidence.settings.model_source, evidence.settings.inference)
    if not any(named):
        return unknown("no model is set for the self-test", _SET_MODEL)
    return None


def _output(evidence: Evidence) -> tuple[CommandResult, SelfTestOutput] | Outcome:
    if not evidence.settings.self_test:
        return skipped(SELF_TEST_OFF)
    result = _result(evidence)
    if result is None:
        return skipped(_DID_NOT_RUN)
    return result, parse_self_test(result.output)


def _result(evidence: Evidence) -> CommandResult | None:
    return evidence.survey.self_test if Section.SELF_TEST in evidence.survey.sections else None


def _last_words(result: CommandResult) -> str:
    return trouble(result.output).rstrip(".") or "it printed nothing"


def _figures(output: SelfTestOutput) -> str:
    return ", ".join(f"{where} {fps:g} FPS" for where, fps in sorted(output.fps.items()))


def _operations(evidence: Evidence, output: SelfTestOutput) -> str:
    """What the throughput comes to in operations a second, where the settings say what an inference takes."""
    each = evidence.settings.model_operations
    if not each or not output.throughput:
        return ""
    rate = each * output.throughput[1]
    unit, scale = next(((unit, scale) for unit, scale in _UNITS if rate >= scale), _UNITS[-1])
    told = f"{rate / scale:.1f} {unit}"
    for found in inferences(evidence):
        if not found.sustained and found.utilisation is not None:
            told += (
                f" ({found.utilisation * 100:.3g} % of the {found.peak_tops:g} TOPS that "
                f"{found.cores} core{'s' * (found.cores != 1)} can do at {found.clock_mhz} MHz)"
            )
    return told

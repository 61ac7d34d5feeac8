"""The report as a document with a published form: keys that stay, under a version that changes if they ever must.

``docs/report.schema.json`` is generated from these models. A reader of an older document finds new keys absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metis_provision.model.errors import UserError
from metis_provision.model.verdict import Answer, Area, Finding, Level, Standing, WaiverState, When
from metis_provision.report.rows import Row, standings

SCHEMA: Literal["metis-provision/verdicts"] = "metis-provision/verdicts"

Code = Annotated[str, Field(pattern=r"^METIS-[0-9]{3}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class FindingEntry(_Part):
    """One check's answer on one host, about one subject or the host as a whole."""

    code: Code
    title: str
    area: Area
    answer: Answer
    required: bool
    subject: str
    brief: str = Field(description="The few words that stand for the answer in a table.")
    seen: str = Field(description="The evidence in words.")
    next: str = Field(description="What to do about anything that is not a pass; empty otherwise.")
    waived: bool = Field(False, description="An operator accepts it, so that it does not decide.")
    power_cycle: bool = Field(False, description="Taking the power away may be all that helps.")
    when: When = Field(When.NOW, description="Of the host as it runs, or as it will be after its next boot.")


class WaiverEntry(_Part):
    """A failure that an operator accepts for a time, and what became of that."""

    code: Code
    reason: str
    until: date = Field(description="The last day on which it counts.")
    state: WaiverState


class LinkEntry(_Part):
    """The slowest link on the way to a card, and what the way allows: GT/s and lanes."""

    card: str
    speed: float
    width: int
    allowed_speed: float
    allowed_width: int


class InferenceEntry(_Part):
    """What an inference came to: ``peak_tops`` is what the cores that took part can do at their clock."""

    sustained: bool = Field(description="The one of level long, not the short self-test.")
    fps: float
    where: str = Field(description="Where the throughput was measured: system, end-to-end, host or device.")
    cores: int
    clock_mhz: int
    peak_tops: float
    tops: float | None = Field(description="Null where metis_model_operations is not set.")
    utilisation: float | None = Field(description="Of the peak, 0 to 1.")


class HostEntry(_Part):
    """A host of the run; ``standing`` is null for one without a verdict, and ``reason`` then says why."""

    host: str
    standing: Standing | None
    now: Standing | None = Field(None, description="The standing of the host as it runs, without its next boot.")
    next_boot: Standing | None = Field(None, description="The standing of its next boot; null if nothing was asked.")
    ok: bool
    reason: str
    level: Level = Field(Level.MEDIUM, description="How far verification went.")
    seconds: float | None = Field(
        None, description="What looking took by the host's own clock; null if it did not say."
    )
    seconds_allowed: int | None = Field(None, description="What it was given.")
    findings: tuple[FindingEntry, ...]
    waivers: tuple[WaiverEntry, ...] = ()
    links: tuple[LinkEntry, ...] = ()
    inferences: tuple[InferenceEntry, ...] = ()


class Summary(_Part):
    """How many hosts have which standing."""

    hosts: int
    green: int
    warned: int
    unproven: int
    failed: int
    no_verdict: int


class Report(_Part):
    """One verification of a fleet."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    kind: Literal["metis-provision/verdicts"] = Field(SCHEMA, alias="schema")
    schema_version: Literal[1] = 1
    generated: datetime = Field(description="When the run ended.")
    summary: Summary
    hosts: tuple[HostEntry, ...]


def report_of(rows: Iterable[Row], generated: datetime) -> Report:
    """Return the document of a run that ended at ``generated``."""
    listed = tuple(rows)
    counts = standings(listed)
    summary = Summary(
        hosts=len(listed),
        no_verdict=counts[None],
        **{standing.value: counts[standing] for standing in Standing},
    )
    return Report(schema=SCHEMA, generated=generated, summary=summary, hosts=tuple(_host(row) for row in listed))


def report_text(report: Report) -> str:
    """Return the document as JSON; harmless to a terminal, because everything but ASCII is escaped."""
    return json.dumps(report.model_dump(mode="json", by_alias=True), indent=2) + "\n"


def read_report(text: str | bytes, where: str) -> Report:
    """Return a report that was written earlier; UserError naming ``where`` for anything else."""
    try:
        return Report.model_validate(json.loads(text))
    except ValidationError as error:
        detail = error.errors()[0]
        trouble = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    except ValueError as error:
        trouble = str(error)
    raise UserError(f"{where} is not a report that metis-provision verify --json wrote ({trouble})")


def _host(row: Row) -> HostEntry:
    verdict = row.verdict
    if verdict is None:
        return HostEntry(
            host=row.host,
            standing=None,
            now=None,
            next_boot=None,
            ok=False,
            reason=row.reason,
            level=Level.MEDIUM,
            seconds=None,
            seconds_allowed=None,
            findings=(),
        )
    return HostEntry(
        host=row.host,
        standing=verdict.standing,
        now=verdict.now,
        next_boot=verdict.next_boot,
        ok=verdict.ok,
        reason=row.reason,
        level=verdict.level,
        seconds=verdict.seconds,
        seconds_allowed=verdict.limit,
        findings=tuple(map(_finding, verdict.findings)),
        waivers=tuple(map(WaiverEntry.model_validate, verdict.waivers)),
        links=tuple(map(LinkEntry.model_validate, verdict.links)),
        inferences=tuple(map(InferenceEntry.model_validate, verdict.inferences)),
    )


def _finding(finding: Finding) -> FindingEntry:
    return FindingEntry(
        code=finding.code,
        title=finding.title,
        area=finding.area,
        answer=finding.answer,
        required=finding.required,
        subject=finding.subject,
        brief=finding.brief,
        seen=finding.seen,
        next=finding.next_step,
        waived=finding.waived,
        power_cycle=finding.power_cycle,
        when=finding.when,
    )

"""The report as one HTML page: nothing is asked of the network, and nothing a host said can act in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metis_provision.model.text import literal
from metis_provision.model.verdict import LINK_SPEEDS, Answer, Area, Standing, WaiverState
from metis_provision.report.changes import changes
from metis_provision.report.document import FindingEntry, HostEntry, LinkEntry, Report
from metis_provision.report.rows import TROUBLE, level_words

NO_VERDICT = "no-verdict"
_ORDER = (Standing.FAILED.value, NO_VERDICT, Standing.UNPROVEN.value, Standing.WARNED.value, Standing.GREEN.value)
_ANSWER_ORDER = (Answer.FAIL, Answer.UNKNOWN, Answer.WARN)
_MOST_LANES = 32
"""Of any link (PCI Express Base); a host that says more is not drawn at that length."""


@dataclass(frozen=True, slots=True)
class HostView:
    """A host as the page shows it; ``anchor`` is where."""

    anchor: str
    entry: HostEntry

    @property
    def standing(self) -> str:
        """Its standing, or no-verdict."""
        return self.entry.standing or NO_VERDICT

    @property
    def told(self) -> tuple[FindingEntry, ...]:
        """Findings that a reader is told in full, worst first."""
        found = [finding for finding in self.entry.findings if finding.answer in TROUBLE]
        return tuple(sorted(found, key=_urgency))

    def quiet(self, answer: str) -> tuple[str, ...]:
        """Numbers of the codes that answered ``answer``, pass or skip; a filter for a whole code looks for trouble."""
        return tuple(dict.fromkeys(f.code.removeprefix("METIS-") for f in self.entry.findings if f.answer == answer))

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """For each area its name, its worst answer (or waived, none) and its words."""
        for area in Area:
            found = [finding for finding in self.entry.findings if finding.area is area]
            if not found:
                yield area.value, "none", "not looked at"
                continue
            worst = min(found, key=_rank)
            briefs = dict.fromkeys(finding.brief for finding in found if _rank(finding) == _rank(worst))
            yield area.value, _said(worst), ", ".join(filter(None, briefs))


@dataclass(slots=True)
class Action:
    """Something to do on some hosts: the same step for the same reason."""

    code: str
    title: str
    answer: str
    next: str
    required: bool
    power_cycle: bool
    seen: dict[str, list[HostView]] = field(default_factory=dict)
    """Hosts by what was seen there."""

    @property
    def hosts(self) -> tuple[HostView, ...]:
        """The hosts, each once."""
        return tuple(dict.fromkeys(host for hosts in self.seen.values() for host in hosts))


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """Cards with the same link; ``hosts`` in the report's order."""

    link: LinkEntry
    hosts: tuple[HostView, ...]

    @property
    def full(self) -> bool:
        """It runs as its way allows."""
        return (self.link.speed, self.link.width) == (self.link.allowed_speed, self.link.allowed_width)


def page_text(report: Report, before: Report | None = None) -> str:
    """Return the page; with ``before`` it says what changed since that report."""
    hosts = tuple(HostView(f"host-{number}", entry) for number, entry in enumerate(report.hosts))
    style, script = _asset("page.css"), _asset("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            before=before,
            style=Markup(style),  # noqa: S704 - files of ours, named in the page's own policy by their digests
            script=Markup(script),  # noqa: S704
            policy=f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; "
            "form-action 'none'",
            counts=[(name, sum(host.standing == name for host in hosts)) for name in _ORDER],
            hosts=sorted(hosts, key=lambda host: (_ORDER.index(host.standing), host.entry.host)),
            by_name={host.entry.host: host for host in hosts},
            actions=_actions(hosts),
            power_cycle=tuple(_power_cycle(hosts)),
            links=_links(hosts),
            waivers=_waivers(hosts),
            changed=changes(before, report) if before else (),
            levels=level_words(entry.level for entry in report.hosts if entry.standing),
        )
    )


def _actions(hosts: tuple[HostView, ...]) -> list[Action]:
    """What to do, most urgent first and then what helps most hosts."""
    found: dict[tuple[object, ...], Action] = {}
    for host in hosts:
        for finding in host.told:
            if finding.waived or not finding.next:
                continue
            key = (finding.code, finding.answer, finding.required, finding.next)
            action = found.setdefault(
                key,
                Action(
                    finding.code, finding.title, finding.answer, finding.next, finding.required, finding.power_cycle
                ),
            )
            action.seen.setdefault(finding.seen, []).append(host)
    return sorted(
        found.values(), key=lambda a: (not a.required, _ANSWER_ORDER.index(Answer(a.answer)), -len(a.hosts), a.code)
    )


def _power_cycle(hosts: tuple[HostView, ...]) -> Iterator[tuple[HostView, FindingEntry]]:
    for host in hosts:
        for finding in host.told:
            if finding.power_cycle and not finding.waived:
                yield host, finding


def _links(hosts: tuple[HostView, ...]) -> list[LinkGroup]:
    """Links by what they are, those below what their way allows first."""
    found: dict[LinkEntry, list[HostView]] = {}
    for host in hosts:
        for link in host.entry.links:
            found.setdefault(link.model_copy(update={"card": ""}), []).append(host)
    groups = [LinkGroup(link, tuple(dict.fromkeys(seen))) for link, seen in found.items()]
    return sorted(groups, key=lambda group: (group.full, group.link.speed * group.link.width, -len(group.hosts)))


def _waivers(hosts: tuple[HostView, ...]) -> list[tuple[str, str, str, str, list[HostView]]]:
    """Waivers, those that need somebody first: state, code, last day, reason, hosts."""
    order = (WaiverState.EXPIRED, WaiverState.IN_FORCE, WaiverState.UNUSED)
    found: dict[tuple[int, str, str, str], list[HostView]] = {}
    for host in hosts:
        for waiver in host.entry.waivers:
            key = (order.index(waiver.state), waiver.until.isoformat(), waiver.code, waiver.reason)
            found.setdefault(key, []).append(host)
    return [(order[state], code, day, why, seen) for (state, day, code, why), seen in sorted(found.items(), key=_first)]


def _first(item: tuple[tuple[int, str, str, str], list[HostView]]) -> tuple[int, str, str, str]:
    return item[0]


def _said(finding: FindingEntry) -> str:
    return "waived" if finding.waived else finding.answer.value


def _rank(finding: FindingEntry) -> int:
    if finding.waived:
        return 3
    return {Answer.FAIL: 0, Answer.UNKNOWN: 1, Answer.WARN: 2, Answer.PASS: 4, Answer.SKIP: 5}[finding.answer]


def _urgency(finding: FindingEntry) -> tuple[int, bool, str]:
    return (_rank(finding), not finding.required, finding.code)


def lanes(link: LinkEntry) -> list[tuple[int, int, int]]:
    """A picture of a link: for each lane that its way allows, its place, its height and the height in use.

    Heights are generations of PCI Express, so that a lane that is not used has 0.
    """
    width = min(max(link.allowed_width, link.width), _MOST_LANES)
    tall, used = _generation(max(link.allowed_speed, link.speed)), _generation(link.speed)
    return [(lane, tall, used if lane < link.width else 0) for lane in range(width)]


def _generation(speed: float) -> int:
    return sum(speed >= known for known in LINK_SPEEDS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("metis_provision.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: literal(value) if type(value) is str else value,
    )
    environment.globals["lanes"] = lanes
    environment.filters["said"] = _said
    return environment


@cache
def _asset(name: str) -> str:
    return files("metis_provision.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

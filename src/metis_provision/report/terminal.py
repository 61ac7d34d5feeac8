"""The report for people: one table over all hosts, and below it what to do about everything that is not green.

Texts come from hosts and are shown literally: no markup, no escape sequences, nothing cut off.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_provision.model.text import literal
from metis_provision.model.verdict import Answer, Area, Finding, Standing, Verdict, Waiver
from metis_provision.report.rows import (
    NO_VERDICT,
    TROUBLE,
    Plan,
    Row,
    idle_waivers,
    level_words,
    standings,
    waiver_words,
)

__all__ = ["Row", "print_plan", "print_report", "render_plan", "render_report"]

_COLUMNS = tuple(area for area in Area if area not in {Area.HOST, Area.FILES})
_STYLES = {
    Standing.GREEN: "green",
    Standing.WARNED: "yellow",
    Standing.UNPROVEN: "magenta",
    Standing.FAILED: "red",
    None: "red",
}
_ANSWER_STYLES = {Answer.FAIL: "red", Answer.UNKNOWN: "magenta", Answer.WARN: "yellow", Answer.SKIP: "dim"}

# A file or a pipe has no width: lines are as long as they are, so that grep finds a host's row whole.
_NO_WIDTH = 1_000_000
# Longer than this a brief or a reason is told below the table only.
_CELL_AT_MOST = 40
# Words up to this length are kept whole; where they do not fit the columns become lines.
_WORD_AT_MOST = 20
_BETWEEN = 3


def print_plan(plans: Iterable[Plan], stream: TextIO) -> None:
    """Write what would be done to each host; hosts with the same plan are told once."""
    _write(render_plan(plans, width=_width(stream), colour=stream.isatty()), stream)


def print_report(rows: Iterable[Row], stream: TextIO) -> None:
    """Write the report for ``stream``: coloured and folded on a terminal, plain and unfolded anywhere else."""
    on_terminal = stream.isatty()
    plain = not on_terminal or not (stream.encoding or "utf-8").lower().startswith("utf")
    _write(render_report(rows, width=_width(stream), colour=on_terminal, plain=plain), stream)


def render_report(rows: Iterable[Row], *, width: int | None, colour: bool, plain: bool) -> str:
    """Return the report as text.

    ``width`` is in columns, None for no limit; ``plain`` draws the table in ASCII.
    """
    listed = tuple(rows)
    buffer = io.StringIO()
    console = _console(buffer, width, colour=colour)
    border = box.ASCII if plain else box.SIMPLE
    table = _table(listed, border)
    if sum((column.min_width or 0) + _BETWEEN for column in table.columns) > console.width:
        table = _stacked(listed, border)
    console.print(table)
    _print_details(console, listed)
    console.print(Text(_summary(listed)))
    return _without_trailing_space(buffer)


def render_plan(plans: Iterable[Plan], *, width: int | None, colour: bool) -> str:
    """Return what would be done to each host as text."""
    listed = tuple(plans)
    buffer = io.StringIO()
    console = _console(buffer, width, colour=colour)
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for host, concerns, trouble in listed:
        lines = [(str(concern), reason) for concern, reasons in concerns.items() for reason in reasons]
        lines += [("cannot", trouble)] if trouble else []
        groups.setdefault(tuple(lines), []).append(host)
    for told, hosts in groups.items():
        console.print(Text(literal(", ".join(hosts)), style="bold"))
        _print_fields(console, told or (("nothing", "no change is needed"),))
        console.print()
    pending = sum(any(concerns.values()) for _, concerns, _ in listed)
    console.print(Text(f"{_hosts(len(listed))}: {pending} with changes pending."))
    return _without_trailing_space(buffer)


def _width(stream: TextIO) -> int | None:
    return Console(file=stream).width if stream.isatty() else None


def _write(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _console(buffer: io.StringIO, width: int | None, *, colour: bool) -> Console:
    return Console(
        file=buffer,
        width=width or _NO_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def _without_trailing_space(buffer: io.StringIO) -> str:
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _table(rows: Sequence[Row], border: box.Box) -> Table:
    table = Table(box=border, header_style="bold", show_edge=False, pad_edge=False)
    lines = [
        [Text(literal(row.host)), *(_cell(row.verdict, area) for area in _COLUMNS), _standing(row)] for row in rows
    ]
    for number, heading in enumerate(("host", *_COLUMNS, "standing")):
        words = [heading, *(word for line in lines for word in line[number].plain.split())]
        table.add_column(heading, overflow="fold", min_width=min(max(map(len, words)), _WORD_AT_MOST))
    for line in lines:
        table.add_row(*line)
    return table


def _stacked(rows: Sequence[Row], border: box.Box) -> Table:
    """Return the same table for a terminal too narrow for its columns: they become lines."""
    table = Table(box=border, header_style="bold", show_edge=False, pad_edge=False, show_lines=True)
    table.add_column("host", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for row in rows:
        lines = Text.assemble("standing: ", _standing(row))
        for area in _COLUMNS if row.verdict else ():
            lines = Text.assemble(lines, f"\n{area}: ", _cell(row.verdict, area))
        table.add_row(Text(literal(row.host)), lines)
    return table


def _standing(row: Row) -> Text:
    standing = row.verdict.standing if row.verdict else None
    words = standing.value if standing else NO_VERDICT
    if row.verdict and row.verdict.next_boot in {Standing.FAILED, Standing.UNPROVEN}:
        words = f"{words}: {row.verdict.now} now, {row.verdict.next_boot} at next boot"
    if standing is None and row.reason and len(row.reason) <= _CELL_AT_MOST:
        words = f"{words}: {literal(row.reason)}"
    return Text(words, style=_STYLES[standing])


def _cell(verdict: Verdict | None, area: Area) -> Text:
    """Return the worst answer of an area in a few words."""
    findings = [finding for finding in verdict.findings if finding.area is area] if verdict else []
    if not findings:
        return Text("-")
    worst = min(findings, key=_rank)
    briefs = dict.fromkeys(literal(finding.brief) for finding in findings if _rank(finding) == _rank(worst))
    briefs |= dict.fromkeys(literal(finding.brief) for finding in findings if _rank(finding) == _UNPROVEN_ASIDE)
    words = ", ".join(brief for brief in briefs if brief)
    if len(words) > _CELL_AT_MOST:
        words = ""
    if worst.answer is not Answer.PASS:
        words = f"{_said(worst)}: {words}" if words else _said(worst)
    return Text(words or worst.answer.value, style=_style(worst))


def _said(finding: Finding) -> str:
    return _WAIVED if finding.waived else finding.answer.value


def _style(finding: Finding) -> str:
    return "cyan" if finding.waived else _ANSWER_STYLES.get(finding.answer, "")


_WAIVED = "waived"
_UNPROVEN_ASIDE = 5
_NO_REASON = "not verified, and nobody recorded why"


def _rank(finding: Finding) -> int:
    """Order of what a reader must see first; an unknown that decides nothing does not hide what was proven."""
    if finding.waived:
        return 3
    if finding.answer is Answer.UNKNOWN and not finding.required:
        return _UNPROVEN_ASIDE
    return {Answer.FAIL: 0, Answer.UNKNOWN: 1, Answer.WARN: 2, Answer.PASS: 4, Answer.SKIP: 6}[finding.answer]


def _print_details(console: Console, rows: Sequence[Row]) -> None:
    """Print every finding that is not in order once, with all the hosts it was seen on."""
    for (heading, reason), hosts in _reasons(rows).items():
        console.print()
        console.print(Text(heading, style=_STYLES[None]))
        _print_fields(console, [("hosts", ", ".join(hosts)), ("seen", reason)])
    findings: dict[tuple[object, ...], list[tuple[str, Finding, str]]] = {}
    for row in rows:
        for finding in row.verdict.findings if row.verdict else ():
            if row.verdict and finding.answer in TROUBLE:
                waiver = waiver_words(row.verdict, finding)
                key = (finding.code, finding.answer, finding.seen, finding.next_step, waiver)
                findings.setdefault(key, []).append((row.host, finding, waiver))
    for places in sorted(findings.values(), key=lambda found: (_rank(found[0][1]), found[0][1].code)):
        _, finding, waiver = places[0]
        _print_finding(console, finding, waiver, list(dict.fromkeys(host for host, _, _ in places)))
    _print_idle_waivers(console, rows)
    console.print()


def _print_finding(console: Console, finding: Finding, waiver: str, hosts: list[str]) -> None:
    advisory = "" if finding.required else " (does not decide)"
    heading = Text(_said(finding), style=_style(finding))
    console.print()
    console.print(Text.assemble(heading, f" {finding.code} {literal(finding.title)}{advisory}"))
    fields = [("hosts", ", ".join(hosts)), ("seen", finding.seen), ("next", finding.next_step)]
    _print_fields(console, [*fields, ("waiver", waiver)] if waiver else fields)


def _print_idle_waivers(console: Console, rows: Sequence[Row]) -> None:
    """Print the waivers that cover nothing, so that somebody takes them out."""
    idle: dict[Waiver, list[str]] = {}
    for row in rows:
        for waiver in idle_waivers(row.verdict) if row.verdict else ():
            idle.setdefault(waiver, []).append(row.host)
    for waiver, hosts in idle.items():
        console.print()
        console.print(Text(f"waiver {waiver.code} ({waiver.state}, until {waiver.until}): nothing to waive", "cyan"))
        _print_fields(console, [("hosts", ", ".join(hosts)), ("reason", waiver.reason)])


def _print_fields(console: Console, fields: Iterable[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields:
        for number, line in enumerate(value.split("\n")):
            grid.add_row(Text(f"  {name}:" if number == 0 else ""), Text(literal(line)))
    console.print(grid)


def _reasons(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """Hosts by what went wrong besides the checks: with it there may or may not be a verdict."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.verdict is None:
            reasons.setdefault((NO_VERDICT, row.reason or _NO_REASON), []).append(row.host)
        elif row.reason:
            reasons.setdefault(("besides", row.reason), []).append(row.host)
    return reasons


def _summary(rows: Sequence[Row]) -> str:
    counts = standings(rows)
    parts = [f"{counts[standing]} {standing}" for standing in Standing if counts[standing]]
    if counts[None]:
        parts.append(f"{counts[None]} without a verdict")
    if not rows:
        return "No hosts."
    levels = level_words(row.verdict.level for row in rows if row.verdict)
    return f"{_hosts(len(rows))}: {', '.join(parts)}.{f' Verified at {levels}.' if levels else ''}"


def _hosts(number: int) -> str:
    return "1 host" if number == 1 else f"{number} hosts"

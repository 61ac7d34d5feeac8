"""The page's text, as far as no browser is needed: what comes first, and what is said of links and waivers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import sample_fleet
from metis_provision.model.verdict import Level
from metis_provision.report.document import LinkEntry, report_of
from metis_provision.report.page import lanes, page_text


def page(hosts: dict[str, str], before: dict[str, str] | None = None) -> str:
    now = report_of(sample_fleet.rows(hosts), sample_fleet.NOW)
    then = report_of(sample_fleet.rows(before), sample_fleet.YESTERDAY) if before is not None else None
    return page_text(now, then)


def section(text: str, name: str) -> str:
    found = re.search(rf'<section[^>]*id="{name}".*?</section>', text, re.DOTALL)
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("hosts", "title"),
    [
        ({}, "No hosts"),
        ({"a": "healthy"}, "The host is as wanted"),
        ({"a": "dead"}, "0 of 1 host is as wanted"),
        ({"a": "healthy", "b": "narrow"}, "All 2 hosts are as wanted"),
        ({"a": "healthy", "b": "away"}, "1 of 2 hosts are as wanted"),
    ],
)
def test_the_headline(hosts, title):
    assert f"<h1>{title}</h1>" in page(hosts)


def test_the_level_is_told_of_the_fleet_and_of_each_host():
    healthy, away = sample_fleet.rows({"a": "healthy", "b": "away"})
    quick = replace(healthy, verdict=replace(healthy.verdict, level=Level.QUICK, seconds=2.5, limit=120))
    long = replace(healthy, host="c", verdict=replace(healthy.verdict, level=Level.LONG, seconds=None))
    text = page_text(report_of([quick, away], sample_fleet.NOW))
    assert "</time>, verified at level quick</p>" in text
    assert ">Level quick, 2.5 s on the host of 120 s allowed.</p>" in text
    text = page_text(report_of([quick, long], sample_fleet.NOW))
    assert "</time>, verified at levels quick (1 host), long (1 host)</p>" in text
    assert ">Level long.</p>" in text
    assert "verified at" not in page({"b": "away"})


def test_the_most_urgent_comes_first_and_then_what_helps_most_hosts():
    hosts = {"a": "narrow", "b": "hung", "c": "next boot", "d": "open", "e": "open", "f": "no card"}
    codes = re.findall(r'class="why"><span class="code">(METIS-\d+)', section(page(hosts), "next"))
    assert codes == ["METIS-302", "METIS-101", "METIS-401", "METIS-120", "METIS-220"]


def test_hosts_with_the_same_step_are_one_action():
    text = section(page({"a": "open", "b": "open"}), "next")
    assert text.count('class="step"') == 1
    assert "2 hosts" in text


def test_many_hosts_are_folded():
    text = section(page({f"h{number}": "open" for number in range(30)}), "next")
    assert "<summary>18 more</summary>" in text
    assert text.count('class="chip"') == 30


def test_power_cycle_is_a_list_of_its_own():
    hosts = {"dead": "dead", "off": "off the bus", "hung": "hung", "fine": "healthy", "slow": "narrow"}
    text = section(page(hosts), "power-cycle")
    assert set(re.findall(r'class="chip"[^>]*>([^<]*)', text)) == {"dead", "off", "hung"}
    assert section(page({"a": "narrow"}), "power-cycle") == ""


def test_waived_is_nothing_to_do_and_shown():
    text = page({"a": "waived", "b": "expired", "c": "unused"})
    assert section(text, "next").count('class="step"') == 1
    told = section(text, "waivers")
    assert "ended on 2026-11-15, so it no longer counts" in told
    assert "new riser on order, ticket 4711" in told
    assert "nothing to waive: take it out" in told
    assert told.index("4690") < told.index("4711") < told.index("exchanged")


def test_links_below_their_way_come_first():
    told = section(page({"a": "healthy", "b": "narrow", "c": "small"}), "links")
    assert [re.sub(r"\s+", " ", words) for words in re.findall(r"<b>(.*?)</b>", told)] == [
        "8 GT/s x1",
        "8 GT/s x1",
        "8 GT/s x4",
    ]
    assert "where the path allows 8 GT/s x4" in told


def test_a_picture_of_a_link():
    slow = LinkEntry(card="c", speed=2.5, width=1, allowed_speed=8.0, allowed_width=2)
    assert lanes(slow) == [(0, 3, 1), (1, 3, 0)]
    wider_than_said = LinkEntry(card="c", speed=16.0, width=4, allowed_speed=8.0, allowed_width=2)
    assert lanes(wider_than_said) == [(lane, 4, 4) for lane in range(4)]
    absurd = LinkEntry(card="c", speed=8.0, width=10**9, allowed_speed=8.0, allowed_width=4)
    assert len(lanes(absurd)) == 32


def test_changes_are_told_only_against_an_earlier_report():
    assert section(page({"a": "dead"}), "changes") == ""
    assert "No host changed." in section(page({"a": "dead"}, {"a": "dead"}), "changes")
    told = section(page({"a": "dead", "new": "healthy"}, {"a": "healthy", "old": "healthy"}), "changes")
    assert "METIS-103" in told
    assert "not in this report" in told
    assert "no longer" in section(page({"a": "healthy"}, {"a": "narrow"}), "changes")


def test_the_policy_names_the_two_inline_parts_and_allows_nothing_else():
    text = page({"a": "healthy"})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert policy.count("sha256-") == 2
    assert "unsafe" not in policy
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", text)
    assert " style=" not in text
    assert not re.search(r"\son[a-z]+=", text)

"""The textfile as Prometheus' own parser reads it, and times of success that outlive failures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

import sample_fleet
from metis_provision.model.errors import UserError
from metis_provision.report.document import report_of
from metis_provision.report.prometheus import State, last_successes, prometheus_text
from metis_provision.report.rows import Row

NOW = sample_fleet.NOW
LABELS = ("host", "code", "standing", "state", "required")
NASTY = 'a"b\\c\nd{e="f"} 1'


def text(hosts: dict[str, str], earlier: dict[str, float] | None = None, when: datetime = NOW, **more) -> str:
    return prometheus_text(report_of(sample_fleet.rows(hosts), when), earlier or {}, **more)


def samples(found: str, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[label] for label in LABELS if label in sample.labels): sample.value
        for family in text_string_to_metric_families(found)
        for sample in family.samples
        if sample.name == name
    }


def test_verdicts():
    found = text({"a": "healthy", "b": "dead", "c": "away", "d": "narrow", "e": "hung"})
    assert samples(found, "metis_host_ok") == {("a",): 1, ("b",): 0, ("c",): 0, ("d",): 1, ("e",): 0}
    assert [key for key, value in samples(found, "metis_host_standing").items() if value] == [
        ("a", "green"),
        ("b", "failed"),
        ("c", "no-verdict"),
        ("d", "warned"),
        ("e", "unproven"),
    ]
    assert {key for key, value in samples(found, "metis_host_power_cycle").items() if value} == {("b",), ("e",)}


def test_the_next_boot_has_a_verdict_of_its_own():
    made = sample_fleet.rows({"a": "healthy", "b": "next boot", "c": "away"})
    following = {row.host: row.verdict.next_boot for row in made if row.verdict}
    found = samples(prometheus_text(report_of(made, NOW), {}), "metis_host_next_boot_standing")
    assert {host: standing for (host, standing), value in found.items() if value} == {
        host: standing for host, standing in following.items() if standing
    }
    assert following["b"]
    assert "c" not in {host for host, _ in found}


@pytest.mark.parametrize(
    ("kind", "code", "required", "state"),
    [
        ("healthy", "METIS-101", "true", State.PASS),
        ("dead", "METIS-101", "true", State.FAIL),
        ("dead", "METIS-401", "true", State.SKIP),
        ("hung", "METIS-401", "true", State.UNKNOWN),
        ("narrow", "METIS-120", "true", State.WARN),
        ("waived", "METIS-120", "true", State.WAIVED),
        ("next boot", "METIS-220", "false", State.WARN),
    ],
)
def test_checks(kind, code, required, state):
    assert samples(text({"a": kind}), "metis_check_state")[("a", code, required)] == state


def test_the_worst_subject_of_a_check_counts():
    made = sample_fleet.rows({"a": "healthy"})[0]
    first = made.verdict.findings[0]
    verdict = replace(made.verdict, findings=(first, replace(first, answer="fail", subject="x"), first))
    found = prometheus_text(report_of([Row("a", verdict)], NOW), {})
    assert samples(found, "metis_check_state") == {("a", first.code, "true"): State.FAIL}


def test_last_success_is_kept_across_failures_and_renewed_by_the_next():
    success = "metis_last_success_timestamp_seconds"
    first = text({"a": "healthy"})
    failing = text({"a": "dead"}, last_successes(first, "x"), NOW + timedelta(hours=1))
    away = text({"a": "away"}, last_successes(failing, "x"), NOW + timedelta(hours=2))
    again = text({"a": "healthy"}, last_successes(away, "x"), NOW + timedelta(hours=3))
    assert [samples(found, success) for found in (first, failing, away, again)] == [
        {("a",): NOW.timestamp()},
        {("a",): NOW.timestamp()},
        {("a",): NOW.timestamp()},
        {("a",): (NOW + timedelta(hours=3)).timestamp()},
    ]
    looked = [samples(found, "metis_last_verification_timestamp_seconds") for found in (failing, away)]
    assert looked == [{("a",): (NOW + timedelta(hours=1)).timestamp()}, {}]


def test_a_host_that_never_succeeded_has_no_time():
    assert samples(text({"a": "dead"}), "metis_last_success_timestamp_seconds") == {}


def test_hosts_that_a_run_left_out_keep_their_times_and_others_are_forgotten():
    found = text({"a": "healthy"}, {"b": 5.0, "gone": 6.0}, elsewhere=["b", "never"])
    assert samples(found, "metis_last_success_timestamp_seconds") == {("a",): NOW.timestamp(), ("b",): 5.0}


def test_waivers_end():
    found = samples(text({"a": "waived", "b": "expired"}), "metis_waiver_end_timestamp_seconds")
    end = datetime.combine(date(2027, 1, 1), datetime.min.time(), UTC).timestamp()
    assert found[("a", "METIS-120", "in-force")] == pytest.approx(end, abs=1)
    assert ("b", "METIS-120", "expired") in found


def test_a_hostile_name_stays_one_label():
    made = sample_fleet.rows({"a": "healthy"})[0]
    found = prometheus_text(report_of([Row(NASTY, made.verdict)], NOW), {})
    assert len(samples(found, "metis_host_ok")) == 1
    renewed = last_successes(found, "x")
    assert len(renewed) == 1
    failed = prometheus_text(report_of([Row(NASTY, None, "away")], NOW), renewed)
    assert len(samples(failed, "metis_last_success_timestamp_seconds")) == 1


@pytest.mark.parametrize("spoiled", ["metis_last_success_timestamp_seconds{host=", "<html>", "a b c d\n"])
def test_a_file_in_another_format_is_not_thrown_away(spoiled):
    with pytest.raises(UserError, match=r"^m\.prom is not in Prometheus' text format"):
        last_successes(spoiled, "m.prom")

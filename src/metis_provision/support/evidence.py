"""Which files a bundle holds, made from what a host answered. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.state import desired_state
from metis_provision.model.settings import PREFIX, Settings
from metis_provision.report.document import report_of, report_text
from metis_provision.report.rows import Row
from metis_provision.support.look import Look
from metis_provision.survey.parser import SurveyIncomplete, read_survey


def texts(
    host: str, settings: Settings, survey: tuple[str, ...], look: Look, when: datetime, versions: Mapping[str, str]
) -> dict[str, str]:
    """Return the files by name; what the host did not answer is said in ``missing.txt`` instead."""
    found = {
        "settings.json": _settings_text(settings),
        "controller.txt": "".join(f"{name} {version}\n" for name, version in versions.items()),
        **{f"{name}.txt": text for name, text in look.parts.items()},
    }
    missing = [] if look.complete else ["The look at log, PCI and versions did not arrive whole."]
    if survey:
        found["survey.txt"] = "".join(f"{line}\n" for line in survey)
        missing += _judged(found, host, settings, survey, when)
    else:
        missing.append("The survey did not arrive.")
    if missing:
        found["missing.txt"] = "".join(f"{line}\n" for line in missing)
    return found


def _judged(found: dict[str, str], host: str, settings: Settings, survey: tuple[str, ...], when: datetime) -> list[str]:
    """Add verdict and receipt; return why there is none."""
    try:
        seen = read_survey(survey)
    except SurveyIncomplete as error:
        return [f"The survey is not whole, so there is no verdict: {error}"]
    verdict = evaluate(host, Evidence(settings, seen, desired_state(settings, seen)), today=when.date())
    found["verdict.json"] = report_text(report_of([Row(host, verdict)], when))
    if seen.receipt is not None:
        found["receipt.json"] = seen.receipt.rstrip("\n") + "\n"
        return []
    return ["There is no receipt on the host."]


def _settings_text(settings: Settings) -> str:
    plain = settings.model_dump(mode="json")
    return json.dumps({f"{PREFIX}{name}": value for name, value in plain.items()}, indent=2) + "\n"

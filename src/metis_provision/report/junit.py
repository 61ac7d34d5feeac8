"""The report as JUnit XML: a suite for each host, a case for each answer, as CI systems show them.

A required check that fails is a failure, one that could not look an error; what is waived, advisory or does not apply
is never either. A host without a verdict is one case with an error.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from metis_provision.model.text import literal
from metis_provision.model.verdict import Answer
from metis_provision.report.document import FindingEntry, HostEntry, Report
from metis_provision.report.rows import NO_VERDICT

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def junit_text(report: Report) -> str:
    """Return the report as one XML document."""
    root = Element("testsuites", name="metis-provision verify")
    for host in report.hosts:
        _suite(root, host, report.generated.strftime("%Y-%m-%dT%H:%M:%S"))
    _count(root)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True).replace("utf-8", "UTF-8", 1) + "\n"


def _suite(root: Element, host: HostEntry, timestamp: str) -> None:
    suite = SubElement(root, "testsuite", name=literal(host.host), timestamp=timestamp, hostname=literal(host.host))
    for finding in host.findings:
        _case(suite, host, finding)
    if host.standing is None or host.reason:
        case = SubElement(suite, "testcase", classname=literal(host.host), name="verdict", time="0")
        reason = literal(host.reason) or NO_VERDICT
        if host.standing is None:
            SubElement(case, "error", message=reason, type=NO_VERDICT)
        else:
            SubElement(case, "system-out").text = reason
    _count(suite)


def _case(suite: Element, host: HostEntry, finding: FindingEntry) -> None:
    about = f" [{finding.subject}]" if finding.subject else ""
    name = literal(f"{finding.code} {finding.title}{about}")
    case = SubElement(suite, "testcase", classname=literal(host.host), name=name, time="0")
    words = literal(" ".join(part for part in (finding.seen, finding.next) if part))
    if finding.waived:
        waiver = next((waiver for waiver in host.waivers if waiver.code == finding.code), None)
        why = f"waived until {waiver.until}: {waiver.reason}" if waiver else "waived"
        SubElement(case, "skipped", message=literal(f"{why} ({finding.answer}: {finding.seen})"))
    elif finding.answer is Answer.SKIP:
        SubElement(case, "skipped", message=literal(finding.seen))
    elif finding.required and finding.answer in {Answer.FAIL, Answer.UNKNOWN}:
        kind = "failure" if finding.answer is Answer.FAIL else "error"
        SubElement(case, kind, message=literal(finding.seen), type=finding.answer.value).text = words
    else:
        SubElement(case, "system-out").text = f"{finding.answer}: {words}"


def _count(element: Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    for attribute, tag in _COUNTED.items():
        element.set(attribute, str(len(element.findall(f".//testcase/{tag}"))))
    element.set("time", "0")

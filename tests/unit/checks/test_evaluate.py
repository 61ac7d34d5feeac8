"""Verdicts as a whole: causes before consequences, broken checks contained, nothing green by accident."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from builders import (
    CARD,
    HEAP,
    HOLDER,
    NODE,
    attempts,
    card,
    desired,
    evidence,
    kernel,
    node,
    port,
    settings,
    survey,
    without,
)

from metis_provision.checks import evaluate as evaluation
from metis_provision.checks import files, host
from metis_provision.checks.evaluate import check_functions, evaluate
from metis_provision.checks.evidence import CannotLook
from metis_provision.checks.outcome import Checks, failed, passed
from metis_provision.model.errors import UserError
from metis_provision.model.survey import Attempt, Certificate, CommandResult, Driver, Host, ModuleTrust, Section
from metis_provision.model.verdict import Answer, Finding, Standing, Verdict


def answers(verdict: Verdict) -> dict[str, Answer]:
    return {finding.code: finding.answer for finding in verdict.findings}


def finding(answer: str, *, required: bool = True) -> Finding:
    return Finding("METIS-001", "T", Answer(answer), "seen", required=required)


@pytest.mark.parametrize(
    ("findings", "standing"),
    [
        ((), Standing.UNPROVEN),
        (("skip",), Standing.UNPROVEN),
        (("skip", "skip"), Standing.UNPROVEN),
        (("pass",), Standing.GREEN),
        (("pass", "skip"), Standing.GREEN),
        (("pass", "warn"), Standing.WARNED),
        (("warn",), Standing.WARNED),
        (("pass", "unknown"), Standing.UNPROVEN),
        (("warn", "unknown"), Standing.UNPROVEN),
        (("unknown", "fail"), Standing.FAILED),
        (("pass", "fail"), Standing.FAILED),
        (("pass", "-fail"), Standing.WARNED),
        (("pass", "-warn"), Standing.WARNED),
        (("pass", "-unknown"), Standing.GREEN),
        (("pass", "-skip"), Standing.GREEN),
        (("-pass",), Standing.UNPROVEN),
        (("skip", "-pass"), Standing.UNPROVEN),
        (("skip", "-fail"), Standing.UNPROVEN),
    ],
)
def test_standing(findings, standing):
    """A leading minus is an advisory answer."""
    verdict = Verdict("h", tuple(finding(a.removeprefix("-"), required=a[0] != "-") for a in findings))
    assert verdict.standing is standing
    assert verdict.ok is (standing in {Standing.GREEN, Standing.WARNED})


def test_a_healthy_host_is_green():
    assert evaluate("h", evidence()).standing is Standing.GREEN


def test_codes_come_in_order_and_all_of_them():
    codes = [finding.code for finding in evaluate("h", evidence()).findings]
    assert codes == sorted(codes)
    assert set(codes) == set(check_functions())


def test_a_host_that_expects_no_card_is_green_by_its_files():
    bare = survey(pci=(), driver=Driver(), nodes=(), dma_heap=None, attempts=(), devices=None, self_test=None)
    no_card = settings(cards=0, driver="none", driver_version=None)
    verdict = evaluate("h", evidence(bare, desired(dkms=None, module=None), no_card))
    assert verdict.standing is Standing.GREEN
    passed_codes = {code for code, answer in answers(verdict).items() if answer is Answer.PASS}
    about_the_host = {"METIS-010", "METIS-011", "METIS-012", "METIS-013", "METIS-020", "METIS-021", "METIS-024"}
    assert passed_codes == {*about_the_host, "METIS-601", "METIS-602", "METIS-603", "METIS-604"}
    skipped = [f for f in verdict.findings if f.answer is Answer.SKIP and f.code.startswith(("METIS-1", "METIS-5"))]
    assert {f.seen for f in skipped} == {"no card is expected here (metis_cards = 0)"}


@pytest.mark.parametrize("section", [Section.HOST, Section.FILES, Section.ACCOUNTS])
def test_a_host_without_cards_is_unproven_when_its_files_were_not_seen(section):
    no_card = settings(cards=0, driver="none", driver_version=None)
    assert not evaluate("h", evidence(without(section), desired(dkms=None), no_card)).ok


def test_a_host_that_expects_no_card_ignores_one_that_is_there():
    verdict = evaluate("h", evidence(asked=settings(cards=0)))
    assert answers(verdict)["METIS-102"] is Answer.SKIP


def test_without_the_card_only_its_absence_is_a_failure():
    away = survey(
        pci=(port(),),
        driver=Driver(),
        nodes=(),
        attempts=(Attempt("member", HEAP, "ok"),),
        devices=CommandResult("axdevice", 1, ("AXR_ERROR_CONNECTION_ERROR: No target device found in lspci",)),
        self_test=CommandResult("axrunmodel m", 1, ("AXR_ERROR_CONNECTION_ERROR: No target device found in lspci",)),
    )
    verdict = evaluate("h", evidence(away))
    wrong = {code for code, answer in answers(verdict).items() if answer in {Answer.FAIL, Answer.UNKNOWN}}
    assert wrong == {"METIS-101"}
    assert verdict.standing is Standing.FAILED


def test_a_consequence_names_its_first_cause():
    broken = survey(
        driver=Driver(),
        pci=(port(), card(driver=None)),
        nodes=(),
        attempts=(),
        devices=CommandResult("axdevice", 1, ("AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output",)),
        self_test=CommandResult("axrunmodel m", 1, ("No AIPU driver found",)),
    )
    verdict = evaluate("h", evidence(broken))
    assert {f.code for f in verdict.findings if f.answer is Answer.FAIL} == {"METIS-201"}
    consequences = [f for f in verdict.findings if f.seen.startswith("follows from ")]
    assert {f.code for f in consequences} >= {
        "METIS-202",
        "METIS-203",
        "METIS-204",
        "METIS-301",
        "METIS-401",
        "METIS-501",
    }
    assert all(f.seen.startswith("follows from METIS-201 (driver is loaded): ") for f in consequences)
    assert all(f.next_step == "" for f in consequences)
    assert not verdict.ok


def test_a_consequence_keeps_what_it_saw():
    verdict = evaluate("h", evidence(driver=Driver(), pci=(port(), card(driver="vfio-pci"))))
    bound = next(f for f in verdict.findings if f.code == "METIS-202")
    assert bound.answer is Answer.SKIP
    assert "vfio-pci" in bound.seen


def test_a_cause_excuses_its_own_subject_only():
    two = settings(service_users=["frigate", "hass"])
    found = survey(
        users={name: replace(survey().users["frigate"], name=name, groups=(name,)) for name in ("frigate", "hass")},
        attempts=(*attempts(frigate="denied"), replace(attempts()[0], who="hass", result="denied")),
    )
    wanted = desired(users=(desired().users[0], replace(desired().users[0], name="hass")))
    verdict = evaluate("h", evidence(found, wanted, two))
    by_user = {f.subject: f.answer for f in verdict.findings if f.code == "METIS-311"}
    assert by_user == {"frigate": Answer.FAIL, "hass": Answer.SKIP}


def test_a_passing_consequence_still_passes():
    verdict = evaluate("h", evidence(pci=(port(), card(driver=None)), driver=Driver(loaded=True, version="1.6.2")))
    assert answers(verdict)["METIS-202"] is Answer.FAIL
    assert answers(verdict)["METIS-301"] is Answer.PASS


def test_a_held_card_warns_and_is_not_plain_green():
    held = survey(nodes=(node(holders=(HOLDER,)),), devices=None, self_test=None)
    verdict = evaluate("h", evidence(held))
    assert verdict.standing is Standing.WARNED
    assert answers(verdict)["METIS-501"] is Answer.SKIP
    assert evaluate("h", evidence(held, asked=settings(when_busy="fail"))).standing is Standing.FAILED


@pytest.mark.parametrize("tool", ["devices", "self_test"])
def test_a_tool_that_finds_the_card_held_by_nobody_leaves_the_host_unproven(tool):
    busy = CommandResult("tool", 1, ("Device 0: /dev/metis-0-1-0 is held by another process (EBUSY)",))
    assert evaluate("h", evidence(**{tool: busy})).standing is Standing.UNPROVEN


def test_a_wrong_answer_fails_although_the_card_is_held():
    wrong = "Answer check: FAILED: device 0, inference 3, byte 17: expected 0x2a, got 0x2b"
    held = survey(nodes=(node(holders=(HOLDER,)),), self_test=CommandResult("axrunmodel m", 1, (wrong,)))
    assert answers(evaluate("h", evidence(held)))["METIS-502"] is Answer.FAIL


def test_an_answer_that_no_tool_compares_does_not_keep_a_host_from_green_but_is_said():
    quiet = CommandResult("axrunmodel m", 0, ("System throughput: 405.2 FPS",))
    verdict = evaluate("h", evidence(self_test=quiet))
    said = next(f for f in verdict.findings if f.code == "METIS-502")
    assert (said.answer, said.required) == (Answer.UNKNOWN, False)
    assert verdict.standing is Standing.GREEN


def replaced(monkeypatch, code, function):
    """Let ``function`` answer ``code``."""
    functions = {**check_functions(), code: function}
    monkeypatch.setattr(evaluation, "check_functions", lambda: functions)


def test_a_broken_check_is_unknown_and_stops_no_other(monkeypatch):
    def breaks(_):
        yield passed("half")
        raise RuntimeError("[red]boom")

    replaced(monkeypatch, "METIS-101", breaks)
    verdict = evaluate("h", evidence())
    of_101 = [f for f in verdict.findings if f.code == "METIS-101"]
    assert [f.answer for f in of_101] == [Answer.PASS, Answer.UNKNOWN]
    assert "RuntimeError: [red]boom" in of_101[1].seen
    assert "report" in of_101[1].next_step
    assert verdict.standing is Standing.UNPROVEN
    assert answers(verdict)["METIS-601"] is Answer.PASS


def test_what_was_found_before_evidence_ran_out_is_kept(monkeypatch):
    def runs_out(_):
        yield failed(found="No card", expected=1, others="")
        raise CannotLook("the rest", "Look again.")

    replaced(monkeypatch, "METIS-101", runs_out)
    verdict = evaluate("h", evidence())
    assert [f.answer for f in verdict.findings if f.code == "METIS-101"] == [Answer.FAIL, Answer.UNKNOWN]


def test_a_check_without_an_answer_is_unknown(monkeypatch):
    replaced(monkeypatch, "METIS-101", lambda _: iter(()))
    verdict = evaluate("h", evidence())
    assert answers(verdict)["METIS-101"] is Answer.UNKNOWN
    assert not verdict.ok


def test_a_message_without_its_values_is_unknown(monkeypatch):
    replaced(monkeypatch, "METIS-101", lambda _: iter([failed(found="No card")]))
    verdict = evaluate("h", evidence())
    assert answers(verdict)["METIS-101"] is Answer.UNKNOWN
    assert "KeyError" in next(f.seen for f in verdict.findings if f.code == "METIS-101")


def test_a_mistake_of_the_user_is_told_in_its_own_words(monkeypatch):
    def refuses(_):
        raise UserError("metis_carrier: 'moon' is not a carrier")
        yield

    replaced(monkeypatch, "METIS-101", refuses)
    found = next(f for f in evaluate("h", evidence()).findings if f.code == "METIS-101")
    assert (found.answer, found.seen) == (Answer.UNKNOWN, "metis_carrier: 'moon' is not a carrier")


def test_braces_from_a_host_are_not_filled_in():
    verdict = evaluate("h", evidence(nodes=(node(group="{wanted}{0}"),)))
    found = next(f for f in verdict.findings if f.code == "METIS-302")
    assert found.seen == f"{NODE} is root:{{wanted}}{{0}} 0660, root:axelera 0660 is asked for."


def test_findings_carry_what_reports_need():
    found = {f.code: f for f in evaluate("h", evidence()).findings}
    assert (found["METIS-120"].brief, found["METIS-120"].subject) == ("8 GT/s x4", CARD)
    assert found["METIS-501"].brief == "405.2 FPS"
    assert found["METIS-401"].brief == "1.3.2"
    assert found["METIS-201"].brief == "1.6.2"
    assert {found[code].subject for code in ("METIS-302", "METIS-310", "METIS-312")} == {CARD}
    assert found["METIS-401"].subject == "metis-0:1:0"
    curt = evidence(devices=CommandResult("axdevice", 0, ("Device 0: metis-0:1:0",)))
    assert {f.code: f.brief for f in evaluate("h", curt).findings}["METIS-401"] == "answers"
    nameless = {f.code: f for f in evaluate("h", evidence(driver=Driver(loaded=True))).findings}
    assert nameless["METIS-201"].brief == ""
    assert not found["METIS-220"].required
    guest = {f.code: f for f in evaluate("h", evidence(pci=(card(path=(), current_width=2),))).findings}
    assert guest["METIS-120"].brief == "8 GT/s x2"
    linkless = {f.code: f for f in evaluate("h", evidence(pci=(card(path=(), current_width=None),))).findings}
    assert linkless["METIS-120"].brief == ""


def test_a_look_that_could_not_be_had_asks_for_no_power_cycle():
    found = [finding for finding in evaluate("h", evidence(host=Host(epoch=1))).findings if finding.code == "METIS-012"]
    assert [(finding.answer, finding.power_cycle) for finding in found] == [(Answer.UNKNOWN, False)]


AFE = Certificate("0a" * 20, "afe12", "0d1c", "DKMS module signing key")


@pytest.mark.parametrize(
    ("signed", "secure_boot", "trust", "step"),
    [
        (True, True, {}, "Run mokutil --import /var/lib/dkms/mok.pub (it asks"),
        (True, True, {"own_path": "/etc/keys/site.der"}, "Run mokutil --import /etc/keys/site.der (it asks"),
        (True, True, {"staged": (AFE,)}, "Reboot with somebody at the console: in the blue screen"),
        (True, False, {}, "Boot a kernel that has /var/lib/dkms/mok.pub among"),
        (True, False, {"staged": (AFE,)}, "Boot a kernel that has /var/lib/dkms/mok.pub among"),
        (False, True, {}, "Install openssl and the kernel's headers, remove the module with dkms"),
        (False, False, {}, "Install openssl and the kernel's headers, remove the module with dkms"),
    ],
)
def test_the_one_step_by_hand_towards_a_module_that_the_kernel_takes(signed, secure_boot, trust, step):
    lockdown = ModuleTrust(**{"lockdown": "integrity", "enrolled": (), "staged": (), "own": AFE, **trust})
    module = kernel(signed=signed, signing_key="afe12" if signed else None)
    locked = evidence(trust=lockdown, kernels=(module,), host=replace(survey().host, secure_boot=secure_boot))
    found = [finding for finding in evaluate("h", locked).findings if finding.code == "METIS-235"]
    assert [finding.answer for finding in found] == [Answer.FAIL]
    assert step in found[0].next_step


def test_a_registered_check_can_still_be_called_by_its_name():
    def check(evidence):
        yield passed("all is well")

    checks = Checks()
    assert checks.answers("METIS-010")(check) is check
    assert checks.functions == {"METIS-010": check}


def test_one_code_in_two_modules_is_refused(monkeypatch):
    twin = Checks()
    twin.answers("METIS-010")(lambda _: iter(()))
    monkeypatch.setattr(evaluation, "_AREAS", (host, files, SimpleNamespace(checks=twin)))
    with pytest.raises(ValueError, match="METIS-010 has two functions"):
        check_functions()

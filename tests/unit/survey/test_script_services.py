"""The services section: what systemd answers and what OpenRC leaves in its directories."""

from __future__ import annotations

import fcntl
import subprocess
import time

from conftest import HostTree

from metis_provision.model.survey import Section, ServiceState, SurveyRequest
from metis_provision.survey.parser import parse_survey
from metis_provision.survey.script import survey_command

UNITS = "/etc/systemd/system"
SHOWN = """\
Id=axelera-watchdog.service
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
Result=success
NeedDaemonReload=no
ExecMainStartTimestampMonotonic=123456

Id=axelera-limits.service
LoadState=loaded
UnitFileState=disabled
ActiveState=activating
SubState=start
Result=success
NeedDaemonReload=yes
ExecMainStartTimestampMonotonic=0
"""


def test_nothing_is_known_where_neither_runs(host: HostTree) -> None:
    assert host.survey("services").services is None


def test_systemd_without_a_service_of_ours_is_not_asked(host: HostTree) -> None:
    host.file("/run/systemd/system/x")
    host.stub("systemctl", "exit 1")
    assert host.survey("services").services == {}


def test_systemd_is_asked_for_every_unit_once(host: HostTree) -> None:
    host.file("/run/systemd/system/x")
    unit = host.file(f"{UNITS}/axelera-watchdog.service")
    host.link(f"{UNITS}/multi-user.target.wants/axelera-watchdog.service", unit)
    host.link(f"{UNITS}/multi-user.target.wants/axelera-limits.service", "/nowhere")
    host.file(f"{UNITS}/other.service")
    host.stub("systemctl", f"printf '%s\\n' \"$*\" >{host.root}/asked\ncat <<'END'\n{SHOWN}END")
    found = host.survey("services")
    assert found.complaints == ()
    assert found.services == {
        "axelera-watchdog": ServiceState(
            "axelera-watchdog", enabled=True, state="active", detail="loaded enabled running success", ran=True
        ),
        "axelera-limits": ServiceState(
            "axelera-limits", enabled=False, state="starting", detail="loaded disabled start success", stale=True
        ),
    }
    asked = (host.root / "asked").read_text().split(" -- ")[1].split()
    assert asked == ["axelera-watchdog.service", "axelera-limits.service"]


def test_a_systemd_that_does_not_answer_is_no_answer(host: HostTree) -> None:
    host.file("/run/systemd/system/x")
    host.file(f"{UNITS}/axelera-watchdog.service")
    host.stub("systemctl", "exit 1")
    survey = parse_survey(host.output(SurveyRequest(sections=(Section.SERVICES,))))
    assert survey.sections == frozenset()
    assert "systemctl did not answer" in survey.complaints[0]


def test_openrc_is_read_from_its_directories(host: HostTree) -> None:
    for name in ("axelera-slammer", "axelera-limits", "axelera-watchdog", "axelera-rescan", "ax_status", "sshd"):
        host.file(f"/etc/init.d/{name}")
    for name in ("axelera-slammer", "axelera-watchdog", "sshd"):
        host.link(f"/etc/runlevels/default/{name}", f"/etc/init.d/{name}")
        host.link(f"/run/openrc/started/{name}", f"/etc/init.d/{name}")
    host.link("/run/openrc/starting/axelera-rescan", "/etc/init.d/axelera-rescan")
    host.file("/run/axelera-watchdog.pid", "812\n")
    found = host.survey("services")
    assert found.complaints == ()
    assert found.services == {
        "axelera-slammer": ServiceState("axelera-slammer", enabled=True, state="active", detail="started", ran=True),
        "axelera-limits": ServiceState("axelera-limits", enabled=False, state="inactive", detail="stopped"),
        "axelera-rescan": ServiceState("axelera-rescan", enabled=False, state="starting", detail="starting"),
        "axelera-watchdog": ServiceState("axelera-watchdog", enabled=True, state="crashed", detail="crashed", ran=True),
    }
    host.file("/proc/812/comm", "sh\n")
    alive = host.survey("services").services
    assert alive is not None
    assert alive["axelera-watchdog"].state == "active"


def test_a_survey_lets_the_watchdog_finish_its_look(rooted: HostTree) -> None:
    node = rooted.node("metis-0-1-0", rooted.card())
    turn = rooted.file("/run/metis-provision/asking")
    with turn.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The watchdog's look ends while the survey waits for it.
        rooted.stub("sleep", f"exec /bin/rm {node}")
        looked = subprocess.Popen(
            rooted.command(survey_command(SurveyRequest(sections=(Section.NODES,)))),
            env=rooted.environment(),
            stdout=subprocess.PIPE,
        )
        while node.exists():
            time.sleep(0.01)
    output, _ = looked.communicate(timeout=120)
    survey = parse_survey(output.decode("ascii"))
    assert survey.nodes is not None
    assert [found.mode for found in survey.nodes] == [""]

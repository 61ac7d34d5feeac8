"""Which services a host gets, what they are made of, and what is left to do for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.desired import services
from metis_provision.desired.difference import Difference, ServicesChange, difference
from metis_provision.desired.state import desired_state, survey_request
from metis_provision.model.artifact import Concern, File, Needs
from metis_provision.model.errors import UserError
from metis_provision.model.receipt import Receipt, ReceiptFile
from metis_provision.model.settings import Settings, settings_from
from metis_provision.model.survey import FileState, Host, Node, PciFunction, ServiceState, Survey

CARD = PciFunction("0000:01:00.0", "1f9d", "1100", "120000")
NODE = Node("/dev/metis-0-1-0", CARD.bdf, "metis", "root", "axelera", "0660", links=("/dev/axelera0",))
ALL = Settings(driver="none", carrier="exaviz-cruiser", clock_mhz=600, mvm_limit=80, throttle="85:5:40")
INITS = ("systemd", "openrc")


def host(init: str, with_card: bool = False) -> Survey:
    found = Survey(host=Host(os_release={"ID": "debian"}, init=init, uid=0, epoch=1_800_000_000), services={})
    return replace(found, pci=(CARD,), nodes=(NODE,)) if with_card else replace(found, pci=(), nodes=())


def names(settings: Settings, init: str = "systemd") -> list[str]:
    return [service.name for service in services.services(settings, host(init))]


def text(settings: Settings, path: str, init: str = "systemd") -> str:
    return next(f for f in services.files(settings, host(init)) if f.path == path).content.decode()


def left(settings: Settings, survey: Survey, receipt: Receipt | None = None) -> Difference:
    return difference(settings, desired_state(settings, survey), survey, receipt or Receipt())


def converged(settings: Settings, init: str, with_card: bool) -> Survey:
    survey = host(init, with_card)
    wanted = desired_state(settings, survey)
    seen = {f.path: FileState(f.path, "file", f.sha256, f.mode, f.owner, f.group) for f in wanted.files}
    states = {
        s.name: ServiceState(s.name, enabled=True, state="active" if s.can_run and s.lasting else "inactive", ran=True)
        for s in wanted.services
    }
    return replace(survey, files=seen, services=states)


# ---- what there is


def test_both_init_systems_get_the_same_services() -> None:
    assert names(ALL) == ["axelera", "axelera-rescan", "axelera-limits", "axelera-watchdog"]
    assert names(ALL, "openrc") == ["axelera-slammer", *names(ALL)[1:]]


@pytest.mark.parametrize("init", ["busybox", "sysvinit", "unknown"])
def test_other_init_systems_get_the_programs_alone(init: str) -> None:
    assert names(ALL, init) == []
    assert [f.path for f in services.files(ALL, host(init))] == [
        services.CARD_FUNCTIONS,
        services.STATUS,
        services.STATS_LOGGER,
    ]


def test_a_host_that_asks_for_nothing_gets_nothing() -> None:
    assert services.files(Settings(cards=0, driver="none"), host("systemd")) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["axelera-watchdog"]),
        ({"watchdog": False}, []),
        ({"cards": 0}, []),
        ({"cards": 0, "watchdog": True}, ["axelera-watchdog"]),
        ({"carrier": "rpi5-dual-hat"}, ["axelera-rescan", "axelera-watchdog"]),
        ({"carrier": "rpi5-dual-hat", "rescan": False}, ["axelera-watchdog"]),
        ({"rescan": True}, ["axelera-rescan", "axelera-watchdog"]),
        ({"max_payload": 128}, ["axelera-rescan", "axelera-watchdog"]),
        ({"throttle": "85:5:40"}, ["axelera-limits", "axelera-watchdog"]),
        ({"runtime_overlays": ["board"]}, ["axelera", "axelera-watchdog"]),
        ({"carrier": "exaviz-cruiser"}, ["axelera", "axelera-rescan", "axelera-watchdog"]),
        ({"carrier": "exaviz-cruiser", "overlays": []}, ["axelera-rescan", "axelera-watchdog"]),
    ],
)
def test_settings_and_carrier_decide(changes: dict[str, object], expected: list[str]) -> None:
    assert names(Settings.model_validate({"driver": "none", **changes})) == expected


@pytest.mark.parametrize("init", INITS)
def test_arguments_reach_the_programs(init: str) -> None:
    directory, suffix = ("/etc/init.d", "") if init == "openrc" else ("/etc/systemd/system", ".service")
    limits = text(ALL, f"{directory}/axelera-limits{suffix}", init)
    assert f"{services.LIMITS} --clock 600 --mvm 80 --throttle 85:5:40\n" in limits
    assert f"{services.RESCAN} --max-payload 128\n" in text(ALL, f"{directory}/axelera-rescan{suffix}", init)
    unset = ALL.model_copy(update={"max_payload": 0})
    assert f"{services.RESCAN}\n" in text(unset, f"{directory}/axelera-rescan{suffix}", init)
    loader = f"{directory}/axelera-slammer" if init == "openrc" else f"{directory}/axelera.service"
    both = ALL.model_copy(update={"runtime_overlays": ["board", "/opt/other.dtbo"]})
    assert "load --if-there axelera-metis board /opt/other.dtbo\n" in text(both, loader, init)
    assert "wanted_clock=600\n" in text(ALL, services.CARD_FUNCTIONS, init)


def test_every_path_is_looked_at_beforehand() -> None:
    written = {f.path for init in INITS for f in services.files(ALL, host(init))}
    assert written == set(services.PATHS)
    asked = survey_request(ALL.model_copy(update={"runtime_overlays": ["board"]})).paths
    assert written <= set(asked)
    assert "/lib/firmware/overlays/board.dtbo" in asked


def test_an_overlay_that_is_nowhere_rules_the_host_out() -> None:
    settings = Settings(driver="none", runtime_overlays=["board", "/opt/own.dtbo"])
    paths = services.paths(settings)[len(services.PATHS) :]
    absent = {path: FileState(path, "absent") for path in paths}
    blockers = desired_state(settings, replace(host("systemd"), files=absent)).blockers
    assert [b for b in blockers if "metis_runtime_overlays" in b] == [
        f"metis_runtime_overlays names board, and there is no {' or '.join(paths[:-1])}: put the file there",
        "metis_runtime_overlays names /opt/own.dtbo, and there is no /opt/own.dtbo: put the file there",
    ]
    there = {**absent, paths[0]: FileState(paths[0], "file"), paths[-1]: FileState(paths[-1], "file")}
    assert not list(services.overlay_mistakes(settings, replace(host("systemd"), files=there)))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("clock_mhz", 650, "is not a clock of the card: 100, 200, 400, 600, 700, 800"),
        ("mvm_limit", 0, "greater than or equal to 1"),
        ("throttle", "85", "is not T:H:L"),
        ("throttle", "85:90:40", "is out of range"),
        ("throttle", "85:5:0", "is out of range"),
        ("max_payload", 100, "is neither 0 (leave it) nor a size of PCI Express"),
        ("runtime_overlays", ["/opt/board"], "is neither the name of an overlay"),
        ("runtime_overlays", ["../x"], "is neither the name of an overlay"),
        ("watchdog", "yes", "valid boolean"),
    ],
)
def test_mistakes_are_one_sentence(key: str, value: object, words: str) -> None:
    with pytest.raises(UserError) as error:
        settings_from({"metis_driver": "none", f"metis_{key}": value}, where="pi")
    assert words in str(error.value)
    assert str(error.value).startswith(f"pi: metis_{key}")


def test_a_payload_without_the_rescan_is_a_contradiction() -> None:
    with pytest.raises(UserError, match="metis_max_payload is set by the rescan"):
        settings_from({"metis_driver": "none", "metis_max_payload": 128, "metis_rescan": False}, where="pi")


# ---- the real tools


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = []
    for file in services.files(ALL, host("systemd")):
        # The programs must be where the units look for them.
        content = file.content.replace(b"/usr/lib/metis-provision", str(tmp_path).encode())
        content = content.replace(b"/usr/bin/axelera", f"{tmp_path}/axelera".encode())
        path = tmp_path / Path(file.path).name
        path.write_bytes(content)
        path.chmod(int(file.mode, 8))
        units += [str(path)] if path.suffix == ".service" else []
    assert len(units) == 4
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("init", INITS)
def test_shellcheck_finds_nothing_wrong_with_the_programs(
    tmp_path: Path, init: str, shellcheck: Callable[..., str]
) -> None:
    programs = [f for f in services.files(ALL, host(init)) if is_shell(f)]
    assert len(programs) >= 6
    for file in programs:
        (tmp_path / Path(file.path).name).write_bytes(file.content)
    # openrc-run reads name, description and the like.
    assert shellcheck("--shell=sh", "--exclude=SC2034", *sorted(tmp_path.iterdir())) == ""


def is_shell(file: File) -> bool:
    return file.content.startswith(b"#!") or file.path.endswith(".sh")


# ---- what is left to do


def test_a_bare_host_needs_them_enabled_and_started() -> None:
    change = left(ALL, host("systemd")).services
    assert change == ServicesChange(enable=tuple(names(ALL)), start=tuple(names(ALL)))
    reasons = left(ALL, host("systemd")).reasons[Concern.SERVICES]
    assert "write /etc/systemd/system/axelera-watchdog.service" in reasons
    assert "enable axelera-watchdog" in reasons


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("with_card", [True, False])
def test_a_converged_host_needs_nothing(init: str, with_card: bool) -> None:
    found = left(ALL, converged(ALL, init, with_card))
    assert (found.services, found.files.get(Concern.SERVICES)) == (None, None)


def broken(name: str, **changes: object) -> Survey:
    survey = converged(ALL, "systemd", with_card=True)
    assert survey.services is not None
    state = replace(survey.services[name], **changes)  # type: ignore[arg-type]
    return replace(survey, services={**survey.services, name: state})


@pytest.mark.parametrize(
    ("survey", "expected"),
    [
        (
            broken("axelera-watchdog", enabled=False),
            ServicesChange(enable=("axelera-watchdog",), start=("axelera-watchdog",)),
        ),
        (broken("axelera-watchdog", state="inactive"), ServicesChange(start=("axelera-watchdog",))),
        (broken("axelera-watchdog", state="failed"), ServicesChange(start=("axelera-watchdog",))),
        (broken("axelera-limits", ran=False), ServicesChange(start=("axelera-limits",))),
        (broken("axelera-limits", state="failed"), ServicesChange(start=("axelera-limits",))),
        (broken("axelera-rescan", stale=True), ServicesChange(reload=True)),
    ],
    ids=["disabled", "stopped", "failed", "never-ran", "limits-failed", "stale"],
)
def test_drift_is_put_right_and_nothing_else_touched(survey: Survey, expected: ServicesChange) -> None:
    assert left(ALL, survey).services == expected


def test_what_a_changed_program_belongs_to_is_started_anew() -> None:
    survey = converged(ALL, "systemd", with_card=True)
    path = services.STATS_LOGGER
    drifted = replace(survey, files={**survey.files, path: replace(survey.files[path], sha256="0" * 64)})
    assert left(ALL, drifted).services == ServicesChange(start=("axelera-watchdog",))


@pytest.mark.parametrize("init", INITS)
def test_what_is_switched_off_is_stopped_before_its_file_goes(init: str) -> None:
    survey = converged(ALL, init, with_card=True)
    entry = ReceiptFile(sha256="0", mode="0644", owner="root", group="root", concern=Concern.SERVICES)
    receipt = Receipt(files={f.path: entry for f in services.files(ALL, survey)})
    found = left(Settings(cards=0, driver="none"), survey, receipt)
    assert found.services is not None
    assert set(found.services.remove) == set(names(ALL, init))
    assert set(found.files[Concern.SERVICES].surplus) == set(receipt.files)


def test_without_an_init_system_nothing_is_enabled() -> None:
    assert left(ALL, replace(host("unknown"), services=None)).services is None


@pytest.mark.parametrize("container", [None, "podman"])
def test_only_a_machine_of_its_own_can_rescan(container: str | None) -> None:
    survey = host("systemd", with_card=True)
    survey = replace(survey, host=replace(survey.host, container=container))
    can_run = {service.needs: service.can_run for service in services.services(ALL, survey)}
    assert can_run == {Needs.NOTHING: True, Needs.CARD_ON_BUS: container is None, Needs.CARD_NODE: True}

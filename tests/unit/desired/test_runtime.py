"""The runtime by each way: what is written and installed, what goes when it changes, what is refused."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.desired.difference import RuntimeChange, difference
from metis_provision.desired.runtime import IN_CONTAINER, KEYRINGS, SOURCES
from metis_provision.desired.state import desired_state, survey_request
from metis_provision.model.artifact import Concern, DesiredState, EnvironmentRuntime, InstalledRuntime, RuntimeKind
from metis_provision.model.receipt import Receipt, ReceiptPayload, ReceiptRuntime
from metis_provision.model.settings import Settings
from metis_provision.model.survey import FileState, Host, Survey

A, B = "a" * 64, "b" * 64
KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
WHEEL = "axelera_rt-1.8.0-py3-none-manylinux_2_17_x86_64.whl"
NOTHING_DONE = Receipt()
DEBIAN = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}
UBUNTU = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04 LTS"}


def settings(**changes: object) -> Settings:
    return Settings.model_validate({"cards": 0, "driver": "none", "runtime_version": "1.8.0", **changes})


APT = {
    "runtime": "apt",
    "runtime_url": "https://apt.example/repo",
    "runtime_key": "axelera.asc",
    "runtime_key_fingerprint": "F" * 40,
}
PIP = {"runtime": "pip", "runtime_wheels": {WHEEL: A}}
CONTAINER = {
    "runtime": "container",
    "runtime_image": f"sha256:{A}",
    "runtime_source": "voyager.tar",
    "runtime_sha256": B,
}
PYTHON = {"python3": "/usr/bin/python3", "python3.13": "/usr/bin/python3.13"}


def host(os_release: dict[str, str] = DEBIAN, tools: dict[str, str] | None = None, **changes: object) -> Survey:
    survey = Survey(
        host=Host(os_release=os_release, uid=0, epoch=1_800_000_000, tools={"udevadm": "/x", **(tools or {})})
    )
    return replace(survey, **changes)


def desired(asked: Settings, survey: Survey) -> DesiredState:
    return desired_state(asked, survey, KEY)


def left(asked: Settings, survey: Survey, receipt: Receipt = NOTHING_DONE) -> RuntimeChange | None:
    return difference(asked, desired(asked, survey), survey, receipt).runtime


def contents(state: DesiredState) -> dict[str, str]:
    return {file.path: file.content.decode() for file in state.files if file.concern is Concern.RUNTIME}


def test_apt_gets_a_source_that_trusts_one_key() -> None:
    state = desired(settings(**APT), host(UBUNTU))
    written = contents(state)
    assert written.pop(KEYRINGS[0]) == KEY.decode()
    (source,) = written.values()
    for line in (
        "Types: deb",
        "URIs: https://apt.example/repo",
        "Suites: ubuntu24",
        "Components: main",
        f"Signed-By: {KEYRINGS[0]}",
    ):
        assert f"\n{line}\n" in source
    assert desired_state(settings(**APT), host(UBUNTU), b"\x98\x33").files[-2].path == KEYRINGS[1]
    assert state.runtime_packages == ("kmod", "pciutils")


def test_debian_needs_a_suite_by_name() -> None:
    (blocker,) = desired(settings(**APT), host()).blockers
    assert "no suite for Debian GNU/Linux 13 (trixie): set metis_runtime_suite" in blocker
    named = desired(settings(**APT, runtime_suite="ubuntu24"), host())
    assert named.blockers == ()
    assert "Suites: ubuntu24\n" in contents(named)[SOURCES]


@pytest.mark.parametrize("way", [APT, PIP, CONTAINER])
def test_the_survey_looks_at_all_that_is_written(way: dict[str, object]) -> None:
    asked = settings(**way)
    state = desired(asked, host(UBUNTU, PYTHON))
    assert state.runtime is not None
    request = survey_request(asked)
    assert set(contents(state)) <= set(request.paths)
    if isinstance(state.runtime, EnvironmentRuntime):
        assert state.runtime.mark_path in request.paths
    assert request.image == (A if way is CONTAINER else None)


def test_each_set_of_wheels_and_interpreter_has_a_directory_of_its_own() -> None:
    one = desired(settings(**PIP), host(tools=PYTHON)).runtime
    other_wheel = desired(settings(runtime="pip", runtime_wheels={WHEEL: B}), host(tools=PYTHON)).runtime
    other_python = desired(settings(**PIP), host(tools={"python3.12": "/x"})).runtime
    directories = {runtime.installed.name for runtime in (one, other_wheel, other_python) if runtime}
    assert len(directories) == 3
    assert all(name.startswith("/opt/axelera/venv-1.8.0-") for name in directories)


@pytest.mark.parametrize(
    ("tools", "packages"),
    [
        ({}, ("kmod", "pciutils", "python3-venv")),
        ({"python3": "/x", "python3.11": "/x"}, ("kmod", "pciutils", "python3.11-venv")),
        ({"python3": "/x", "python3.10": "/x", "python3.12": "/x"}, ("kmod", "pciutils", "python3.12-venv")),
    ],
)
def test_the_newest_python_that_there_are_wheels_for(tools: dict[str, str], packages: tuple[str, ...]) -> None:
    assert desired(settings(**PIP), host(tools=tools)).runtime_packages == packages


def test_a_host_without_a_python_in_range_is_refused() -> None:
    (blocker,) = desired(settings(**PIP), host(tools={"python3": "/usr/bin/python3"})).blockers
    assert blocker.startswith("axelera-rt needs Python 3.10 to 3.13, and /usr/bin/python3 is none of them: install one")


def test_alpine_has_no_library_for_the_wheels() -> None:
    (blocker,) = desired(settings(**PIP), host({"ID": "alpine"}, PYTHON)).blockers
    assert "built for the GNU C library, which alpine does not have" in blocker


@pytest.mark.parametrize(
    ("asked", "there", "engine", "packages"),
    [
        (None, (), "podman", ("podman",)),
        (None, ("docker",), "docker", ()),
        (None, ("docker", "podman"), "podman", ()),
        ("podman", ("docker",), "podman", ("podman",)),
        ("docker", ("podman",), "docker", ()),
        ("docker", (), "docker", ()),
    ],
)
def test_the_engine_that_is_there(
    asked: str | None, there: tuple[str, ...], engine: str, packages: tuple[str, ...]
) -> None:
    state = desired(settings(**CONTAINER, runtime_engine=asked), host(tools=dict.fromkeys(there, "/x")))
    assert state.runtime is not None
    assert state.runtime.installed == InstalledRuntime(RuntimeKind.IMAGE, A, engine)
    assert state.runtime_packages == packages


@pytest.fixture
def in_container(tmp_path: Path):
    """Runs the program that leads into the container, with an engine that prints its arguments, on a made-up host."""

    def run(*arguments: str, nodes: tuple[str, ...] = ("metis-0-1-0",), privileged: bool = False) -> list[str]:
        state = desired(settings(**CONTAINER, runtime_privileged=privileged), host())
        for node in nodes:
            directory = tmp_path / "sys/class/metis" / node
            directory.mkdir(parents=True)
            (directory / "uevent").write_text(f"MAJOR=240\nDEVNAME={node}\n")
        program, engine = tmp_path / "in-container", tmp_path / "podman"
        program.write_text(contents(state)[IN_CONTAINER])
        engine.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        engine.chmod(0o755)
        done = subprocess.run(
            ["sh", str(program), *arguments],
            env={"PATH": f"{tmp_path}:{os.defpath}", "METIS_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return [str(done.returncode), *done.stdout.splitlines(), *done.stderr.splitlines()]

    return run


def test_a_container_is_made_for_each_call_with_the_nodes_that_are_there(in_container) -> None:
    status, *words = in_container("axrunmodel", "/a b.json", "--seconds", "2", nodes=("metis-0-1-0", "metis-0-c2-0"))
    assert status == "0"
    assert words[:4] == ["run", "--rm", "--pull=never", "--network=none"]
    assert words[-5:] == [A, "axrunmodel", "/a b.json", "--seconds", "2"]
    assert {"--device=/dev/metis-0-1-0", "--device=/dev/metis-0-c2-0"} <= set(words)
    assert {"--cap-add=SYS_RAWIO", "--cap-add=SYS_ADMIN"} <= set(words)
    assert "--privileged" not in words


def test_a_node_with_colons_needs_a_privileged_container(in_container) -> None:
    status, *words = in_container("axdevice", nodes=("metis-0:1:0",))
    assert status == "125"
    assert "set metis_runtime_privileged = True" in words[-1]


def test_a_privileged_container_has_all_of_dev(in_container) -> None:
    status, *words = in_container("axdevice", nodes=("metis-0:1:0",), privileged=True)
    assert status == "0"
    assert {"--privileged", "--volume=/dev:/dev"} <= set(words)
    assert not [word for word in words if word.startswith("--device")]


def test_a_container_without_a_tool_to_run(in_container) -> None:
    assert in_container()[0] == "125"


def test_an_upgrade_removes_what_the_receipt_says_we_installed() -> None:
    asked = settings(**APT, runtime_suite="x")
    old = ReceiptRuntime(kind=RuntimeKind.PACKAGE, name="axelera-runtime-1.7.0")
    theirs = host(packages={"axelera-runtime-1.7.0": "1", "axelera-runtime-1.6.0": "1"})
    change = left(asked, theirs, Receipt(runtimes=(old,)))
    assert change is not None
    assert change.reasons == (
        "install axelera-runtime-1.8.0 from https://apt.example/repo",
        "remove axelera-runtime-1.7.0",
    )
    assert left(asked, host(packages={"axelera-runtime-1.8.0": "1", "axelera-runtime-1.6.0": "1"})) is None


def test_what_somebody_else_removed_is_only_noted() -> None:
    old = ReceiptRuntime(kind=RuntimeKind.PACKAGE, name="axelera-runtime-1.7.0")
    change = left(settings(), host(), Receipt(runtimes=(old,)))
    assert change is not None
    assert change.reasons == ("note that axelera-runtime-1.7.0 is gone",)


def test_switched_off_everything_of_ours_goes() -> None:
    runtimes = (
        ReceiptRuntime(kind=RuntimeKind.ENVIRONMENT, name="/opt/axelera/venv-1.8.0-0"),
        ReceiptRuntime(kind=RuntimeKind.IMAGE, name=A, engine="podman"),
    )
    payloads = {"model": ReceiptPayload(name="model", version="1.8.0", sha256=A)}
    change = left(settings(), host(), Receipt(runtimes=runtimes, payloads=payloads))
    assert change is not None
    assert change.reasons == (
        "remove /opt/axelera/venv-1.8.0-0",
        f"remove the podman image {A}",
        "remove the model that was handed over before",
    )
    assert left(settings(), host()) is None


def test_an_environment_counts_once_its_mark_is_there() -> None:
    asked = settings(**PIP)
    runtime = desired(asked, host(tools=PYTHON)).runtime
    assert isinstance(runtime, EnvironmentRuntime)
    change = left(asked, host(tools=PYTHON))
    assert change is not None
    assert change.upload == runtime.wheels
    mark = {runtime.mark_path: FileState(runtime.mark_path, "file", A)}
    assert left(asked, host(tools=PYTHON, files=mark)) is None


def test_an_image_counts_where_the_engine_has_it() -> None:
    asked = settings(**CONTAINER)
    assert left(asked, host(engines=frozenset({"docker"}))) is not None
    assert left(asked, host(engines=frozenset({"podman"}))) is None


def test_a_model_is_handed_over_once() -> None:
    asked = settings(model_source="m/model.json", model_sha256=A, model_release="1.8.0")
    change = left(asked, host())
    assert change is not None
    assert change.reasons == ("hand over model model.json",)
    path = f"/var/cache/metis-provision/{A[:16]}-model.json"
    assert left(asked, host(files={path: FileState(path, "file", A)})) is None
    assert survey_request(asked).self_test_model == path

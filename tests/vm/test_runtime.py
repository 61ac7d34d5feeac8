"""The runtime by each of its ways on a host with a card: it passes the self-test, and says no when it must."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import changed_nothing, deploy, fault, findings, ours, pyinfra, said

from metis_provision.lab.apt import HOST_SEEN_FROM_GUEST
from metis_provision.lab.card.control import CardControl
from metis_provision.lab.machine import Machine
from metis_provision.lab.standin import vendor
from metis_provision.lab.standin.source import INFERENCE_PATH, MODEL_PATH, RUNTIME_VERSION, model_file

pytestmark = [pytest.mark.vm, pytest.mark.full]

OLD = "1.7.0"
NO_FILE: dict[str, object] = {"runtime_source": None, "runtime_sha256": None, "self_test_model": None}


def pinned(name: str, path: Path) -> dict[str, object]:
    return {f"{name}_source": str(path), f"{name}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, object]]]:
    """Settings of each way, with the stand-ins of the vendor's repositories behind them."""
    directory = tmp_path_factory.mktemp("vendor")
    with vendor.served(directory) as port:
        offered = vendor.offer(directory, f"http://{HOST_SEEN_FROM_GUEST}:{port}")
        yield {
            way: NO_FILE | {key.removeprefix("metis_"): value for key, value in settings.items()}
            for way, settings in offered.items()
        }


@pytest.fixture(scope="module")
def guest(provisioned: Machine) -> Iterator[Machine]:
    """The shared machine, put back to the settings of ``inventories/lab.py`` afterwards."""
    yield provisioned
    deploy(provisioned)


WHERE = {
    "apt": "/usr/bin/axrunmodel",
    "pip": "/usr/local/bin/axrunmodel",
    "container": "/usr/local/bin/axrunmodel",
}


@pytest.fixture(scope="module", params=["apt", "pip", "container"])
def way(request: pytest.FixtureRequest, guest: Machine, ways: dict[str, dict[str, object]]) -> str:
    """A way, by which the runtime is on the machine."""
    deploy(guest, **ways[request.param])
    return str(request.param)


def test_each_way_passes_the_self_test_with_the_golden_answer_and_no_other(
    guest: Machine, ways: dict[str, dict[str, object]], way: str
) -> None:
    settings = ways[way]
    assert said(guest, "sh", "-c", "command -v axrunmodel") == WHERE[way]
    assert said(guest, "axrunmodel", "--version") == f"axrunmodel {RUNTIME_VERSION} (stand-in)"
    assert findings(guest, **settings) == (0, {})
    assert changed_nothing(pyinfra(guest, "-y", **settings))
    with fault(guest, "wrong-answer"):
        status, found = findings(guest, **settings)
    assert status == 1
    assert found["METIS-502"]["answer"] == "fail"
    assert "inference 0, byte " in found["METIS-502"]["seen"], "the golden answer is the first one's"
    assert [code for code, finding in found.items() if finding["answer"] == "fail"] == ["METIS-502"]


@pytest.mark.parametrize("way", ["container"], indirect=True)
def test_the_sdks_inference_runs_in_the_image(guest: Machine, ways: dict[str, dict[str, object]], way: str) -> None:
    frames = 20
    sdk = {"inference": INFERENCE_PATH, "inference_model": "standin-mvm", "inference_source": MODEL_PATH}
    settings = ways[way] | sdk | {"inference_frames": frames}
    assert said(guest, "ls", INFERENCE_PATH, check=False) == "", "it is not on the host"
    control = CardControl(guest.card().control)
    before = control.status()["counters"]["products"]
    status, found = findings(guest, **settings)
    assert (status, set(found)) == (0, {"METIS-502"}), "it compares no answer"
    assert control.status()["counters"]["products"] == before + frames
    status, found = findings(guest, **{**settings, "inference": "/opt/none/inference.py"})
    assert status == 1
    assert "/opt/none/inference.py is not in the runtime's image" in found["METIS-501"]["seen"]


@pytest.mark.parametrize("way", ["container"], indirect=True)
def test_a_container_has_the_nodes_that_a_rescan_left(
    guest: Machine, ways: dict[str, dict[str, object]], way: str
) -> None:
    settings = ways[way]
    guest.unplug_card()
    try:
        assert findings(guest, **settings)[0] == 1
    finally:
        guest.plug_card()
    assert said(guest, "podman", "ps", "--all", "--quiet") == "", "nothing is left that has the old nodes"
    deploy(guest, **settings)
    assert findings(guest, **settings) == (0, {})


def test_a_model_of_another_release_is_refused(guest: Machine, ways: dict[str, dict[str, object]], way: str) -> None:
    settings = ways[way]
    directory = guest.directory / "other-model"
    other = pinned("model", model_file(directory, OLD))
    refused = ours(guest, "apply", "-y", **{**settings, **other, "model_release": OLD})
    assert refused.returncode == 4
    assert f"was compiled for release {OLD}, and the runtime is {RUNTIME_VERSION}" in refused.stderr
    # An inventory that says otherwise than the file itself: the host tells.
    mistaken = {**settings, **other}
    assert pyinfra(guest, "-y", **mistaken).returncode == 1
    status, found = findings(guest, **mistaken)
    assert status == 1
    assert f"compiled for {OLD}, the runtime is {RUNTIME_VERSION}" in found["METIS-504"]["seen"]
    assert [code for code, finding in found.items() if finding["answer"] == "fail"] == ["METIS-504"]


def test_an_archive_that_holds_another_image_is_refused_and_the_one_in_use_stays(
    guest: Machine, ways: dict[str, dict[str, object]]
) -> None:
    before = said(guest, "podman", "images", "--all", "--quiet", "--no-trunc")
    done = pyinfra(guest, "-y", **{**ways["container"], "runtime_image": f"sha256:{'0' * 64}"})
    assert done.returncode == 1
    assert f"and metis_runtime_image asks for {'0' * 64}" in done.stderr
    assert said(guest, "podman", "images", "--all", "--quiet", "--no-trunc") == before
    assert said(guest, "axrunmodel", "--version") == f"axrunmodel {RUNTIME_VERSION} (stand-in)"


def test_switched_off_nothing_of_it_is_left(guest: Machine, ways: dict[str, dict[str, object]]) -> None:
    deploy(guest, **{**NO_FILE, "runtime": "none", "self_test": False})
    assert said(guest, "sh", "-c", "command -v axdevice axrunmodel", check=False) == ""
    assert said(guest, "podman", "images", "--all", "--quiet") == ""
    assert said(guest, "ls", "/opt/axelera", check=False) == ""

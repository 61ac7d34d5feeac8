"""Recorded and built surveys of whole hosts: each parses to exactly what lies beside it and the facts listed here.

``make golden`` writes what lies beside them anew.
"""

import json
from pathlib import Path

import pytest

from metis_provision.model.survey import SignatureState, Survey
from metis_provision.survey.parser import read_survey

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"
NAMES = sorted(path.stem for path in SURVEYS.glob("*.txt"))


def load(name: str) -> Survey:
    return read_survey((SURVEYS / f"{name}.txt").read_text(encoding="ascii"))


def said(survey: Survey) -> dict:
    """The fields that the host said something about; the rest are as in a survey of nothing."""
    nothing = Survey().to_json()
    return {name: value for name, value in survey.to_json().items() if value != nothing[name]}


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    expected = json.loads((SURVEYS / f"{name}.json").read_text(encoding="ascii"))
    assert said(load(name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_understood_and_the_source_is_named(name):
    survey = load(name)
    assert survey.complaints == ()
    first = (SURVEYS / f"{name}.txt").read_text(encoding="ascii").splitlines()[0]
    assert first.startswith(("# Recorded: ", "# Built"))


def card(survey: Survey):
    return next(function for function in survey.pci if function.vendor == "1f9d")


def test_a_bare_machine_without_a_card():
    survey = load("debian13-bare")
    assert survey.pci == ()
    assert survey.dkms is None
    assert survey.nodes == ()
    assert survey.running_kernel.dmabuf_heaps is True
    assert not survey.running_kernel.headers
    assert "axelera" not in survey.groups
    assert survey.receipt is None


def test_a_bare_machine_with_a_card():
    survey = load("debian13-card-bare")
    found = card(survey)
    assert (found.bdf, found.driver, found.path) == ("0000:01:00.0", None, ("0000:00:03.0",))
    assert (found.current_speed, found.current_width, found.max_width) == (8.0, 4, 4)
    assert found.bars == (0x1000, 0, 0x2000000, 0, 0, 0)
    assert not survey.driver.loaded
    assert survey.devices.status == 127
    assert survey.self_test is None


def test_a_provisioned_machine():
    survey = load("debian13-provisioned")
    (node,) = survey.nodes
    assert (node.path, node.owner, node.group, node.mode) == ("/dev/metis-0-1-0", "root", "axelera", "0660")
    assert node.links == ("/dev/axelera/by-path/pci-0000:01:00.0", "/dev/axelera0", "/dev/metis-0:1:0")
    assert (survey.driver.version, survey.driver.bound) == ("1.6.2", ("0000:01:00.0",))
    assert [build.state for build in survey.dkms] == ["installed"]
    kernel = survey.running_kernel
    assert kernel.headers
    assert kernel.module_version == "1.6.2"
    assert kernel.vermagic.startswith(kernel.release)
    assert "axelera" in survey.users["frigate"].groups
    assert survey.files["/etc/modules-load.d/metis.conf"].mode == "0644"
    assert json.loads(survey.receipt)["schema_version"] == 1
    assert {name: (job.running, job.status) for name, job in survey.jobs.items()} == dict.fromkeys(
        ("driver", "packages", "runtime"), (False, 0)
    )
    results = {(attempt.who, attempt.node): attempt.result for attempt in survey.attempts}
    assert results["frigate", "/dev/metis-0-1-0"] == "ok"
    assert results["outsider", "/dev/metis-0-1-0"] == "denied"
    assert survey.devices.status == survey.self_test.status == 0
    assert "Answer check: ok" in survey.self_test.output[-1]


def test_a_busy_node_is_asked_about_but_not_used():
    survey = load("debian13-busy")
    (holder,) = survey.nodes[0].holders
    assert (holder.user, holder.command) == ("frigate", 'frigate.detector "axelera" 300')
    assert all("not opened" in attempt.detail for attempt in survey.attempts if "metis" in attempt.node)
    assert survey.devices is None
    assert survey.self_test is None


def test_a_narrow_link():
    found = card(load("debian13-narrow-link"))
    assert (found.current_width, found.max_width, found.current_speed) == (1, 4, 8.0)


def test_a_card_taken_out():
    survey = load("debian13-card-absent")
    assert survey.pci == ()
    assert survey.driver.loaded
    assert survey.driver.bound == ()
    assert survey.nodes == ()


def test_a_card_off_the_bus():
    found = card(load("card-off-the-bus"))
    assert found.config_reads_ff
    assert (found.vendor, found.device) == ("1f9d", "1100")
    assert found.current_speed is None


def test_an_old_driver_has_a_node_with_colons_and_opens_it_to_all():
    survey = load("debian12-driver-1.5.6")
    (node,) = survey.nodes
    assert (node.path, node.mode, node.bdf) == ("/dev/metis-0:1:0", "0666", "0000:01:00.0")
    assert survey.driver.version == "1.5.6"
    assert {attempt.result for attempt in survey.attempts} == {"ok"}


def test_a_raspberry_pi():
    survey = load("raspberry-pi-5")
    assert survey.host.rpi_issue
    assert survey.host.os_release["ID"] == "debian"
    assert (survey.host.page_size, survey.host.userland) == (16384, "arm64")
    found = card(survey)
    assert (found.bdf, found.path) == ("0001:01:00.0", ("0001:00:00.0",))
    assert (found.current_speed, found.current_width, found.max_width) == (8.0, 1, 4)
    assert survey.dma_heap.group == "video"
    assert {kernel.release for kernel in survey.kernels if kernel.headers} == {
        "6.12.62+rpt-rpi-2712",
        "6.12.62+rpt-rpi-v8",
    }


def test_a_machine_that_looks_like_a_container():
    survey = load("no-modules-no-heap")
    assert survey.host.container == "docker"
    assert survey.host.secure_boot is None
    assert survey.running_kernel.dmabuf_heaps is False
    assert survey.dma_heap is None


def test_a_container():
    survey = load("debian12-container")
    assert (survey.host.container, survey.host.init) == ("podman", "unknown")
    assert survey.pci == ()
    assert not survey.log_readable
    assert [(kernel.running, kernel.headers) for kernel in survey.kernels] == [(True, False)]


def test_what_a_raspberry_pi_boots_with():
    boot = load("raspberry-pi-5").boot
    assert (boot.config_path, boot.mount_point, boot.file_system) == (
        "/boot/firmware/config.txt",
        "/boot/firmware",
        "vfat",
    )
    assert boot.config.startswith("# For more options and information see\n")
    assert boot.config.endswith("dtoverlay=pcie-32bit-dma-pi5\n[all]\n# metis-provision end\n")
    assert "pcie-32bit-dma-pi5" in boot.overlays
    assert (boot.read_only, boot.pcie_enabled, boot.pcie_generation, boot.changed) == (False, True, 3, ())


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("secure-boot-unsigned", SignatureState.UNSIGNED),
        ("secure-boot-not-enrolled", SignatureState.NOT_ENROLLED),
        ("secure-boot-staged", SignatureState.STAGED),
        ("secure-boot-enrolled", SignatureState.ENROLLED),
        ("sig-enforce-without-efi", SignatureState.NOT_ENROLLED),
    ],
)
def test_the_states_of_secure_boot(name, state):
    survey = load(name)
    assert survey.host.secure_boot is name.startswith("secure-boot")
    assert survey.signatures_enforced
    assert survey.trust.own_path == "/var/lib/dkms/mok.pub"
    assert survey.trust.signature(survey.running_kernel) is state


def test_a_kernel_that_arrived_and_boots_next():
    survey = load("next-boot-build-failed")
    assert survey.next_kernel.release == "6.12.124+deb13-amd64"
    assert not survey.next_kernel.running
    (build,) = survey.failed_builds
    assert build.kernel == survey.next_kernel.release
    assert "error: implicit declaration" in build.error


if __name__ == "__main__":
    for recorded in NAMES:
        text = json.dumps(said(load(recorded)), indent=2)
        (SURVEYS / f"{recorded}.json").write_text(f"{text}\n", encoding="ascii")

"""The driver by a package of ours: from the source that was there, looked at with dpkg, and the card still works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import changed_nothing, deploy, findings, owner_and_mode, pyinfra, said, shell

from metis_provision.lab.machine import Machine
from metis_provision.model.artifact import Payload
from metis_provision.packaging.build import package, sha256_of
from metis_provision.packaging.recipe import Format

pytestmark = pytest.mark.full

OURS = (
    "/etc/udev/rules.d/99-axelera-metis.rules",
    "/etc/modules-load.d/metis.conf",
    "/usr/lib/metis-provision/card-names",
)
PACKAGED = "/usr/lib/udev/rules.d/99-axelera-metis.rules"


@pytest.fixture(scope="module")
def settings(provisioned: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Settings for a package made of the very source that the machine runs; what was there is put back after."""
    assert provisioned.driver is not None
    pin = provisioned.driver
    payload = Payload("driver", pin.version, str(pin.source), pin.sha256)
    (made,) = package(Format.DEB, payload, tmp_path_factory.mktemp("package") / "out").packages
    yield {"driver": "package", "driver_source": str(made), "driver_sha256": sha256_of(made)}
    shell(provisioned, "DEBIAN_FRONTEND=noninteractive apt-get -q -y purge metis-dkms")
    deploy(provisioned)


def test_a_package_takes_over_from_the_source_and_the_card_stays_green(
    provisioned: Machine, settings: dict[str, object]
) -> None:
    done = deploy(provisioned, **settings)
    assert "Setting up metis-dkms (1.6.2-1)" in done.stderr
    assert said(provisioned, "dpkg-query", "-W", "-f", "${Version} ${db:Status-Abbrev}", "metis-dkms") == "1.6.2-1 ii"
    assert said(provisioned, "dpkg", "-V", "metis-dkms") == ""
    assert said(provisioned, "dpkg-query", "-S", "/usr/src/metis-1.6.2").startswith("metis-dkms:")
    assert f"{said(provisioned, 'uname', '-r')}, x86_64: installed" in said(provisioned, "dkms", "status")
    assert owner_and_mode(provisioned, "/dev/axelera0") == "root:axelera 660"


def test_nothing_is_written_twice(provisioned: Machine, settings: dict[str, object]) -> None:
    there = [path for path in OURS if shell(provisioned, f"test -e {path}").returncode == 0]
    assert there == []
    assert said(provisioned, "dpkg-query", "-S", PACKAGED) == f"metis-dkms: {PACKAGED}"


def test_a_second_run_changes_nothing_and_costs_two_commands(provisioned: Machine, settings: dict[str, object]) -> None:
    done = pyinfra(provisioned, "-y", "-vv", **settings)
    assert changed_nothing(done), done.stdout + done.stderr
    assert len(re.findall(rf"^\[{provisioned.name}\] +>>> ", done.stderr, re.MULTILINE)) == 2
    status, found = findings(provisioned, **settings)
    assert (status, found) == (0, {})


def test_what_deviates_is_written_beside_the_package(provisioned: Machine, settings: dict[str, object]) -> None:
    deviating = {**settings, "group": "video"}
    deploy(provisioned, **deviating)
    assert 'GROUP="video"' in said(provisioned, "cat", OURS[0])
    assert owner_and_mode(provisioned, "/dev/axelera0") == "root:video 660"
    assert said(provisioned, "dpkg", "-V", "metis-dkms") == ""
    deploy(provisioned, **settings)
    assert shell(provisioned, f"test -e {OURS[0]}").returncode == 1
    assert owner_and_mode(provisioned, "/dev/axelera0") == "root:axelera 660"


def test_a_file_that_is_not_the_pinned_one_changes_nothing(
    provisioned: Machine, settings: dict[str, object], tmp_path: Path
) -> None:
    before = said(provisioned, "sha256sum", "/var/lib/dpkg/status")
    other = tmp_path / "metis-dkms_1.6.2-1_all.deb"
    other.write_bytes(Path(str(settings["driver_source"])).read_bytes() + b" ")
    done = pyinfra(provisioned, "-y", **{**settings, "driver_source": str(other)})
    assert done.returncode != 0
    assert "metis_driver_sha256 does not match" in done.stdout + done.stderr
    assert said(provisioned, "sha256sum", "/var/lib/dpkg/status") == before

"""Hosts that only carry the files, in real Debian containers: converged twice, and seen by other eyes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from metis_provision.lab.container_images import USER, Init, Release
from metis_provision.lab.containers import Container, open_ssh, start_container
from metis_provision.lab.ssh import make_key
from metis_provision.model.errors import UserError

pytestmark = pytest.mark.container

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RULES = "/etc/udev/rules.d/99-axelera-metis.rules"
FILES_ONLY: dict[str, object] = {"metis_cards": 0, "metis_driver": "none"}

EXPLODE = """
from metis_provision.operations import view
real = view.difference
def broken(settings, *rest):
    if settings.service_users == ["explode"]:
        raise KeyError("unforeseen")
    return real(settings, *rest)
view.difference = broken
"""


def inventory(path: Path, hosts: dict[str, dict[str, object]]) -> Path:
    (path / "inventory.py").write_text(f"hosts = {list(hosts.items())!r}\n")
    return path / "inventory.py"


def pyinfra(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "pyinfra"), str(inventory), "deploys/metis.py", *arguments]
    environment = {**os.environ, "PYINFRA_PROGRESS": "off"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def three(containers: None) -> Iterator[list[Container]]:
    made = [start_container(Release.DEBIAN_13) for _ in range(3)]
    yield made
    for container in made:
        container.remove()


KINDS = [(Release.DEBIAN_12, Init.SYSTEMD), (Release.DEBIAN_13, Init.SYSTEMD), (Release.DEBIAN_13, Init.OPENRC)]


@dataclass(frozen=True)
class Way:
    """How a host is reached: by which connector, and as whom."""

    name: str
    ssh: bool
    user: str = "root"

    def data(self, container: Container, keys: Path) -> tuple[str, dict[str, object]]:
        """The host's name and its data in an inventory."""
        if not self.ssh:
            return container.pyinfra_name, {**FILES_ONLY}
        target = replace(open_ssh(container, keys), user=self.user)
        sudo = {} if self.user == "root" else {"_sudo": True}
        return "host", {**FILES_ONLY, **target.pyinfra_data(), **sudo}


WAYS = (Way("podman-root", ssh=False), Way("ssh-root", ssh=True), Way("ssh-sudo", ssh=True, user=USER))


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def fresh(request: pytest.FixtureRequest, containers: None) -> Iterator[Container]:
    """A fresh container of each kind."""
    made = start_container(*request.param)
    yield made
    made.remove()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_container_is_converged_and_then_left_alone(fresh: Container, way: Way, tmp_path: Path) -> None:
    fresh.run("useradd", "-r", "frigate")
    name, data = way.data(fresh, tmp_path)
    hosts = inventory(tmp_path, {name: data})
    first = pyinfra(hosts, "-y")
    assert first.returncode == 0, first.stdout + first.stderr
    assert " green" in first.stdout
    assert fresh.run("stat", "-c", "%U:%G %a", RULES).stdout == "root:root 644\n"
    assert "axelera" in fresh.run("id", "-Gn", "frigate").stdout.split()
    assert fresh.run("getent", "passwd", "hass", check=False).returncode == 2
    again = pyinfra(hosts, "-y", "-vv")
    assert again.returncode == 0
    hosts_total, success, error, unchanged = next(
        line for line in again.stderr.splitlines() if "Grand total" in line
    ).split()[2:]
    assert (success, error, unchanged) == ("-", "-", hosts_total)
    assert len(re.findall(rf"^\[{re.escape(name)[:20]}[0-9a-f]*\] +>>> ", again.stderr, re.MULTILINE)) == 2
    plan = pyinfra(hosts, "--dry")
    rows = [line.split()[-2:] for line in plan.stderr.splitlines() if line.strip().startswith("Metis | ")]
    assert rows
    assert all(row == ["-", "-"] for row in rows)


def test_a_user_without_sudo_asked_for_is_refused_by_ssh_too(container: Container, tmp_path: Path) -> None:
    name, data = Way("ssh-plain", ssh=True, user=USER).data(container, tmp_path)
    refused = pyinfra(inventory(tmp_path, {name: {**data, "_sudo": False}}), "-y")
    assert refused.returncode == 1
    assert "not as root: use pyinfra's --sudo" in refused.stderr
    assert container.run("ls", RULES, check=False).returncode != 0


def test_a_host_that_shows_another_key_is_not_entered(container: Container, tmp_path: Path) -> None:
    target = open_ssh(container, tmp_path)
    (tmp_path / "other").mkdir()
    other = make_key(tmp_path / "other" / "key", "another host")
    target.known_hosts.write_text(f"[127.0.0.1]:{target.port} {other}")
    refused = pyinfra(inventory(tmp_path, {"host": {**FILES_ONLY, **target.pyinfra_data()}}), "-y")
    assert refused.returncode == 1
    assert container.run("ls", RULES, check=False).returncode != 0
    with pytest.raises(UserError, match="Host key verification failed"):
        target.run("true")


def test_udev_itself_accepts_the_rules(container: Container, tmp_path: Path) -> None:
    assert pyinfra(inventory(tmp_path, {container.pyinfra_name: {**FILES_ONLY}}), "-y").returncode == 0
    if container.release is Release.DEBIAN_13:
        assert container.run("udevadm", "verify", RULES).returncode == 0


def test_an_ordinary_user_is_refused_before_anything_changes(container: Container, tmp_path: Path) -> None:
    container.run("useradd", "-m", "somebody")
    refused = pyinfra(inventory(tmp_path, {container.pyinfra_name: {**FILES_ONLY, "_su_user": "somebody"}}), "-y")
    assert refused.returncode == 1
    assert "not as root: use pyinfra's --sudo" in refused.stderr
    assert container.run("ls", RULES, check=False).returncode != 0


def test_an_unexpected_error_on_one_of_three_leaves_two_converged(three: list[Container], tmp_path: Path) -> None:
    names = [container.pyinfra_name for container in three]
    data = {name: dict(FILES_ONLY) for name in names}
    data[names[1]]["metis_service_users"] = ["explode"]
    hosts = inventory(tmp_path, data)
    run = EXPLODE + "from metis_provision.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, "apply", "-y", "--json", str(hosts)], capture_output=True, text=True, check=False
    )
    rows = {row["host"]: row for row in json.loads(done.stdout)["hosts"]}
    assert done.returncode == 1
    assert [rows[name]["standing"] for name in names] == ["green", None, "green"]
    assert "unexpected KeyError" in rows[names[1]]["reason"]
    there = [container.run("ls", RULES, check=False).returncode == 0 for container in three]
    assert there == [True, False, True]


def test_a_change_the_host_refuses_is_told_in_its_words(three: list[Container], tmp_path: Path) -> None:
    victim = three[1]
    victim.run("sh", "-c", "rm -rf /etc/udev/rules.d && mkdir -p /etc/udev && : >/etc/udev/rules.d")
    done = pyinfra(inventory(tmp_path, {victim.pyinfra_name: dict(FILES_ONLY)}), "-y")
    assert done.returncode == 1
    assert "/etc/udev/rules.d could not be created" in done.stdout
    assert "Traceback" not in done.stderr

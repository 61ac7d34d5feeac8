"""The runtime by apt and pip on Debian 12 and 13: installed, upgraded, changed, removed; and what is refused."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from metis_provision.lab.containers import Container
from metis_provision.lab.standin import vendor
from metis_provision.lab.standin.source import model_file

pytestmark = pytest.mark.container

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
OLD, NEW = "1.7.0", "1.8.0"
FILES_ONLY: dict[str, object] = {"metis_cards": 0, "metis_driver": "none"}
SOURCES = "/etc/apt/sources.list.d/axelera.sources"
KEYRING = "/etc/apt/keyrings/axelera.asc"


@dataclass(frozen=True)
class Vendor:
    """Where the stand-ins of the vendor's runtime are, and their key."""

    directory: Path
    url: str
    key: vendor.SigningKey

    def apt(self, version: str) -> dict[str, object]:
        return {
            "metis_runtime": "apt",
            "metis_runtime_version": version,
            "metis_runtime_url": f"{self.url}/apt",
            "metis_runtime_suite": vendor.SUITE,
            "metis_runtime_key": str(self.key.path),
            "metis_runtime_key_fingerprint": self.key.fingerprint,
        }

    def wheel(self, version: str) -> Path:
        (path,) = (self.directory / "pip/wheels").glob(f"*-{version}-*.whl")
        return path

    def pip(self, version: str) -> dict[str, object]:
        directory = self.directory / version
        directory.mkdir(exist_ok=True)
        requirements = vendor.requirements(directory, self.wheel(version))
        return {
            "metis_runtime": "pip",
            "metis_runtime_version": version,
            "metis_runtime_url": f"{self.url}/pip/simple",
            "metis_runtime_source": str(requirements),
            "metis_runtime_sha256": digest(requirements),
        }

    def wheels(self, version: str) -> dict[str, object]:
        path = self.wheel(version)
        return {
            "metis_runtime": "pip",
            "metis_runtime_version": version,
            "metis_runtime_wheels": {str(path): digest(path)},
        }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def shop(containers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    directory = tmp_path_factory.mktemp("vendor")
    key = vendor.signing_key(directory / "key")
    vendor.apt_repository(directory / "apt", key, (OLD, NEW))
    vendor.index(directory / "pip", (OLD, NEW))
    with vendor.served(directory) as port:
        yield Vendor(directory, f"http://127.0.0.1:{port}", key)


@pytest.fixture
def deploy(container: Container, tmp_path: Path):
    """Runs the runtime's deploy on the container with the settings given."""

    def run(settings: dict[str, object]) -> subprocess.CompletedProcess[str]:
        inventory = tmp_path / "inventory.py"
        inventory.write_text(f"hosts = {[(container.pyinfra_name, {**FILES_ONLY, **settings})]!r}\n")
        return subprocess.run(
            [str(BIN / "pyinfra"), "-y", str(inventory), "deploys/runtime.py"],
            cwd=ROOT,
            env={**os.environ, "PYINFRA_PROGRESS": "off"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def changed(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    total = next(line for line in done.stderr.splitlines() if "Grand total" in line)
    hosts, success, error, unchanged = total.split()[2:]
    assert error == "-"
    return (success, unchanged) != ("-", hosts)


def versions(container: Container) -> set[str]:
    return {container.run(tool, "--version").stdout.split()[1] for tool in ("axdevice", "axrunmodel")}


def packages(container: Container) -> list[str]:
    listed = container.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\\n", "axelera-*", check=False)
    return [line.removeprefix("ii ") for line in listed.stdout.splitlines() if line.startswith("ii")]


def there(container: Container, path: str) -> bool:
    return container.run("test", "-e", path, check=False).returncode == 0


def test_apt_installs_upgrades_and_removes(container: Container, shop: Vendor, deploy) -> None:
    assert changed(deploy(shop.apt(OLD)))
    assert packages(container) == [f"axelera-runtime-{OLD}"]
    assert f"Signed-By: {KEYRING}\n" in container.run("cat", SOURCES).stdout
    assert not changed(deploy(shop.apt(OLD)))
    assert changed(deploy(shop.apt(NEW)))
    assert packages(container) == [f"axelera-runtime-{NEW}"]
    assert versions(container) == {NEW}
    assert changed(deploy(shop.apt(OLD)))
    assert versions(container) == {OLD}
    assert changed(deploy({}))
    assert packages(container) == []
    assert not there(container, SOURCES)
    assert not there(container, KEYRING)
    assert not changed(deploy({}))


def test_pip_installs_upgrades_and_removes(container: Container, shop: Vendor, deploy) -> None:
    assert changed(deploy(shop.pip(OLD)))
    assert versions(container) == {OLD}
    assert not changed(deploy(shop.pip(OLD)))
    assert changed(deploy(shop.wheels(NEW)))
    assert versions(container) == {NEW}
    (directory,) = container.run("ls", "/opt/axelera").stdout.split()
    assert directory.startswith(f"venv-{NEW}-")
    listed = container.run(f"/opt/axelera/{directory}/bin/python", "-m", "pip", "list", "--format=freeze").stdout
    assert f"axelera-rt=={NEW}\n" in listed
    assert not changed(deploy(shop.wheels(NEW)))
    # Cut off before its end: the directory is there, its mark is not.
    container.run("rm", f"/opt/axelera/{directory}/.metis-provision", f"/opt/axelera/{directory}/bin/axdevice")
    assert changed(deploy(shop.wheels(NEW)))
    assert versions(container) == {NEW}
    assert changed(deploy(shop.apt(NEW)))
    assert packages(container) == [f"axelera-runtime-{NEW}"]
    assert not there(container, f"/opt/axelera/{directory}")
    assert not there(container, "/usr/local/bin/axdevice")
    assert versions(container) == {NEW}
    assert changed(deploy({}))
    assert not there(container, "/usr/bin/axdevice")


def test_a_model_is_handed_over_once_and_goes_when_another_comes(
    container: Container, shop: Vendor, deploy, tmp_path: Path
) -> None:
    cache = "/var/cache/metis-provision"

    def handed_over(version: str) -> dict[str, object]:
        path = model_file(tmp_path / version, version)
        return {"metis_model_source": str(path), "metis_model_sha256": digest(path), "metis_model_release": version}

    assert changed(deploy(handed_over(OLD)))
    assert not changed(deploy(handed_over(OLD)))
    assert changed(deploy(handed_over(NEW)))
    name = f"{handed_over(NEW)['metis_model_sha256']}"[:16] + "-standin-mvm.json"
    assert container.run("ls", cache).stdout.split() == [name]
    refused = deploy({**shop.apt(OLD), **handed_over(NEW)})
    assert refused.returncode != 0
    assert f"was compiled for release {NEW}, and the runtime is {OLD}" in refused.stdout + refused.stderr
    assert "Starting operation" not in refused.stderr
    assert changed(deploy({}))
    assert container.run("ls", cache).stdout == ""


def test_a_key_of_another_fingerprint_is_refused_before_any_host(container: Container, shop: Vendor, deploy) -> None:
    done = deploy({**shop.apt(NEW), "metis_runtime_key_fingerprint": "F" * 40})
    assert done.returncode != 0
    assert f"it is {shop.key.fingerprint}, expected {'F' * 40}" in done.stdout + done.stderr
    assert "Starting operation" not in done.stderr
    assert not there(container, KEYRING)


def test_a_repository_that_another_key_signed_is_refused_by_apt(
    container: Container, shop: Vendor, deploy, tmp_path: Path
) -> None:
    other = vendor.signing_key(tmp_path / "other")
    done = deploy(
        {
            **shop.apt(NEW),
            "metis_runtime_key": str(other.path),
            "metis_runtime_key_fingerprint": other.fingerprint,
        }
    )
    assert done.returncode != 0
    assert "is not signed" in done.stderr
    assert packages(container) == []
    assert changed(deploy(shop.apt(NEW)))


def test_an_altered_package_is_refused_by_apt(container: Container, shop: Vendor, deploy, tmp_path: Path) -> None:
    repository = vendor.apt_repository(tmp_path / "apt", shop.key, (NEW,))
    (package,) = (repository / "pool/main").iterdir()
    content = bytearray(package.read_bytes())
    content[-1] ^= 1
    package.write_bytes(content)
    with vendor.served(tmp_path) as port:
        done = deploy({**shop.apt(NEW), "metis_runtime_url": f"http://127.0.0.1:{port}/apt"})
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stderr
    assert packages(container) == []


def test_a_wheel_that_the_index_altered_is_refused_by_pip(
    container: Container, shop: Vendor, deploy, tmp_path: Path
) -> None:
    (wheel,) = (vendor.index(tmp_path, (NEW,)) / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    index = tmp_path / "simple/axelera-rt/index.html"
    index.write_text(index.read_text().partition("#sha256=")[0] + f'">{wheel.name}</a>')
    with vendor.served(tmp_path) as port:
        done = deploy({**shop.pip(NEW), "metis_runtime_url": f"http://127.0.0.1:{port}/simple"})
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "pip could not install the runtime" in done.stdout
    assert container.run("ls", "/opt/axelera", check=False).stdout == ""
    assert not there(container, "/usr/local/bin/axdevice")


def test_apts_lock_is_waited_for(container: Container, shop: Vendor, deploy) -> None:
    assert changed(deploy(shop.apt(OLD)))
    # systemd would put its own variables in the place of single dollars.
    hold = (
        'use Fcntl; open(my $$lock, ">>", "/var/lib/dpkg/lock-frontend") or die; '
        'my $$all = pack("s s x![l!] l! l! i", F_WRLCK, 0, 0, 0, 0); fcntl($$lock, F_SETLK, $$all) or die; '
        'open(my $$mark, ">", "/run/held"); sleep 20; unlink "/run/held"'
    )
    container.run("systemd-run", "--quiet", "perl", "-e", hold)
    container.run("timeout", "10", "sh", "-c", "until [ -e /run/held ]; do sleep 0.1; done")
    assert changed(deploy(shop.apt(NEW)))
    assert not there(container, "/run/held")
    log = container.run("cat", "/run/metis-provision/jobs/runtime/log").stdout
    assert re.search(r"^waiting for process [0-9]+ \(perl\), which holds /var/lib/dpkg/lock-front", log, re.MULTILINE)
    assert versions(container) == {NEW}


def test_a_host_whose_python_is_too_old_is_refused_and_told_what_to_do(
    container: Container, shop: Vendor, deploy
) -> None:
    container.run("sh", "-c", "printf '#!/bin/sh\\n' >/usr/local/bin/python3 && chmod 0755 /usr/local/bin/python3")
    done = deploy(shop.wheels(NEW))
    assert done.returncode != 0
    assert "axelera-rt needs Python 3.10 to 3.13, and /usr/local/bin/python3 is none of them" in done.stdout
    assert not there(container, "/opt/axelera")

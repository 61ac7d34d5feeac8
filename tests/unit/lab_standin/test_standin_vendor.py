"""Stand-ins of the vendor's repositories: real signatures, real hashes, the same bytes; models and golden answers."""

import hashlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from metis_provision.lab.card.compute import matrix, multiply
from metis_provision.lab.cli import lab
from metis_provision.lab.standin import vendor
from metis_provision.lab.standin.source import build_tools, golden_answer, model_file
from metis_provision.model.errors import UserError
from metis_provision.model.settings import settings_from
from metis_provision.supply.checksums import payload_mistakes
from metis_provision.supply.runtime import runtime_mistakes


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return vendor.signing_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def axrunmodel(tmp_path_factory):
    return build_tools(tmp_path_factory.mktemp("tools"), "1.8.0")[1]


def test_the_repository_is_signed_by_its_key_and_says_what_is_in_it(key, tmp_path):
    root = vendor.apt_repository(tmp_path, key, ("1.7.0", "1.8.0"))
    signed = root / "dists/standin/InRelease"
    told = subprocess.run(
        ["gpg", "--homedir", key.home, "--status-fd", "1", "--verify", signed],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"VALIDSIG {key.fingerprint}" in told
    (index,) = root.glob("dists/standin/main/binary-*/Packages")
    text = index.read_text()
    assert hashlib.sha256(index.read_bytes()).hexdigest() in signed.read_text()
    assert [line for line in text.splitlines() if line.startswith("Package:")] == [
        "Package: axelera-runtime-1.7.0",
        "Package: axelera-runtime-1.8.0",
    ]
    for line in (line for line in text.splitlines() if line.startswith("Filename:")):
        assert hashlib.sha256((root / line.split()[1]).read_bytes()).hexdigest() in text


def test_the_index_serves_a_wheel_that_pip_takes(tmp_path):
    root = vendor.index(tmp_path)
    (wheel,) = (root / "wheels").iterdir()
    assert wheel.read_bytes() == vendor.wheel(tmp_path / "again").read_bytes()
    requirements = vendor.requirements(tmp_path, wheel)
    with vendor.served(root) as port:
        url = f"http://127.0.0.1:{port}/simple"
        assert wheel.name in urllib.request.urlopen(f"{url}/axelera-rt/").read().decode()
        pip = [sys.executable, "-m", "pip", "download", "--isolated", "--no-cache-dir", "--only-binary", ":all:"]
        source = ["--index-url", url, "--require-hashes", "-r", requirements, "-d", tmp_path / "out"]
        subprocess.run([*pip, *source], check=True, capture_output=True)
        assert (tmp_path / "out" / wheel.name).read_bytes() == wheel.read_bytes()
        requirements.write_text(f"axelera-rt==1.8.0 --hash=sha256:{'0' * 64}\n")
        refused = subprocess.run([*pip, *source], check=False, capture_output=True, text=True)
    assert "DO NOT MATCH THE HASHES" in refused.stderr


def test_the_command_prints_settings_that_are_valid_and_pinned(tmp_path):
    out = tmp_path / "vendor"
    done = CliRunner().invoke(lab, ["vendor", "--out", str(out), "--way", "apt", "--way", "pip", "--build-only"])
    assert done.exit_code == 0
    offered = json.loads(done.stdout)
    assert list(offered) == ["apt", "pip"]
    for data in offered.values():
        settings = settings_from({"metis_driver": "none", **data}, where="host")
        assert payload_mistakes(settings) + runtime_mistakes(settings) == []
    assert offered["apt"]["metis_runtime_url"] == "http://10.0.2.2:8099/apt"
    assert [Path(path).name[:16] for path in offered["pip"]["metis_runtime_wheels"]] == ["axelera_rt-1.8.0"]
    again = CliRunner().invoke(lab, ["vendor", "--out", str(out), "--build-only"])
    assert isinstance(again.exception, UserError)
    assert "is not empty" in str(again.exception)


def test_a_port_that_is_taken_is_named(tmp_path):
    with vendor.served(tmp_path) as port:
        done = CliRunner().invoke(lab, ["vendor", "--out", str(tmp_path / "v"), "--way", "pip", "--serve", str(port)])
    assert f"Port {port} cannot be served on: Address already in use" in str(done.exception)


def test_a_tool_that_is_missing_is_named():
    with pytest.raises(UserError, match="made with no-such-tool, which is missing"):
        vendor._run(["no-such-tool"])


def test_the_golden_answer_is_the_product_that_the_card_computes():
    assert golden_answer(1, 1, 1) == multiply(matrix(b"\x00", 1, 1), b"\x00").hex()
    answer = golden_answer(64, 64, 20240229)
    assert len(answer) == 64 * 4 * 2
    assert answer != golden_answer(64, 64, 20240230)


def test_a_model_of_another_release_is_refused_before_the_card_is_asked(axrunmodel, tmp_path):
    model = model_file(tmp_path, "1.7.0")
    done = subprocess.run([axrunmodel, model], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f'axrunmodel: {model}: Version mismatch! Actual="1.7.0" Expected="1.8.0"\n'


def test_a_model_of_the_same_release_gets_as_far_as_the_card(axrunmodel, tmp_path):
    model = model_file(tmp_path, "1.8.0")
    environment = {"PATH": "/nowhere"}
    done = subprocess.run([axrunmodel, model], capture_output=True, text=True, check=False, env=environment)
    assert "No AIPU driver found in lsmod output" in done.stderr


@pytest.mark.parametrize("golden", ["", "00", "zz" * 256, "00" * 257, "0" * 511])
def test_a_golden_answer_that_is_none(axrunmodel, tmp_path, golden):
    path = model_file(tmp_path, "1.8.0")
    path.write_text(json.dumps({**json.loads(path.read_text()), "golden": golden}))
    done = subprocess.run([axrunmodel, path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert '"golden" must be 512 hexadecimal digits' in done.stderr

"""The driver's tarball and the runtime's package: shape, the same bytes every time, versions, missing tools."""

import hashlib
import json
import os
import subprocess
import tarfile
from importlib.resources import files

import pytest

from metis_provision.lab.standin import source
from metis_provision.lab.standin.source import INFERENCE_PATH, MODEL_PATH, driver_tarball, runtime_deb
from metis_provision.model.errors import ExitCode, UserError

TOOLS = {
    **{name: f"/usr/bin/{name}" for name in ("axdevice", "axrunmodel", "axlogdevice", "axcmd")},
    "inference.py": INFERENCE_PATH,
}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return runtime_deb(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def installed(deb, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "--extract", deb, root], check=True)
    return root


@pytest.fixture
def host(tmp_path, installed):
    """Runs an installed tool on a host whose lsmod and lspci print what they are told to."""

    def run(*command, lsmod="", lspci=""):
        commands = tmp_path / "bin"
        commands.mkdir(exist_ok=True)
        for name, text in (("lsmod", lsmod), ("lspci", lspci)):
            (commands / name).write_text(f"#!/bin/sh\nprintf '{text}'\n")
            (commands / name).chmod(0o755)
        tool = installed / TOOLS[command[0]].lstrip("/")
        environment = {"PATH": f"{commands}:/usr/bin:/bin"}
        return subprocess.run([tool, *command[1:]], env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_tarball_is_shaped_like_the_vendors(tmp_path):
    path = driver_tarball(tmp_path)
    assert path.name == "axelera-driver-1.6.2.tar.gz"
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert {(member.uid, member.mtime) for member in archive} == {(0, source.TIMESTAMP)}
    assert names[:2] == ["axelera-driver-1.6.2", "axelera-driver-1.6.2/driver"]
    assert all(name.startswith("axelera-driver-1.6.2") for name in names)
    assert "axelera-driver-1.6.2/driver/Makefile" in names
    assert not [name for name in names if "dkms" in name]
    packaged = {name.rpartition("/")[2] for name in names[2:]}
    assert packaged == {path.name for path in files("metis_provision.lab.standin").joinpath("driver").iterdir()}


def test_the_tarballs_version_is_the_modules(tmp_path):
    path = driver_tarball(tmp_path, "1.4.16")
    with tarfile.open(path) as archive:
        header = archive.extractfile("axelera-driver-1.4.16/driver/metis_version.h").read().decode()
    assert '#define METIS_VERSION "1.4.16"\n' in header
    assert digest(path) != digest(driver_tarball(tmp_path, "1.6.2"))


def test_the_checked_in_version_is_the_default():
    header = files("metis_provision.lab.standin").joinpath("driver/metis_version.h").read_text()
    assert f'"{source.DRIVER_VERSION}"' in header


def test_the_tarball_is_the_same_every_time(tmp_path):
    first = driver_tarball(tmp_path / "a")
    assert digest(first) == digest(driver_tarball(tmp_path / "b"))
    date = first.read_bytes()[4:8]  # of the gzip header: two tarballs of one second would agree on any
    assert int.from_bytes(date, "little") == source.TIMESTAMP


def test_the_package_is_the_same_every_time(tmp_path, deb):
    before = os.umask(0o077)
    try:
        assert digest(runtime_deb(tmp_path)) == digest(deb)
    finally:
        os.umask(before)


@pytest.mark.parametrize("version", ["", "1", "1.6;2", "../1.6", "1.6.2\n", "v1.6", '1.6"'])
@pytest.mark.parametrize("make", [driver_tarball, runtime_deb])
def test_a_version_that_is_none(tmp_path, make, version):
    with pytest.raises(UserError, match="is no version"):
        make(tmp_path, version)
    assert not list(tmp_path.iterdir())


def test_the_package_is_named_like_the_vendors(deb):
    fields = subprocess.run(
        ["dpkg-deb", "--field", deb, "Package", "Version", "Depends", "Maintainer", "Description"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Package: axelera-runtime-1.8.0\n" in fields
    assert "Version: 1.8.0-1\n" in fields
    assert "Depends: kmod, pciutils\n" in fields
    assert "Maintainer: metis-provision stand-in" in fields
    assert "Description: stand-in for the Axelera runtime" in fields


def test_the_package_holds_tools_and_model(installed):
    found = {"/" + os.fspath(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert found == {*TOOLS.values(), MODEL_PATH}
    assert all(os.access(installed / tool.lstrip("/"), os.X_OK) for tool in TOOLS.values())
    model = json.loads((installed / MODEL_PATH.lstrip("/")).read_text())
    assert model["operations_per_inference"] == 2 * model["rows"] * model["cols"]


@pytest.mark.parametrize(("missing", "package"), [("gcc", "gcc and libc6-dev"), ("dpkg-deb", "dpkg")])
def test_a_missing_tool_names_its_package(tmp_path, monkeypatch, missing, package):
    which = source.shutil.which
    monkeypatch.setattr(source.shutil, "which", lambda name: None if name == missing else which(name))
    with pytest.raises(UserError, match=f"with {missing}, which is missing; install {package}"):
        runtime_deb(tmp_path)


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    broken = tmp_path / "gcc"
    broken.write_text("#!/bin/sh\necho 'cannot find -lc' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match="gcc failed for the stand-in: cannot find -lc") as failed:
        runtime_deb(tmp_path / "out")
    assert failed.value.exit_code is ExitCode.FAILED


def test_the_tools_compile_without_a_warning(tmp_path):
    with source._sources() as sources:
        for tool, names in source._TOOLS.items():
            command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-Idriver"]
            command += ['-DSTANDIN_VERSION="1"', "-o", tmp_path / tool, *(f"tools/{name}" for name in names)]
            done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("tool", TOOLS)
def test_version_and_help(host, tool):
    done = host(tool, "--version")
    assert (done.returncode, done.stdout) == (0, f"{tool} 1.8.0 (stand-in)\n")
    done = host(tool, "--help")
    assert done.returncode == 0
    assert "Stand-in" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("axdevice",),
        ("axrunmodel", "MODEL"),
        ("axlogdevice", "--slog"),
        ("axcmd", "--board-temp"),
        ("inference.py", "MODEL", "MODEL", "--no-display"),
    ],
)
@pytest.mark.parametrize(
    ("lsmod", "lspci", "line"),
    [
        ("", "", "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output\n"),
        (
            "Module Size Used by\\nmetis_other 1 0\\nsnd 1 1 metis\\n",
            "",
            "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output\n",
        ),
        ("metis 24576 0\\n", "", "AXR_ERROR_CONNECTION_ERROR: No target device found in lspci\n"),
    ],
)
def test_what_the_host_lacks(host, installed, command, lsmod, lspci, line):
    words = [str(installed / MODEL_PATH.lstrip("/")) if word == "MODEL" else word for word in command]
    done = host(*words, lsmod=lsmod, lspci=lspci)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_a_driver_without_a_device(host):
    done = host("axdevice", lsmod="metis 24576 0\\n", lspci="01:00.0 1200: 1f9d:1100\\n")
    assert done.returncode == 1
    assert done.stderr == "AXR_ERROR_CONNECTION_ERROR: The driver is loaded but has no device\n"


@pytest.mark.parametrize(
    "command",
    [
        ("axdevice", "--list"),
        ("axdevice", "surplus"),
        ("axdevice", "--set-clock", "fast"),
        ("axdevice", "--set-clock", "900"),
        ("axdevice", "--set-mvm-limitation", "0"),
        *(
            ("axdevice", f"--set-sw-throttling={wrong}")
            for wrong in ("85", "85:5", "85:5:0", "85:85:40", "201:5:40", "1:0:4x")
        ),
        ("axdevice", "--device", "-1"),
        ("axrunmodel",),
        ("axrunmodel", "a.json", "b.json"),
        ("axrunmodel", "a.json", "-d", "0,x"),
        ("axrunmodel", "a.json", "-d", ","),
        ("axrunmodel", "a.json", "--seconds", "0"),
        ("axrunmodel", "a.json", "--aipu-cores", "5"),
        ("inference.py", "standin-mvm", "--no-display"),
        ("inference.py", "standin-mvm", "frames"),
        ("inference.py", "standin-mvm", "frames", "--no-display", "--frames", "0"),
        ("axcmd",),
        ("axcmd", "--board-temp", "surplus"),
        ("axlogdevice",),
        ("axlogdevice", "--slog", "surplus"),
        *(("axlogdevice", "--slog", "--slog-level", wrong) for wrong in ("inf", "inf:", "loud:collector", "")),
    ],
)
def test_what_the_tools_do_not_take(host, command):
    done = host(*command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.parametrize(
    ("network", "source", "complaint"),
    [
        ("yolov8n-coco", "MODEL", "inference.py: /usr/share/axelera/models/yolov8n-coco.json cannot be read: No such"),
        ("MODEL", "/nowhere/frames.raw", "inference.py: /nowhere/frames.raw cannot be read: No such file"),
        ("MODEL", "/dev/null", "inference.py: /dev/null has no frames"),
    ],
)
def test_networks_and_frames_that_are_not_there(host, installed, network, source, complaint):
    model = str(installed / MODEL_PATH.lstrip("/"))
    words = [model if word == "MODEL" else word for word in (network, source)]
    done = host("inference.py", *words, "--no-display")
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read: No such file"),
        ("", 'has no "rows"'),
        ('{"rows": 8}', 'has no "cols"'),
        (
            '{"rows": "8", "cols": 8, "seed": 1, "operations_per_inference": 1}',
            '"rows" must be a number from 1 to 1024',
        ),
        (
            '{"rows": 8, "cols": 1025, "seed": 1, "operations_per_inference": 1}',
            '"cols" must be a number from 1 to 1024',
        ),
        ('{"rows": 8, "cols": -8, "seed": 1, "operations_per_inference": 1}', '"cols" must be a number'),
        ('{"rows": 8.5, "cols": 8, "seed": 1, "operations_per_inference": 1}', '"rows" must be a number'),
        ('{"rows": 8, "cols": 8, "seed": 0, "operations_per_inference": 1}', '"seed" must be a number'),
        ('{"rows": 8, "cols": 8, "seed": 1, "operations_per_inference": 99999999999999999999}', "must be a number"),
        ("x" * 5000, "is no model file: longer than 4096 bytes"),
    ],
)
def test_models_that_are_none(host, tmp_path, text, complaint):
    model = tmp_path / "model.json"
    if text is not None:
        model.write_text(text)
    done = host("axrunmodel", str(model))
    assert done.returncode == 2
    assert done.stdout == ""
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1

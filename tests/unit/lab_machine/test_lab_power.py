"""Keeping a twin under power: which ends of QEMU are a reboot, and what the firmware refuses to start."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading

import pytest

from metis_provision.lab import power
from metis_provision.lab.boot_partition import ROOT_START, make_disk
from metis_provision.lab.platforms import Kind
from metis_provision.lab.raspberry import Firmware
from metis_provision.lab.requirements import TWIN_TOOLS
from metis_provision.model.errors import UserError

GREETING, AGREED = b'{"QMP": {}}\n', b'{"return": {}}\n'


@pytest.fixture
def qemu():
    """A process that is there as long as QEMU would be."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def monitor(tmp_path, qemu):
    """Say something on the monitor, then end QEMU."""
    path = tmp_path / "power.sock"
    threads = []

    def start(said):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(1)

        def run():
            with listening, listening.accept()[0] as stream:
                stream.sendall(GREETING)
                stream.recv(4096)
                stream.sendall(AGREED + said)
            qemu.kill()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (b'{"event": "RESUME"}\n{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\n', True),
        (b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\n', False),
        (b'{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-signal"}}\n', False),
        (b"", False),
    ],
    ids=["reboot", "poweroff", "terminated", "killed"],
)
def test_only_a_reboot_of_the_guest_is_another_start(qemu, monitor, said, again):
    assert power._wants_reboot(qemu, monitor(said)) is again


def test_a_qemu_that_does_not_start_is_told(tmp_path):
    process = subprocess.Popen(["false"])
    with pytest.raises(UserError, match="QEMU ended with status 1"):
        power._wants_reboot(process, tmp_path / "power.sock")


def test_qemu_is_started_as_often_as_the_guest_reboots(make_machine, monkeypatch):
    starts = iter([True, True, False])
    monkeypatch.setattr(power, "toolbox", lambda platform: None)
    monkeypatch.setattr(power, "_run_once", lambda machine, tools: next(starts))
    power.keep_running(make_machine(kind=Kind.CM5))
    assert list(starts) == []


def test_what_goes_wrong_ends_in_one_line_of_the_log(make_machine, monkeypatch, capsys):
    def fail(machine):
        raise UserError("mcopy failed.")

    make_machine(kind=Kind.CM5)
    monkeypatch.setattr(power, "keep_running", fail)
    monkeypatch.setattr(power.signal, "signal", lambda *_: None)
    assert power.main(["demo"]) == 4
    assert capsys.readouterr().err == "mcopy failed.\n"


def test_sigterm_takes_qemu_along(make_machine, tmp_path):
    """The process is ours, with a QEMU that only waits; ending the one must end the other."""
    make_machine(kind=Kind.CM5)
    script = (
        "import subprocess, sys, time\n"
        "from metis_provision.lab import power\n"
        "def wait(qemu, events):\n"
        "    print(qemu.pid, flush=True)\n"
        "    time.sleep(600)\n"
        "def run(machine, tools):\n"
        "    return power._until_it_ends(subprocess.Popen(['sleep', '600']), None)\n"
        "power._wants_reboot = wait\n"
        "power.toolbox = lambda platform: None\n"
        "power._run_once = run\n"
        "sys.exit(power.main(['demo']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    process.terminate()
    assert process.wait(30) == 0
    process.stdout.close()
    assert not power.Path(f"/proc/{child}").exists()


@pytest.fixture
def twin(make_machine, tmp_path):
    """A twin whose boot partition holds what it is given."""
    for tool in ("sfdisk", "mkfs.vfat", "mcopy", "mke2fs"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} (Debian: {TWIN_TOOLS[tool]}) is not installed")

    def make(**files):
        machine = make_machine(kind=Kind.CM5)
        boot, root = tmp_path / "boot", tmp_path / "root"
        for directory in (boot / "overlays", root):
            directory.mkdir(parents=True)
        for name, text in files.items():
            (
                boot / name.replace("__", "/").replace("_txt", ".txt").replace("_dtbo", ".dtbo").replace("_img", ".img")
            ).write_text(text)
        make_disk(machine.disk, root, boot, ROOT_START + 64)
        return machine

    return make


def test_the_firmware_loads_what_config_txt_names(twin, tmp_path):
    machine = twin(
        config_txt="kernel=linux\nauto_initramfs=1\ndtparam=pciex1\ndtoverlay=one",
        cmdline_txt="quiet",
        linux="K",
        initramfs_2712="I",
        overlays__one_dtbo="O",
    )
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    assert power.load(machine, loaded) == Firmware(2, ("one",), "linux", "initramfs_2712")
    assert {path.name: path.read_text() for path in loaded.iterdir() if path.name != "config.txt"} == {
        "kernel": "K",
        "cmdline": "quiet",
        "initramfs": "I",
        "one.dtbo": "O",
    }


@pytest.mark.parametrize(
    ("config", "missed"),
    [("dtoverlay=one", "one.dtbo"), ("kernel=other", "other"), ("initramfs initrd followkernel", "initrd")],
)
def test_a_file_that_config_txt_names_and_nobody_put_there_stops_the_boot(twin, tmp_path, config, missed):
    machine = twin(config_txt=config, cmdline_txt="quiet", kernel_2712_img="K")
    (tmp_path / "loaded").mkdir()
    with pytest.raises(UserError, match=missed):
        power.load(machine, tmp_path / "loaded")

"""QEMU's arguments, its version, and how an accelerator is judged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from metis_provision.lab import qemu
from metis_provision.lab.platforms import PC, PI
from metis_provision.lab.qemu import (
    Acceleration,
    MachineShape,
    Toolbox,
    accelerator_works,
    choose_acceleration,
    own_qemu,
    probe_firmware,
    qemu_arguments,
    qemu_version,
    toolbox,
)
from metis_provision.model.errors import UserError

SHAPE = MachineShape(
    platform=PC,
    name="demo",
    memory=1024,
    cpus=2,
    acceleration=Acceleration.TCG,
    ssh_port=22001,
    disk=Path("/s/disk.raw"),
    console=Path("/s/console.log"),
    qmp=Path("/s/qmp.sock"),
    credentials=(Path("/s/a"), Path("/s/b")),
    bus=({"driver": "pcie-root-port", "id": "rp0"}, {"driver": "vfio-user-pci", "bus": "rp0"}),
    boot=("-kernel", "/t/loader"),
)
TWIN = dataclasses.replace(SHAPE, platform=PI, boot=("-kernel", "/s/kernel", "-dtb", "/s/tree.dtb"))


def option(arguments, name):
    return [arguments[index + 1] for index, word in enumerate(arguments) if word == name]


def test_the_bus_comes_last_and_the_guests_memory_is_shared():
    arguments = qemu_arguments(SHAPE)
    assert [json.loads(words) for words in option(arguments, "-device")[-2:]] == list(SHAPE.bus)
    assert option(arguments, "-object") == ["memory-backend-memfd,id=ram,size=1024M,share=on"]
    assert "memory-backend=ram" in option(arguments, "-machine")[0]


def test_ssh_is_forwarded_from_loopback_only():
    (network,) = option(qemu_arguments(SHAPE), "-netdev")
    assert "hostfwd=tcp:127.0.0.1:22001-:22" in network


def test_secrets_are_named_by_file_and_never_on_the_command_line():
    arguments = qemu_arguments(SHAPE)
    assert option(arguments, "-smbios") == ["type=11,path=/s/a", "type=11,path=/s/b"]


@pytest.mark.parametrize(
    ("acceleration", "accel", "cpu"),
    [(Acceleration.TCG, "tcg,thread=multi", "qemu64,-svm"), (Acceleration.KVM, "kvm", "host")],
)
def test_acceleration(acceleration, accel, cpu):
    arguments = qemu_arguments(dataclasses.replace(SHAPE, acceleration=acceleration))
    assert (option(arguments, "-accel"), option(arguments, "-cpu")) == ([accel], [cpu])


def test_a_reboot_of_the_guest_stays_possible():
    assert "-no-reboot" not in qemu_arguments(SHAPE)


def test_a_twin_has_everything_but_the_card_off_the_pcie_bus_and_leaves_at_a_reboot():
    arguments = qemu_arguments(TWIN)
    assert arguments[arguments.index("-kernel") : arguments.index("-kernel") + 4] == list(TWIN.boot)
    assert option(arguments, "-machine") == ["virt,gic-version=3,memory-backend=ram"]
    assert option(arguments, "-cpu") == ["cortex-a76"]
    soldered = option(arguments, "-device")[: -len(TWIN.bus)]
    assert [words.partition(",")[0] for words in soldered] == [
        "virtio-rng-device",
        "virtio-blk-device",
        "virtio-net-device",
    ]
    assert "-no-reboot" in arguments
    assert option(arguments, "-fw_cfg") == [
        "name=opt/io.systemd.credentials/a,file=/s/a",
        "name=opt/io.systemd.credentials/b,file=/s/b",
    ]


@pytest.mark.parametrize("platform", [PC, PI])
def test_a_credential_of_the_longest_name_fits(platform):
    # FW_CFG_MAX_FILE_PATH in QEMU's include/standard-headers/linux/qemu_fw_cfg.h, with the closing NUL.
    (name,) = [word for word in platform.credential_arguments(Path("/s/system.hostname")) if "=" in word]
    assert len(name.partition(",")[0].removeprefix("name=")) < 56


def test_a_credential_says_its_name_where_its_place_does_not():
    assert PC.credential_file("system.hostname", b"demo") == b"io.systemd.credential.binary:system.hostname=ZGVtbw=="
    assert PI.credential_file("system.hostname", b"demo") == b"demo"


def test_each_platform_has_a_qemu_of_its_own(tmp_path, monkeypatch):
    program = tmp_path / PI.program
    program.write_text("#!/bin/sh\necho 'QEMU emulator version 11.0.2'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert own_qemu(PC) is None
    assert own_qemu(PI) == str(program)
    assert toolbox(PI) == Toolbox((str(program),), None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)", (11, 1)),
        ("QEMU emulator version 7.2.15", (7, 2)),
        ("something else", None),
        ("", None),
    ],
)
def test_version(text, version):
    assert qemu_version(text) == version


@pytest.mark.parametrize(("version", "usable"), [("10.1.0", True), ("11.0.2", True), ("10.0.9", False), ("7.2", False)])
def test_the_hosts_own_qemu_is_taken_from_10_1_on(tmp_path, monkeypatch, version, usable):
    program = tmp_path / PC.program
    program.write_text(f"#!/bin/sh\necho 'QEMU emulator version {version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert own_qemu() == (str(program) if usable else None)


def test_no_qemu_at_all(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert own_qemu() is None


def test_the_probe_begins_at_the_reset_vector():
    firmware = probe_firmware()
    assert len(firmware) == 0x10000
    assert firmware[0xFFF0] == 0xE9
    offset = int.from_bytes(firmware[0xFFF1:0xFFF3], "little", signed=True)
    assert firmware[0xFFF3 + offset :].startswith(b"\x66\xb9")


def fake_qemu(script):
    return Toolbox(("sh", "-c", script, "qemu"), None)


def test_an_accelerator_counts_only_if_the_guest_said_so():
    assert accelerator_works(fake_qemu("exit 33"), Acceleration.KVM)
    assert not accelerator_works(fake_qemu("exit 0"), Acceleration.KVM)
    assert not accelerator_works(fake_qemu("echo no kvm >&2; exit 1"), Acceleration.KVM)


def test_an_accelerator_that_crawls_does_not_count(monkeypatch):
    monkeypatch.setattr(qemu, "PROBE_SECONDS", 0.2)
    assert not accelerator_works(fake_qemu("exec sleep 60"), Acceleration.KVM)


def test_auto_falls_back_and_kvm_does_not():
    broken = fake_qemu("exit 1")
    assert choose_acceleration(broken, Acceleration.AUTO) is Acceleration.TCG
    assert choose_acceleration(broken, Acceleration.TCG) is Acceleration.TCG
    with pytest.raises(UserError, match="KVM does not work here"):
        choose_acceleration(broken, Acceleration.KVM)

"""Formats of other programs in the shapes that hosts of many kinds print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.model.survey import DkmsBuild
from metis_provision.survey.formats import (
    Config,
    bar_size,
    df_available,
    number,
    parse_config,
    parse_dkms_status,
    parse_os_release,
)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"', "PRETTY_NAME", "Debian GNU/Linux 13 (trixie)"),
        ("ID=debian", "ID", "debian"),
        ('VERSION_CODENAME=""', "VERSION_CODENAME", ""),
        ("ID='ol'", "ID", "ol"),
        (r'NAME="a \"quoted\" \$name"', "NAME", 'a "quoted" $name'),
        ('  ID_LIKE="rhel centos fedora"\r', "ID_LIKE", "rhel centos fedora"),
        ('NAME="never closed', "NAME", "never closed"),
        ("BUILD_ID=", "BUILD_ID", ""),
    ],
)
def test_os_release(line, name, value):
    assert parse_os_release([line]) == {name: value}


def test_os_release_skips_what_assigns_nothing():
    assert parse_os_release(["", "# ID=x", "garbage", "1D=x", "ID=debian"]) == {"ID": "debian"}


@given(st.lists(st.text()))
def test_os_release_takes_any_text(lines):
    parse_os_release(lines)


def build(*fields, remark=None):
    version, kernel, architecture, state = fields
    return DkmsBuild("metis", version, kernel, architecture, state, remark)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("metis, 1.2.4, 5.10.160, aarch64: installed", build("1.2.4", "5.10.160", "aarch64", "installed")),
        ("metis, 1.2.4: added", build("1.2.4", None, None, "added")),
        ("metis/1.2.4, 5.10.160, aarch64: installed", build("1.2.4", "5.10.160", "aarch64", "installed")),
        ("metis/1.2.4: added", build("1.2.4", None, None, "added")),
        (
            "metis/1.6.2, 6.12.62+rpt-rpi-2712, aarch64: built",
            build("1.6.2", "6.12.62+rpt-rpi-2712", "aarch64", "built"),
        ),
        (
            "metis/1.6.2, 6.11.6-arch1-1, x86_64: installed (Differences between built and installed modules)",
            build(
                "1.6.2",
                "6.11.6-arch1-1",
                "x86_64",
                "installed",
                remark="(Differences between built and installed modules)",
            ),
        ),
        (
            "metis/1.6.2, 6.1.0-28-amd64, x86_64: installed (original_module exists)",
            build("1.6.2", "6.1.0-28-amd64", "x86_64", "installed", remark="(original_module exists)"),
        ),
        (
            "metis/1.6.2, 5.14.0-427.el9.x86_64, x86_64: installed-weak from 5.14.0-362.el9.x86_64",
            build("1.6.2", "5.14.0-427.el9.x86_64", "x86_64", "installed-weak", remark="from 5.14.0-362.el9.x86_64"),
        ),
        ("metis/1.6.2: broken", build("1.6.2", None, None, "broken")),
        ("metis/1.2.0-rc2: added", build("1.2.0-rc2", None, None, "added")),
    ],
)
def test_dkms_status(line, expected):
    assert parse_dkms_status([line, ""]) == (expected,)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Error! Could not locate dkms.conf file.",
        "Deprecated feature: REMAKE_INITRD",
        "metis/1.2.4, 5.10.160, aarch64: on fire",
        "metis/1.2.4, 5.10.160: installed",
    ],
)
def test_dkms_status_skips_what_is_no_status(line):
    assert parse_dkms_status([line]) == ()


@given(st.lists(st.text()))
def test_dkms_status_takes_any_text(lines):
    parse_dkms_status(lines)


@pytest.mark.parametrize(
    ("line", "available"),
    [
        ("/dev/vda         264212084 23831772  82559140      23% /", 82559140),
        ("tmpfs               752428      0    752428       0% /tmp", 752428),
        ("//server/my share 100 90 10 90% /mnt/with space", 10),
        ("overlay 100 120 -20 100% /", 0),
        ("none 0 0 0 - /proc", 0),
        ("Filesystem     1024-blocks     Used Available Capacity Mounted on", None),
        ("", None),
    ],
)
def test_df(line, available):
    assert df_available(line) == available


def config(*capabilities: tuple[int, bytes], status: int = 0x10) -> bytes:
    data = bytearray(256)
    data[0:2] = b"\x9d\x1f"
    data[0x06] = status
    data[0x34] = capabilities[0][0] if capabilities else 0
    for (offset, body), following in zip(capabilities, [*capabilities, (0, b"")][1:], strict=True):
        data[offset : offset + len(body)] = body
        data[offset + 1] = following[0]
    return bytes(data)


MSI = (0x50, bytes([0x05, 0]))


@pytest.mark.parametrize(
    ("control", "payload", "request_size"), [(0x2810, 128, 512), (0x0000, 128, 128), (0x5040, 512, 4096)]
)
def test_device_control(control, payload, request_size):
    express = (0x70, bytes([0x10, 0, 2, 0, 0, 0, 0, 0]) + control.to_bytes(2, "little"))
    assert parse_config(config(MSI, express)) == Config(max_payload=payload, max_read_request=request_size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9d\x1f",
        config(),
        config(MSI),
        config((0x70, bytes([0x10, 0])), status=0),
        config((0x70, bytes([0x10, 0])))[:0x74],
        config((0x50, bytes([0x05, 0])), (0x50, bytes([0x05, 0]))),
    ],
)
def test_no_device_control_to_read(data):
    assert parse_config(data) == Config()


def test_capabilities_that_lead_in_a_circle_end():
    data = bytearray(config(MSI))
    data[0x51] = 0x50
    assert parse_config(bytes(data)) == Config()


@pytest.mark.parametrize("length", [4, 64, 256])
def test_all_ones_is_off_the_bus(length):
    assert parse_config(b"\xff" * length) == Config(reads_ff=True)


@given(st.binary(max_size=300))
def test_config_takes_any_bytes(data):
    parse_config(data)


@pytest.mark.parametrize(
    ("start", "end", "flags", "size"),
    [
        (0xFE200000, 0xFE200FFF, 0x40200, 0x1000),
        (0x4000000000, 0x4001FFFFFF, 0x140204, 0x2000000),
        (0, 0xFFF, 0x20040200, 0),
        (0xFE200000, 0xFE200FFF, 0x20040200, 0),
        (0, 0, 0, 0),
        (0x2000, 0x1000, 0x40200, 0),
    ],
)
def test_bar_size(start, end, flags, size):
    assert bar_size(start, end, flags) == size


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [(" 12 ", 10, 12), ("0x1f", 16, 31), ("1f", 16, 31), ("1f", 10, None), ("", 10, None), ("-1", 10, None),
     ("9" * 5000, 10, None), ("\u0663", 10, None), ("1_0", 10, None)],
)  # fmt: skip
def test_number(text, base, value):
    assert number(text, base) == value

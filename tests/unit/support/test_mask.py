"""Addresses, names and secrets go; PCI addresses, and what else a reader needs, stay."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_provision.support.mask import Kind, Masker

SURVEYS = sorted((Path(__file__).parents[2] / "fixtures" / "surveys").glob("*.txt"))

domains = st.one_of(st.integers(0, 0xFFFF).map("{:04x}".format), st.integers(0x10000, 0xFFFFFFFF).map("{:08x}".format))
bdfs = st.builds("{}:{:02x}:{:02x}.{}".format, domains, st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
short_bdfs = st.builds("{:02x}:{:02x}.{}".format, st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
octets = st.lists(st.integers(0, 255), min_size=6, max_size=6)
macs = st.builds(
    lambda values, separator, upper: (
        (separator.join(f"{value:02x}" for value in values)).upper()
        if upper
        else separator.join(f"{value:02x}" for value in values)
    ),
    octets,
    st.sampled_from(":-"),
    st.booleans(),
)
ipv4s = st.ip_addresses(v=4).filter(lambda address: not address.is_loopback).map(str)
ipv6s = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.ip_addresses(v=6).map(lambda address: str(address).upper()),
    st.integers(1, 2**64 - 1).map(lambda low: f"fe80::{ipaddress.IPv6Address(low).exploded[20:]}%eth0"),
    st.ip_addresses(v=4).map("::ffff:{}".format),
).filter(lambda address: address not in {"::", "::1"})
glue = st.sampled_from([" ", ", ", "; ", "\n", "\t", " (", ") ", "'", '"', " -> ", "=", "[", "] ", ": ", " at ", "/ "])
addresses = st.one_of(macs, ipv4s, ipv6s)


@settings(deadline=None)
@given(st.lists(st.tuples(glue, st.one_of(bdfs, short_bdfs), glue, addresses), min_size=1, max_size=4), glue)
def test_pci_addresses_stay_and_all_others_go(pieces, last):
    text = "".join("".join(piece) for piece in pieces) + last
    masked = Masker().mask(text)
    for _, bdf, _, address in pieces:
        assert bdf in masked
        if address not in {"0.0.0.0", "255.255.255.255"}:
            assert address.partition("%")[0].lower() not in masked.lower()
    assert re.findall(r"(?<![0-9A-Za-z:.])[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", masked) == re.findall(
        r"(?<![0-9A-Za-z:.])[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", text
    )


@settings(deadline=None)
@given(
    bdfs,
    st.lists(addresses, max_size=5),
    st.sampled_from(["{}", "[{}]", "axl {}: x", "/sys/devices/{}/driver", "({})"]),
)
def test_a_pci_address_stays_whatever_is_masked_and_whoever_is_called_like_it(bdf, others, around):
    text = around.format(bdf)
    names = [part for part in re.split(r"[:.]", bdf) if len(part) > 1]
    masker = Masker(hosts=names, users=names)
    masker.mask("\n".join(others))
    assert masker.mask(text) == text


@settings(deadline=None)
@given(st.text())
def test_any_text_is_masked_twice_to_the_same(text):
    once = Masker().mask(text)
    assert Masker().mask(once) == once


@pytest.mark.parametrize(
    "kept",
    [
        "axl 0001:01:00.0: MSI registered 32 (32)",
        "pcieport 0001:00:00.0: AER: Corrected error received: 0001:01:00.0",
        "Device 0: metis-0:1:0 1GiB m2 flver=1.3.2 bcver=1.4 clock=800MHz(0-3:800MHz) mvm=0-3:100%",
        "/dev/metis-0-1-0 /dev/metis-0:6c:0",
        "0000:00:1f.6 Ethernet controller [0200]: Intel Corporation [8086:15fb] (rev 20)",
        "1f9d:1100 16c3:abcd",
        "2026-11-21 12:34:56.789 +0100",
        "[   12.345678] pcieport 0000:00:01.0: PME: Signaling with IRQ 26",
        "/axi/pcie@1000110000 brcm,bcm2712-pcie",
        "LnkSta: Speed 8GT/s, Width x1 (downgraded)",
        "UESta: DLP- SDES- TLP- FCP- CmpltTO- CmpltAbrt-",
        "[mem 0xfc000000-0xfdffffff 64bit pref]",
        "linux-image-6.12.62+rpt-rpi-2712 1:6.12.62-1+rpt1",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "modules: metis 1.6.2, dkms 3.0.10-8+deb12u1",
        "serial8250: ttyS0 at I/O 0x3f8; serial console enabled; dtparam=uart0_console",
        "listening on 0.0.0.0:5555 and [::]:5555, 127.0.0.1, ::1",
        "pci:v00001F9Dd00001100sv00001F9Dsd00000000bc12sc00i00",
        "12:00:00 -> 13:00:00",
        "frigate:x:990:990::/nonexistent:/usr/sbin/nologin",
        "Started getty@tty1.service",
    ],
)
def test_what_a_reader_needs_stays(kept):
    assert Masker(hosts=["pi-kitchen"], users=["alice"]).mask(kept) == kept


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("eth0 aa:bb:cc:dd:ee:ff up", "eth0 <mac-1> up"),
        ("Device Serial Number 00-11-22-ff-ff-33-44-55", "Device Serial Number <serial-1>"),
        ("smsc95xx.macaddr=AABBCCDDEEFF enxaabbccddeeff", "smsc95xx.macaddr=<mac-1> enx<mac-1>"),
        ("10.0.0.1 and 10.0.0.1, not 10.0.0.2.", "<ipv4-1> and <ipv4-1>, not <ipv4-2>."),
        ("fe80::1%eth0: gone.", "<ipv6-1>%eth0: gone."),
        ("[2001:db8::1]:5555", "[<ipv6-1>]:5555"),
        ("via 2001:db8::1.", "via <ipv6-1>."),
        ("64:ff9b::: gone, :fe80::1: too, 2001:db8::..", "<ipv6-1>: gone, :<ipv6-2>: too, <ipv6-3>.."),
        ("0001:01:00.0 is at aa:bb:cc:dd:ee:ff", "0001:01:00.0 is at <mac-1>"),
        ("pi-kitchen.example.org PI-KITCHEN pi-kitchen2", "<host-1> <host-2> pi-kitchen2"),
        ("/home/bob/driver.tar.gz and /home/alice/x", "/home/<user-1>/driver.tar.gz and /home/<user-2>/x"),
        ("alice malice alice_2", "<user-1> malice alice_2"),
        ("root@pi-kitchen:~#", "<user-1>@<host-1>:~#"),
        ("https://user:pass@mirror.example.org:8080/x?y", "https://<secret-1>@<host-1>:8080/x?y"),
        ("password=hunter2 rest", "password=<secret-1> rest"),
        ('"api_key": "abc def", "x": 1', '"api_key": <secret-1>, "x": 1'),
        (
            "curl --token s3cr3t -H 'Authorization: Bearer abc.def'",
            "curl --token <secret-1> -H 'Authorization: Bearer <secret-2>'",
        ),
        ("METIS_TOKEN='a b' sh", "METIS_TOKEN=<secret-1> sh"),
        ("Serial\t\t: 10000000abcdef01", "Serial\t\t: <serial-1>"),
        ("root=PARTUUID=1c9f2f3d-02 rw", "root=PARTUUID=<uuid-1> rw"),
        ("boot 6d0f4c8e-1111-4222-8333-444455556666", "boot <uuid-1>"),
        ("machine 0123456789abcdef0123456789abcdef", "machine <uuid-1>"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@laptop", "<secret-1>"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nnext", "<secret-1>\nnext"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "<secret-1>"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "<secret-1>"),
    ],
)
def test_what_is_nobody_elses_business_goes(text, masked):
    assert Masker(hosts=["pi-kitchen.example.org"], users=["alice"]).mask(text) == masked


def test_the_same_value_has_the_same_name_in_every_text():
    masker = Masker(hosts=["pi"], users=["bob"])
    assert masker.mask("10.0.0.1") == "<ipv4-1>"
    assert masker.mask("10.0.0.9 10.0.0.1 bob") == "<ipv4-2> <ipv4-1> <user-1>"
    assert masker.counts == {Kind.IPV4: 2, Kind.USER: 1}


def test_names_that_say_nothing_are_left():
    masker = Masker(hosts=["debian", "localhost", "x"], users=["root", "7", "pi"])
    assert masker.mask("root debian localhost 7 x pi rpi-2712") == "root debian localhost 7 x <user-1> rpi-2712"


@pytest.mark.parametrize("path", SURVEYS, ids=lambda path: path.stem)
def test_pci_addresses_of_recorded_hosts_stay(path):
    text = path.read_text(encoding="utf-8")
    pci = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
    assert pci.findall(Masker(hosts=["lab"], users=["pi"]).mask(text)) == pci.findall(text)

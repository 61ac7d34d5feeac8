"""Each reason to refuse a host, with what to do about it; and a good host is refused for none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metis_provision.desired.state import desired_state
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Certificate, Host, Kernel, ModuleTrust, Survey

SETTINGS = Settings(driver_version="1.6.2", driver_source="driver.tar.gz", driver_sha256="d" * 64)
GOOD = Survey(
    host=Host(
        os_release={"ID": "debian", "PRETTY_NAME": "Debian"},
        architecture="x86_64",
        userland="amd64",
        uid=0,
        epoch=1_800_000_000,
        free_kib={"/usr": 5_000_000, "/var": 5_000_000},
    ),
    kernels=(Kernel("6.12", running=True, headers=True),),
)


def blockers(survey: Survey, settings: Settings = SETTINGS) -> tuple[str, ...]:
    return desired_state(settings, survey).blockers


def test_a_good_host_is_not_refused() -> None:
    assert blockers(GOOD) == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"os_release": {"ID": "haiku", "PRETTY_NAME": "Haiku R1"}}, "Haiku R1 is not a distribution"),
        ({"os_release": {}}, "an unnamed system is not a distribution"),
        ({"uid": 1000}, "works as uid 1000, not as root"),
        ({"epoch": 0}, "the clock says 1970-01-01"),
        ({"writable": {"/etc": False, "/var": True}}, "/etc is mounted read-only: mount it for writing"),
        ({"writable": {"/etc": True, "/var": False}}, "/var is mounted read-only: mount it for writing"),
        ({"architecture": "aarch64", "userland": "armhf"}, "a 32-bit system (armhf) on a 64-bit kernel"),
        ({"container": "podman"}, "this is a container (podman)"),
        ({"free_kib": {"/usr": 1024, "/var": 5_000_000}}, "/usr has 1 MB free"),
        ({"free_kib": {"/usr": 5_000_000, "/var": 2048}}, "/var has 2 MB free"),
    ],
)
def test_a_host_is_refused_with_one_sentence(change: dict[str, object], sentence: str) -> None:
    (blocker,) = blockers(replace(GOOD, host=replace(GOOD.host, **change)))
    assert sentence in blocker


def test_a_receipt_that_is_not_ours_is_not_overwritten() -> None:
    (blocker,) = blockers(replace(GOOD, receipt="not json"))
    assert "/var/lib/metis-provision/receipt.json is not a receipt of this program" in blocker


def test_space_is_not_asked_for_once_the_packages_are_there() -> None:
    small = replace(GOOD.host, free_kib={"/usr": 1024, "/var": 1024})
    assert blockers(replace(GOOD, host=small)) != ()
    there = {"acl": "2", "dkms": "3", "kmod": "34"}
    assert blockers(replace(GOOD, host=small, packages=there)) == ()


def test_a_container_that_only_carries_files_is_welcome() -> None:
    container = replace(GOOD, host=replace(GOOD.host, container="podman"))
    assert blockers(container, Settings(cards=0, driver="none")) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "os_release",
    [{"ID": "raspbian"}, {"ID": "ubuntu", "ID_LIKE": "debian"}, {"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}],
)
def test_the_apt_family_is_recognised(os_release: dict[str, str]) -> None:
    assert blockers(replace(GOOD, host=replace(GOOD.host, os_release=os_release))) == ()


OURS = Certificate("0a" * 20, "afe12", "0d1c", "DKMS module signing key")


def locked(**changes: object) -> Survey:
    trust = ModuleTrust(**{"sig_enforce": False, "lockdown": "integrity", "enrolled": (), "staged": (), **changes})  # type: ignore[arg-type]
    return replace(GOOD, host=replace(GOOD.host, secure_boot=True), trust=trust)


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        (locked(), "DKMS has no key here yet"),
        (locked(own=OURS, own_path="/srv/mok.der"), "signs it with /srv/mok.der, which is not enrolled: run mokutil"),
        (locked(own=OURS, staged=(OURS,)), "until the enrolment of /var/lib/dkms/mok.pub is confirmed"),
        (locked(own=OURS, enrolled=(OURS,)), None),
        (locked(own=OURS, enrolled=None), None),
        (locked(lockdown="none"), None),
        (GOOD, None),
    ],
)
def test_what_secure_boot_will_refuse_is_said_beforehand_and_stops_nothing(survey: Survey, words: str | None) -> None:
    state = desired_state(SETTINGS, survey)
    assert state.blockers == ()
    assert [bool(words and words in sentence) for sentence in state.foreseen] == [True] * bool(words)


def test_who_brings_no_driver_is_told_nothing_of_keys() -> None:
    assert desired_state(Settings(driver="none"), locked()).foreseen == ()  # type: ignore[arg-type]

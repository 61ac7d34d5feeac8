"""Mirrors, proxies and options come from the controller's apt, whatever it says."""

from __future__ import annotations

import pytest

from metis_provision.lab import apt
from metis_provision.lab.apt import parse_apt_setup
from metis_provision.model.errors import UserError

INDEXES = [
    "Packages http://mirror.example/debian/ bookworm main",
    "Packages http://mirror.example/debian/ bookworm-updates main",
    "Packages http://mirror.example/debian-security/ bookworm-security main",
]


def test_sources_of_a_release_use_the_controllers_mirrors():
    assert parse_apt_setup(INDEXES, [], {}).sources("trixie", backports=True) == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
        "deb http://mirror.example/debian trixie-backports main",
    ]


def test_other_vendors_archives_and_components_are_not_debian():
    others = [
        "Packages https://packages.example stable-of-theirs main",
        "Packages https://packages.example nodistro main",
        "Packages http://mirror.example/debian/ bookworm contrib",
        "Translations http://elsewhere.example/debian/ bookworm main",
    ]
    setup = parse_apt_setup([*others, *INDEXES], [], {})
    assert setup.archive == "http://mirror.example/debian"


def test_a_mirror_without_security_is_enough():
    setup = parse_apt_setup(INDEXES[:1], [], {})
    assert setup.security is None
    assert len(setup.sources("trixie")) == 2


@pytest.mark.parametrize("indexes", [[], INDEXES[2:], ["Packages"], ["Sources http://mirror.example/ bookworm main"]])
def test_no_debian_archive_is_said(indexes):
    with pytest.raises(UserError, match="no Debian mirror"):
        parse_apt_setup(indexes, [], {})


def test_only_options_about_reaching_the_archive_are_kept():
    options = [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::Languages:: "none";',
        'Dir::Etc "etc/apt";',
        'APT::Architecture "amd64";',
    ]
    assert parse_apt_setup(INDEXES, options, {}).options == tuple(options[:2])


def test_a_proxy_of_the_environment_counts_unless_apt_has_one():
    environment = {"http_proxy": "http://env.example:1"}
    assert parse_apt_setup(INDEXES, [], environment).options == ('Acquire::http::Proxy "http://env.example:1";',)
    own = ['Acquire::http::proxy "http://apt.example:2";']
    assert parse_apt_setup(INDEXES, own, environment).options == tuple(own)


@pytest.mark.parametrize(
    ("proxy", "seen"),
    [
        ("http://127.0.0.1:3142", "http://10.0.2.2:3142"),
        ("http://localhost:3142/", "http://10.0.2.2:3142/"),
        ("http://[::1]:3142", "http://10.0.2.2:3142"),
        ("http://localhost.example:3142", "http://localhost.example:3142"),
        ("http://proxy.example:3142", "http://proxy.example:3142"),
    ],
)
def test_a_proxy_on_the_controllers_loopback_has_another_address_in_the_guest(proxy, seen):
    setup = parse_apt_setup(INDEXES, [f'Acquire::http::Proxy "{proxy}";'], {})
    assert setup.guest_options() == (f'Acquire::http::Proxy "{seen}";',)


def test_certificates_are_needed_for_tls_only():
    assert not parse_apt_setup(INDEXES, [], {}).uses_tls
    assert parse_apt_setup([line.replace("http:", "https:") for line in INDEXES], [], {}).uses_tls


def test_a_machine_without_apt_is_told_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="Debian host"):
        apt.read_apt_setup()

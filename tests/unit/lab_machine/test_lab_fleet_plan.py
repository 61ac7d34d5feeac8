"""A fleet as data: addresses, names, limits, delays as people write them."""

from __future__ import annotations

import pytest

from metis_provision.lab.fleet import plan
from metis_provision.lab.fleet.plan import BENCHMARKS, MOST_HOSTS, Network, free_networks, host_names, parse_delay
from metis_provision.lab.fleet.requirements import BASE_MEMORY, HOST_MEMORY, missing_memory
from metis_provision.model.errors import UserError


def test_every_host_has_an_address_of_its_own_and_none_is_this_machines():
    network = Network("198.18.7.0/24")
    addresses = {network.address(number) for number in range(1, MOST_HOSTS + 1)}
    assert len(addresses) == MOST_HOSTS
    assert network.address(1) == "198.18.7.1"
    assert (network.gateway, network.prefix) == ("198.18.7.254", 24)
    assert network.gateway not in addresses


@pytest.mark.parametrize("number", [0, MOST_HOSTS + 1])
def test_no_other_number_has_one(number):
    with pytest.raises(ValueError, match="no host number"):
        Network("198.18.7.0/24").address(number)


def test_an_interface_is_named_after_its_network_and_never_too_long():
    assert Network("198.19.255.0/24").interface == "metis19-255"


def test_names():
    assert host_names("rack", 3) == ["rack-1", "rack-2", "rack-3"]


@pytest.mark.parametrize(
    ("taken", "first"),
    [
        ([], "198.18.0.0/24"),
        (["198.18.0.0/24", "198.18.1.254"], "198.18.2.0/24"),
        (["10.0.0.0/8", "127.0.0.0/8"], "198.18.0.0/24"),
        (["198.18.0.0/16"], "198.19.0.0/24"),
        (["198.18.0.9/25"], "198.18.1.0/24"),
    ],
)
def test_a_network_that_somebody_uses_is_left_alone(taken, first):
    assert free_networks(taken)[0].cidr == first


def test_no_network_is_free():
    with pytest.raises(UserError, match="every one of them has a route"):
        free_networks([str(BENCHMARKS)])


@pytest.mark.parametrize(("text", "seconds"), [("80ms", 0.08), ("0.5s", 0.5), (" 2s ", 2.0), ("0ms", 0.0)])
def test_delays(text, seconds):
    assert parse_delay(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "80", "-1s", "1h", "ms", "1e3s", "nan", "1 s"])
def test_what_is_no_delay(text):
    with pytest.raises(UserError, match="is no delay: write it as 80ms"):
        parse_delay(text)


def test_a_delay_that_is_a_cut():
    with pytest.raises(UserError, match="at most 60s"):
        parse_delay(f"{plan.LONGEST_DELAY + 1}s")


def meminfo(available):
    return f"MemTotal:       99999999 kB\nMemAvailable:   {available >> 10} kB\n"


def test_hosts_that_do_not_fit_into_memory():
    needed = BASE_MEMORY + 100 * HOST_MEMORY
    assert missing_memory(100, meminfo(needed)) == []
    (sentence,) = missing_memory(101, meminfo(needed))
    assert sentence == "2.1 GiB of memory are free, 101 hosts need 2.1: ask for fewer with --hosts, or end something."
    assert missing_memory(1, "")

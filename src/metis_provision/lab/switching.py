"""Switching faults of running machines, containers and hosts of a fleet on and off."""

from __future__ import annotations

from dataclasses import dataclass

from metis_provision.lab import machine as machines
from metis_provision.lab.card.control import CardControl
from metis_provision.lab.container_hosts import Condition as ContainerCondition
from metis_provision.lab.container_hosts import ContainerHost, has_container, load_container
from metis_provision.lab.faults import Fault, Needs, Switch
from metis_provision.lab.fleet.hosts import Fleet, fleet_of, has_fleet
from metis_provision.lab.machine import Condition, Machine
from metis_provision.lab.places import names
from metis_provision.lab.podman import podman
from metis_provision.lab.process import run_in_namespaces
from metis_provision.lab.topology import FIRST_SLOT
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

SCRIPT_SECONDS = 300.0
CARD_SECONDS = 60.0

# Every endpoint below a port is taken off the bus and looked for again; on a lab machine those are the cards.
ENDPOINTS = """\
endpoints() {
    for device in /sys/bus/pci/devices/*; do
        case $(cat "$device/class") in 0x0604*) continue ;; esac
        above=$(readlink -f "$device/..")
        [ ! -e "$above/vendor" ] || echo "$device"
    done
}
"""
RESCAN = f"""{ENDPOINTS}
for device in $(endpoints); do
    echo 1 >"$device/remove"
done
sleep 1
echo 1 >/sys/bus/pci/rescan
udevadm settle
"""
COUNT = f"{ENDPOINTS}\nendpoints | wc -l"


@dataclass(frozen=True, slots=True)
class FaultyMachine:
    """A machine and the slot whose card is meant by faults of a card."""

    machine: Machine
    slot: str = FIRST_SLOT

    def switch(self, fault: Fault, on: bool) -> None:
        """Switch a fault and let the guest see it; UserError for a machine that does not run or does not answer."""
        self._require_running(fault, on)
        if fault.switch is not None:
            self._from_outside(fault.switch, on)
        elif fault.is_the_cards_own:
            self._control.fault(fault.name, on)
        else:
            self.machine.run("sh", "-euc", _script(fault, on), timeout=SCRIPT_SECONDS)
        match fault.needs_on if on else fault.needs_off:
            case Needs.RESCAN:
                self.rescan()
            case Needs.REPLUG:
                self.plug(False)
                self.plug(True)

    def rescan(self) -> None:
        """Take every card off the guest's bus and have the guest look for them again."""
        self.machine.run("sh", "-euc", RESCAN)

    def plug(self, present: bool) -> None:
        """Have the card in its slot or not, and return when the guest has noticed."""
        if self._control.status()["connected"] is present:
            return
        if not present:
            self.machine.unplug_card(self.slot)
            return
        before = self._endpoints()
        self.machine.plug_card(self.slot)
        if not asked_until(lambda: self._endpoints() != before, CARD_SECONDS, 0.5):
            raise UserError(f"{self.machine.name} did not notice its card in {self.slot}.", ExitCode.FAILED)
        self.machine.run("udevadm", "settle")

    def _endpoints(self) -> int:
        return int(self.machine.run("sh", "-euc", COUNT).stdout)

    @property
    def _control(self) -> CardControl:
        return CardControl(self.machine.card(self.slot).control)

    def _from_outside(self, switch: Switch, on: bool) -> None:
        match switch:
            case Switch.SLOT:
                self.plug(not on)
            case Switch.NETWORK:
                self.machine.plug_network(not on)
                if not on:
                    self.machine.wait_for_ssh()
            case Switch.POWER if on:
                self.machine.cut_power()
            case Switch.POWER:
                self.machine.power_cycle()

    def _require_running(self, fault: Fault, on: bool) -> None:
        condition = self.machine.condition()
        without_power = fault.switch is Switch.POWER and condition is Condition.QEMU_ENDED
        if condition is Condition.RUNNING or (without_power and not on):
            return
        name = self.machine.name
        raise UserError(f"Machine {name} is not running ({condition}): metis-provision lab up --name {name}")


def switch(name: str, fault: Fault, on: bool, slot: str = FIRST_SLOT) -> None:
    """Switch a fault of the host called ``name``; UserError where it cannot have that fault, or does not run."""
    if has_fleet(name):
        raise UserError(f"{name} is a fleet: name one of its hosts, such as {name}-1.")
    if name not in names() and (fleet := fleet_of(name)) is not None:
        _in_fleet(fleet, name, fault, on)
    elif has_container(name):
        _in_container(load_container(name), fault, on)
    else:
        FaultyMachine(machines.load(name), slot).switch(fault, on)


def _in_fleet(fleet: Fleet, name: str, fault: Fault, on: bool) -> None:
    host = fleet.host(name)
    if fault.switch is Switch.NETWORK:
        fleet.adjust(name, cut=on)
        return
    if not fault.in_container:
        raise UserError(
            f"{name} is a host of a fleet, which cannot have the fault {fault.name}: "
            "metis-provision lab up makes a machine that can."
        )
    host.run_script(_script(fault, on))


def _in_container(host: ContainerHost, fault: Fault, on: bool) -> None:
    if not fault.in_container:
        raise UserError(
            f"{host.name} is a container, which cannot have the fault {fault.name}: "
            "metis-provision lab up makes a machine that can."
        )
    if (condition := host.condition()) is not ContainerCondition.RUNNING:
        raise UserError(
            f"Container {host.name} is not running ({condition}): metis-provision lab down --name {host.name}"
        )
    found = podman("inspect", "--format", "{{.State.Pid}}", host.container).stdout.strip()
    # From outside, because root in a container may not mount.
    run_in_namespaces(int(found), host.name, _script(fault, on))


def _script(fault: Fault, on: bool) -> str:
    return (fault.begin if on else fault.end) or ""

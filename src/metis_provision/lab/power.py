"""Keeps a Raspberry Pi twin under power: at each start its firmware reads the disk, and a reboot is another start.

``python -m metis_provision.lab.power NAME`` is what a twin's ``qemu.pid`` records; QEMU ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from metis_provision.lab import machine as machines
from metis_provision.lab.boot_partition import copy_out
from metis_provision.lab.card.control import CardControl
from metis_provision.lab.machine import Machine
from metis_provision.lab.platforms import PI
from metis_provision.lab.process import last_line
from metis_provision.lab.qemu import Toolbox, toolbox
from metis_provision.lab.qmp import Qmp
from metis_provision.lab.raspberry import BOARDS, Firmware, read_config, tree_edits
from metis_provision.lab.starting import qemu_command
from metis_provision.lab.topology import Slot, Topology
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

GUEST_RESET = "guest-reset"
"""The reason of QEMU's SHUTDOWN event (ShutdownCause in its qapi/run-state.json) for a guest that wants to reboot."""


def keep_running(machine: Machine) -> None:
    """Start QEMU, and start it again as often as the guest reboots; returns once it has shut down or was ended."""
    tools = toolbox(PI)
    while _run_once(machine, tools):
        pass


def _run_once(machine: Machine, tools: Toolbox) -> bool:
    """Start QEMU with what the disk asks for and return, once it has ended, whether the guest wanted a reboot."""
    directory = machine.directory / "firmware"
    directory.mkdir(exist_ok=True)
    firmware = load(machine, directory)
    topology = under(firmware, machine.topology)
    for name, slot in topology.slots.items():
        if slot.card is not None:
            CardControl(machine.card(name).control).port(slot.link.generation, slot.link.lanes)
    boot = [*("-kernel", str(directory / "kernel")), *("-append", (directory / "cmdline").read_text().strip())]
    if firmware.initramfs:
        boot += ["-initrd", str(directory / "initramfs")]
    tree = directory / "tree.dtb"
    _tool(_dump_command(machine, tools, tree), {**os.environ, **tools.environment})
    _edit_tree(machine, firmware, tree, directory)
    command = qemu_command(machine, tools, topology, (*boot, "-dtb", str(tree)))
    events = machine.directory / "power.sock"
    events.unlink(missing_ok=True)
    command += ["-chardev", f"socket,id=power,path={events},server=on,wait=off", "-mon", "chardev=power,mode=control"]
    # If this process is killed, the guest's power goes with it.
    qemu = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], env={**os.environ, **tools.environment})
    return _until_it_ends(qemu, events)


def _until_it_ends(qemu: subprocess.Popen[bytes], events: Path) -> bool:
    try:
        return _wants_reboot(qemu, events)
    finally:
        qemu.kill()
        qemu.wait()


def under(firmware: Firmware, topology: Topology) -> Topology:
    """Return the bus as the firmware leaves it: the port it has set up with the card in it, or no port at all."""
    if firmware.link is None:
        return Topology(ports=())
    (card,) = (slot.card for slot in topology.slots.values())
    return Topology(ports=(Slot(link=firmware.link, card=card),))


def load(machine: Machine, directory: Path) -> Firmware:
    """Read config.txt, then copy what it names off the boot partition under names of our own; return what it asks."""
    copy_out(machine.disk, ["config.txt"], directory)
    firmware = read_config((directory / "config.txt").read_text(errors="replace"), BOARDS[machine.kind])
    wanted = {"kernel": firmware.kernel, "cmdline": firmware.command_line}
    wanted |= {"initramfs": firmware.initramfs} if firmware.initramfs else {}
    wanted |= {f"{name}.dtbo": f"overlays/{name}.dtbo" for name in firmware.overlays}
    for ours, theirs in wanted.items():
        copy_out(machine.disk, [theirs], directory)
        (directory / Path(theirs).name).replace(directory / ours)
    return firmware


def _dump_command(machine: Machine, tools: Toolbox, tree: Path) -> list[str]:
    """QEMU, which writes its device tree and ends; memory and CPUs stand in it, devices on the PCIe bus do not."""
    computer = ("-machine", f"virt,gic-version=3,dumpdtb={tree}", "-cpu", PI.emulated_cpu, "-display", "none")
    return [*tools.qemu, *computer, "-m", str(machine.memory), "-smp", str(machine.cpus), "-nodefaults"]


def _edit_tree(machine: Machine, firmware: Firmware, tree: Path, directory: Path) -> None:
    for arguments in tree_edits(BOARDS[machine.kind], firmware, str(tree)):
        _tool(["fdtput", *arguments])
    for name in firmware.overlays:
        merged = directory / "merged.dtb"
        _tool(["fdtoverlay", "-i", str(tree), "-o", str(merged), str(directory / f"{name}.dtbo")])
        merged.replace(tree)


def _tool(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        name = Path(command[0]).name
        raise UserError(f"{name} failed on the twin's device tree: {last_line(done)}", ExitCode.FAILED)


def _wants_reboot(qemu: subprocess.Popen[bytes], events: Path) -> bool:
    asked_until(lambda: events.exists() or qemu.poll() is not None, None)
    if not events.exists():
        raise UserError(f"QEMU ended with status {qemu.returncode}.", ExitCode.FAILED)
    try:
        with Qmp(events, timeout=None) as monitor:
            reason = monitor.wait_event("SHUTDOWN")["data"]["reason"]
    except UserError:
        # Somebody has ended QEMU: the power is gone.
        return False
    qemu.wait()
    return bool(reason == GUEST_RESET)


def main(arguments: list[str]) -> int:
    """Keep the machine of that name under power until it shuts down or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        keep_running(machines.load(arguments[0]))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

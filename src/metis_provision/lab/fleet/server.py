"""The process that is a fleet's wire: an interface here, one in each host, and a control socket."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from metis_provision.lab.fleet.control import REQUESTS, Adjust, Attach, Status
from metis_provision.lab.fleet.plan import Network, free_networks
from metis_provision.lab.fleet.tun import give_address, network_of, open_tun
from metis_provision.lab.fleet.wire import End, Wire
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

HOST_INTERFACE = "eth0"
_UPLINK = "uplink"


@dataclass(slots=True)
class Plugged:
    """A host on the wire; ``netem`` says that its delay is the kernel's."""

    end: End
    pid: int
    watch: int
    delay: float = 0.0
    netem: bool = False


class WireServer:
    """A wire with a control socket."""

    def __init__(self, uplink: int, network: Network) -> None:
        """Serve the interface of this machine whose cable is ``uplink``; an event loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._wire = Wire(self._later)
        self._hosts: dict[str, Plugged] = {}
        self._plug(End(_UPLINK, socket.inet_aton(network.gateway), uplink))

    def _later(self, seconds: float, callback: Callable[[], None]) -> object:
        return self._loop.call_later(seconds, callback)

    def _plug(self, end: End) -> None:
        self._wire.attach(end)
        self._loop.add_reader(end.descriptor, self._wire.receive, end)

    async def serve(self, control: Path, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; the interfaces go with this process."""
        # Renamed into place only when it listens: whoever sees the file can connect.
        unready = control.with_suffix(".new")
        server = await asyncio.start_unix_server(self._converse, unready)
        unready.rename(control)
        async with server:
            await stop.wait()
        control.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(json.dumps(self.answer(line)).encode() + b"\n")
            await writer.drain()
        except (ValueError, ConnectionError) as error:
            logger.info("a client of the control socket was given up: %s", error)
        finally:
            writer.close()

    def answer(self, line: bytes) -> dict[str, object]:
        """Return the answer to one request; whatever is wrong with it is said in the answer."""
        try:
            match REQUESTS.validate_json(line):
                case Attach() as wish:
                    self._attach(wish)
                case Adjust() as wish:
                    self._adjust(wish)
                case Status():
                    pass
        except ValidationError as error:
            return {"ok": False, "error": f"The request cannot be read: {error.errors()[0]['msg']}."}
        except (OSError, ValueError, UserError) as error:
            return {"ok": False, "error": str(error)}
        hosts = {
            name: {"delay": host.delay, "by": "netem" if host.netem else "wire", "cut": host.end.cut}
            for name, host in self._hosts.items()
        }
        return {"ok": True, "network": self._network.cidr, "hosts": hosts}

    def _attach(self, wish: Attach) -> None:
        if wish.name in self._hosts:
            raise ValueError(f"{wish.name} is plugged in already")
        watch = os.pidfd_open(wish.pid)
        try:
            with network_of(wish.pid):
                descriptor = open_tun(HOST_INTERFACE)
                give_address(HOST_INTERFACE, f"{wish.address}/{self._network.prefix}")
            self._plug(End(wish.name, socket.inet_aton(wish.address), descriptor))
        except BaseException:
            os.close(watch)
            raise
        end = self._wire.ends[socket.inet_aton(wish.address)]
        self._hosts[wish.name] = Plugged(end, wish.pid, watch)
        # The cable keeps the host's network namespace, so it must not outlast the host.
        self._loop.add_reader(watch, self._unplug, wish.name)

    def _unplug(self, name: str) -> None:
        host = self._hosts.pop(name)
        self._loop.remove_reader(host.watch)
        self._loop.remove_reader(host.end.descriptor)
        os.close(host.watch)
        self._wire.detach(host.end)
        logger.info("%s has ended", name)

    def _adjust(self, wish: Adjust) -> None:
        host = self._hosts.get(wish.name)
        if host is None:
            raise ValueError(f"no host {wish.name} is on this wire")
        if wish.cut is not None:
            host.end.cut = wish.cut
        if wish.delay is not None:
            host.delay = wish.delay
            with network_of(host.pid):
                host.netem = set_netem(HOST_INTERFACE, wish.delay, there=host.netem)
            host.end.delay = 0.0 if host.netem else wish.delay


def set_netem(interface: str, delay: float, *, there: bool) -> bool:
    """Let the kernel delay what an interface sends by ``delay`` seconds; return whether it does so now.

    It does not where tc or the kernel has no netem; ``there`` says that it has been doing so.
    """
    if delay:
        words = ["tc", "qdisc", "replace", "dev", interface, "root", "netem", "delay", f"{round(delay * 1e6)}us"]
    elif there:
        words = ["tc", "qdisc", "del", "dev", interface, "root"]
    else:
        return False
    try:
        done = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
    return done and bool(delay)


def open_uplink() -> tuple[int, Network]:
    """Make this machine's interface in a network that nobody else uses; UserError if there is none."""
    for network in free_networks(_routed()):
        # A device that waits for somebody to open it would be taken over.
        if Path("/sys/class/net", network.interface).exists():
            continue
        try:
            descriptor = open_tun(network.interface)
        except OSError as error:
            if error.errno == errno.EBUSY:
                continue
            raise UserError(f"No interface for a fleet can be made: {error}.", ExitCode.FAILED) from error
        give_address(network.interface, f"{network.gateway}/{network.prefix}")
        return descriptor, network
    raise UserError("Every network for fleets is in use: metis-provision lab down", ExitCode.FAILED)


def _routed() -> list[str]:
    """Return the networks that this machine has a route to of its own, but for the default one."""
    result = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise UserError(f"ip does not tell the routes: {result.stderr.strip()}", ExitCode.FAILED)
    return [row["dst"] for row in json.loads(result.stdout or "[]") if row["dst"] != "default"]

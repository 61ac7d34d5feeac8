"""ssh to the lab's hosts: by keys made for each of them, and by nothing of the person who runs it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from metis_provision.lab.process import last_line
from metis_provision.model.errors import ExitCode, UserError

# Below the range the kernel takes ports of outgoing connections from (ip_local_port_range, from 32768).
PORTS = range(22000, 23000)


@dataclass(frozen=True, slots=True)
class SshTarget:
    """One account of one host; ``known_hosts`` holds that host's key and nothing else."""

    name: str
    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path

    def command(self, *command: str, batch: bool = False) -> list[str]:
        """Return the ssh command line; it trusts the pinned host key alone.

        With ``batch`` ssh never asks anything. ``command`` is one string per argument of ssh, which joins them by
        spaces for the remote shell.
        """
        options = {
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "ServerAliveInterval": "15",
            "LogLevel": "ERROR",
            **({"BatchMode": "yes", "ConnectTimeout": "30"} if batch else {}),
        }
        flags = [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]
        where = ["-i", str(self.key), "-p", str(self.port), "-l", self.user]
        # Settings of the person who runs this have no say in how the lab's hosts are reached.
        return ["ssh", "-F", "/dev/null", *flags, *where, self.host, *command]

    def run(self, *command: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run ``command``, one word per argument.

        With ``check``, UserError if it fails; UserError too if it takes more than ``timeout`` seconds.
        """
        words = shlex.join(command)
        try:
            result = subprocess.run(
                self.command(words, batch=True),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"On {self.name}, {words} took more than {timeout:.0f} s.", ExitCode.FAILED) from error
        if check and result.returncode:
            raise UserError(
                f"On {self.name}, {words} failed ({result.returncode}): {last_line(result)}", ExitCode.FAILED
            )
        return result

    def pyinfra_data(self) -> dict[str, object]:
        """Return how pyinfra's ssh connector reaches it."""
        return {
            "ssh_hostname": self.host,
            "ssh_port": self.port,
            "ssh_user": self.user,
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }

    def greets(self) -> bool:
        """Return whether an ssh server speaks.

        That the port accepts means nothing, QEMU does so from the start. A connection kept open until the host is
        there would be answered late, because QEMU repeats its knocking ever more rarely; that the host's sshd bars
        nobody who only knocks is a setting of the images.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout=2.0) as stream:
                return stream.recv(4) == b"SSH-"
        except OSError:
            return False


def make_key(path: Path, comment: str) -> str:
    """Make a key pair, private half in ``path``; return the public half, one line."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        capture_output=True,
    )
    return path.with_suffix(".pub").read_text()


def free_port(taken: Collection[int] = ()) -> int:
    """Return a TCP port of the loopback that nobody listens on and that is not in ``taken``."""
    # Two hosts of different state directories do not know of each other: each begins somewhere else.
    first = os.getpid()
    for step in range(len(PORTS)):
        port = PORTS[(first + step) % len(PORTS)]
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UserError(f"No TCP port from {PORTS.start} to {PORTS.stop - 1} is free on 127.0.0.1.", ExitCode.FAILED)

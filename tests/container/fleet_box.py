"""A fleet in a box for tests, and this machine's own eyes for what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "metis_provision.cli"]


@dataclass(frozen=True)
class Box:
    """A state directory with a fleet called rack in it."""

    state: Path

    @property
    def directory(self) -> Path:
        return self.state / "metis-provision/lab/rack"

    def environment(self):
        return {**os.environ, "XDG_STATE_HOME": str(self.state), "COLUMNS": "200"}

    def run(self, *words, **options):
        return subprocess.run(
            [*COMMAND, *words], cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False, **options
        )

    def report(self):
        rows = json.loads(self.run("lab", "list", "--json").stdout)
        return next((row for row in rows if row["name"] == "rack"), None)

    def address(self, name):
        return next(host["address"] for host in self.report()["hosts"] if host["name"] == name)

    def inside(self, name, script):
        done = self.run("lab", "ssh", name, script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def keepers(self):
        """The processes that keep the hosts' namespaces, as they wrote it down themselves."""
        return [int(path.read_text().split()[0]) for path in self.directory.glob("hosts/*/host.pid")]

    def traces(self):
        """Whatever of this fleet this machine shows, by other eyes than the lab's."""
        name = str(self.state)
        seen = [f"directory {path}" for path in self.directory.parent.glob("*")]
        seen += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if name in line]
        for process in Path("/proc").glob("[0-9]*"):
            for file in ("cmdline", "mountinfo"):
                try:
                    text = (process / file).read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if name in text and process.name != str(os.getpid()):
                    seen.append(f"process {process.name}: {file}")
        return seen


def namespaces(pids):
    kinds = ("mnt", "net", "pid_for_children", "uts", "ipc", "cgroup")
    return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for pid in pids for kind in kinds}


def existing_namespaces():
    listed = subprocess.run(["lsns", "--noheadings", "--output", "TYPE,NS"], capture_output=True, text=True, check=True)
    return {f"{kind}:[{number}]" for kind, number in map(str.split, listed.stdout.splitlines())}


def addresses():
    links = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout)
    return {address["local"] for link in links for address in link["addr_info"]}


def gone(seen):
    """Wait until the kernel has cleared namespaces away, which it does after their last process has ended."""
    while seen & existing_namespaces():
        time.sleep(0.1)

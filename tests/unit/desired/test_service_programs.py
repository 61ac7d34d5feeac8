"""The programs of the services, run for real under dash, bash and busybox on made-up trees of /sys, /proc and /dev."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from metis_provision.desired.services import files
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Host, Survey

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
BDF = "0000:01:00.0"
PORT = "0000:00:01.0"
SETTINGS = Settings(driver="none", rescan=True, clock_mhz=600, mvm_limit=80, throttle="85:5:40", runtime_overlays=["x"])
LISTED = "Device 0: metis-0:1:0 1GiB m2 flver=1.3.2 bcver=1.4 clock=600MHz(0-3:600MHz) mvm=0-3:80%"
TEMPS = "[04:58:54.012,603] <inf> collector: core_temps=[35,34,34,35,36]"
UP = f"axl {BDF}: vmsi configured"
DOWN = f"axl {BDF}: vmsi not available"
# The node's numbers; nothing on this machine has such a device open.
NUMBERS = os.makedev(259, 123)


@dataclass
class Target:
    """A host made of files below ``root``; commands in ``bin`` come before the machine's own."""

    root: Path
    shell: list[str]

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def write(self, path: str, text: str | bytes = "") -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def stub(self, name: str, body: str) -> None:
        self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)

    def run(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command, env = self._command(program, *arguments), self._environment(**environment)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        command, env = self._command(program, *arguments), self._environment()
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self.shell, str(self.root / program.lstrip("/")), *arguments]

    def _environment(self, **environment: str) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "METIS_ROOT": str(self.root), **environment}

    def function(self, *path: str, ids: tuple[str, str, str], config: bytes = b"") -> Path:
        directory = "/sys/devices/pci0000:00/" + "/".join(path)
        for name, value in zip(("vendor", "device", "class"), ids, strict=True):
            self.write(f"{directory}/{name}", f"{value}\n")
        self.write(f"{directory}/config", config)
        real = self.root / directory.lstrip("/")
        link = self.root / "sys/bus/pci/devices" / path[-1]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real)
        return real

    def card(self, config: bytes | None = None) -> Path:
        space = config_space() if config is None else config
        self.function(PORT, ids=("0x1b36", "0x000c", "0x060400"), config=config_space(0x5020))
        card = self.function(PORT, BDF, ids=("0x1f9d", "0x1100", "0x120000"), config=space)
        self.write(f"{card.relative_to(self.root)}/current_link_speed", "8.0 GT/s PCIe\n")
        self.write(f"{card.relative_to(self.root)}/current_link_width", "4\n")
        self.write(f"{card.relative_to(self.root)}/remove")
        (card / "driver").mkdir()
        self.write("sys/bus/pci/rescan")
        self.write("sys/module/metis/version", "1.6.2\n")
        self.log(UP)
        return card

    def node(self, card: Path) -> Path:
        if os.geteuid() != 0:
            pytest.skip("needs root, to make device nodes")
        node = self.root / "dev/metis-0-1-0"
        node.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(node, stat.S_IFCHR | 0o660, NUMBERS)
        (self.root / "dev/axelera0").symlink_to("metis-0-1-0")
        char = self.root / "sys/dev/char/259:123"
        char.mkdir(parents=True)
        (char / "device").symlink_to(card)
        self.write(f"{card.relative_to(self.root)}/metis/metis-0-1-0/dev", "259:123\n")
        self.write(f"{card.relative_to(self.root)}/metis/metis-0-1-0/uevent", "DEVNAME=metis-0-1-0\n")
        return node

    def hold(self, node: Path, pid: int = 812, name: str = "frigate") -> None:
        descriptors = self.root / f"proc/{pid}/fd"
        descriptors.mkdir(parents=True)
        (descriptors / "7").symlink_to(node)
        self.write(f"proc/{pid}/comm", f"{name}\n")

    def log(self, *lines: str) -> None:
        self.write("log", "".join(f"[    1.0] {line}\n" for line in lines))
        self.stub("dmesg", f"cat {self.root}/log")


def config_space(control: int = 0x2050) -> bytes:
    """Bytes of a function with a PCI Express capability at 0x70 and this Device Control."""
    data = bytearray(256)
    data[0:4] = bytes.fromhex("9d1f0011")
    data[0x34] = 0x40
    data[0x40:0x42] = bytes([0x01, 0x70])
    data[0x70:0x72] = bytes([0x10, 0x00])
    data[0x78:0x7A] = control.to_bytes(2, "little")
    return bytes(data)


def control_of(target: Target, bdf: str) -> int:
    config = (target.root / "sys/bus/pci/devices" / bdf / "config").read_bytes()
    assert len(config) == 256
    return int.from_bytes(config[0x78:0x7A], "little")


@pytest.fixture(params=list(SHELLS))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    made = Target(tmp_path, shell)
    for file in files(SETTINGS, Survey(host=Host(init="openrc"))):
        made.write(file.path, file.content)
    made.stub("sleep", "exit 0")
    made.stub("modprobe", "exit 0")
    made.log()
    return made


def tools(target: Target) -> None:
    target.stub("axdevice", f'printf "%s\\n" "$*" >>{target.root}/asked; echo "{LISTED}"')
    target.stub("axlogdevice", f"echo '{TEMPS}'")


def pairs(line: str) -> Mapping[str, str]:
    return dict(word.split("=", 1) for word in line.split())


# ---- ax_status, axelera-stats-logger


@pytest.mark.parametrize("program", ["/usr/bin/ax_status", "/usr/bin/axelera-stats-logger"])
def test_without_a_card_it_says_so(target: Target, program: str) -> None:
    done = target.run(program)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).strip() == "Hardware not initialized."


def test_a_card_with_its_tools(target: Target) -> None:
    target.node(target.card())
    tools(target)
    values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
    assert values == {
        "card": "axelera0",
        "bdf": BDF,
        "state": "free",
        "driver": "1.6.2",
        "link_gts": "8.0",
        "link_width": "4",
        "firmware": "1.3.2",
        "vmsi": "up",
        "clock_mhz": "600",
        "mvm_pct": "80",
        "throttled": "no",
        "board_c": "35",
        "core_c": "34,34,35,36",
        "holder": "none",
    }
    status = target.run("/usr/bin/ax_status")
    assert status.returncode == 0
    assert "clock         600 MHz, MVM 80%" in status.stdout
    assert "board 35, cores 34,34,35,36" in status.stdout


def test_a_card_without_tools_has_what_the_kernel_knows(target: Target) -> None:
    target.node(target.card())
    values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
    assert (values["state"], values["link_gts"], values["clock_mhz"], values["core_c"], values["throttled"]) == (
        *("free", "8.0", "unknown", "unknown"),
        "unknown",
    )


def test_the_board_alone_is_asked_where_the_log_has_no_temperatures(target: Target) -> None:
    target.node(target.card())
    tools(target)
    target.stub("axlogdevice", "exit 0")
    target.stub("axcmd", "echo '0: temp_sensor0@48 = 50.25'")
    values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
    assert (values["board_c"], values["core_c"]) == ("50.25", "unknown")


# What coreutils' timeout does if it is ended before it has noted what it started: it ends, and leaves that.
FORGETFUL = shlex.join(
    [sys.executable, "-c", "import os, subprocess, sys; os.setpgid(0, 0); subprocess.call(sys.argv[2:])"]
)


@pytest.mark.parametrize(
    "limit", ["/usr/bin/timeout", "/usr/bin/busybox timeout", FORGETFUL], ids=["coreutils", "busybox", "forgetful"]
)
def test_the_logger_of_temperatures_is_stopped_at_its_first_whole_line(target: Target, limit: str) -> None:
    target.node(target.card())
    tools(target)
    # The logger does not end by itself and is let go on for an hour: only being stopped ends it.
    logger_is_given(target, f"{limit} 3600")
    lines = ("booting", "core_temps=[]", "core_temps=[35,34", TEMPS)
    target.stub(
        "axlogdevice", f"echo $$ >{target.root}/logger; printf '%s\\n' {shlex.join(lines)}; exec /bin/sleep 1800"
    )
    done = target.run("/usr/bin/axelera-stats-logger")
    values = pairs(done.stdout)
    assert (values["board_c"], values["core_c"], done.stderr) == ("35", "34,34,35,36", "")
    assert (target.root / "allowed").read_text() == "5\n"
    assert is_over((target.root / "logger").read_text().strip())


def test_a_logger_of_temperatures_that_tells_none_is_cut_off(target: Target) -> None:
    target.node(target.card())
    tools(target)
    logger_is_given(target, "/usr/bin/timeout 1")
    target.stub("axlogdevice", f"echo $$ >{target.root}/logger; echo 'core_temps=[35,34'; exec /bin/sleep 1800")
    target.stub("axcmd", "echo '0: temp_sensor0@48 = 50.25'")
    values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
    assert (values["board_c"], values["core_c"]) == ("50.25", "unknown")
    assert is_over((target.root / "logger").read_text().strip())


def logger_is_given(target: Target, limit: str) -> None:
    """Have ``timeout`` note the seconds it should give axlogdevice, and give it those of ``limit``."""
    unasked = 'exec /usr/bin/timeout "$@"'
    note = f'seconds=$1; shift; echo "$seconds" >>{target.root}/allowed; exec {limit} "$@"'
    target.stub("timeout", f'[ "$2" = axlogdevice ] || {unasked}\n{note}')


def is_over(process: str) -> bool:
    """Whether a process has ended, or does so in a moment, even if nobody has asked yet what became of it."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_busy_card_is_not_asked_and_its_holder_is_named(target: Target) -> None:
    target.hold(target.node(target.card()))
    tools(target)
    values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
    assert (values["state"], values["holder"], values["clock_mhz"], values["link_width"]) == (
        *("busy", "812", "unknown"),
        "4",
    )
    assert "busy, held by process 812 (frigate)" in target.run("/usr/bin/ax_status").stdout
    assert not (target.root / "asked").exists()


@pytest.mark.parametrize(
    ("line", "throttled"),
    [
        (LISTED.replace("clock=600", "clock=500"), "yes"),
        (LISTED.replace("0-3:80%", "0-3:10%"), "yes"),
        (LISTED.replace("clock=600", "clock=800"), "no"),
        ("Device 0: metis-0:1:0 board_type=pcie fwver='1.3.2' clock=800MHz(0-3:800MHz) mvm=0-3:100%", "no"),
        ("Device 0: metis-0:6c:0 1GiB m2 flver=1.3.2 bcver=1.4 clock=100MHz(0-3:100MHz) mvm=0-3:1%", "unknown"),
    ],
)
def test_throttled_is_below_what_was_set(target: Target, line: str, throttled: str) -> None:
    target.node(target.card())
    target.stub("axdevice", f'echo "{line}"')
    assert pairs(target.run("/usr/bin/axelera-stats-logger").stdout)["throttled"] == throttled


def test_a_card_that_does_not_answer_is_silent(target: Target) -> None:
    target.node(target.card())
    target.stub("axdevice", "echo 'Device 0: metis-0:1:0 board_type=unknown (not responding)'; exit 1")
    assert pairs(target.run("/usr/bin/axelera-stats-logger").stdout)["state"] == "silent"


def test_a_card_off_the_bus(target: Target) -> None:
    target.node(target.card(config=b"\xff" * 256))
    assert pairs(target.run("/usr/bin/axelera-stats-logger").stdout)["state"] == "off-bus"


@pytest.mark.parametrize("arguments", [["--interval"], ["--interval", "0"], ["--interval", "1m"], ["--loud"]])
def test_the_logger_refuses_what_it_does_not_know(target: Target, arguments: list[str]) -> None:
    done = target.run("/usr/bin/axelera-stats-logger", *arguments)
    assert done.returncode == 2
    assert "usage: axelera-stats-logger" in done.stderr


def test_the_logger_ends_with_a_signal_and_takes_its_sleep_along(target: Target) -> None:
    target.node(target.card())
    asleep = target.root / "asleep"
    # Its process is told only a while after its start, so that the shell waits for it by then.
    target.stub("sleep", f"/bin/sleep 0.5; echo $$ >{asleep}.new; mv {asleep}.new {asleep}; exec /bin/sleep 60")
    with target.start("/usr/bin/axelera-stats-logger", "--interval", "60") as logger:
        while not asleep.exists():
            assert logger.poll() is None
        logger.terminate()
        # The sleep has the same output open: it would not be at its end.
        said, complained = logger.communicate(timeout=30)
    assert (logger.returncode, complained) == (0, "")
    assert pairs(said)["card"] == "axelera0"


def test_the_logger_ends_with_a_signal_while_it_looks(target: Target) -> None:
    target.node(target.card())
    looks = target.root / "looks"
    target.stub("sleep", f": >{looks}")
    target.stub("axdevice", f"[ ! -e {looks} ] || exec /bin/sleep 5")
    with target.start("/usr/bin/axelera-stats-logger", "--interval", "1") as logger:
        while not looks.exists():
            assert logger.poll() is None
        logger.terminate()
        assert logger.wait(timeout=30) in (0, -signal.SIGTERM)


def test_one_line_goes_into_syslog(target: Target) -> None:
    target.node(target.card())
    target.stub("logger", f'printf "%s|" "$@" >{target.root}/syslog')
    done = target.run("/usr/bin/axelera-stats-logger", "--syslog")
    assert done.stdout == ""
    said = (target.root / "syslog").read_text()
    assert said.startswith(f"-t|axelera-stats-logger|-p|daemon.info|--|card=axelera0 bdf={BDF} ")


def test_a_look_waits_for_its_turn_and_says_when_it_does_not_come(target: Target) -> None:
    target.node(target.card())
    tools(target)
    turn = target.write("run/metis-provision/asking")
    with turn.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        values = pairs(target.run("/usr/bin/axelera-stats-logger").stdout)
        assert (values["state"], values["clock_mhz"]) == ("busy", "unknown")
        assert not (target.root / "asked").exists()
    assert pairs(target.run("/usr/bin/axelera-stats-logger").stdout)["clock_mhz"] == "600"


# ---- rescan


def removals(target: Target) -> str:
    return (target.root / f"sys/bus/pci/devices/{BDF}/remove").read_text()


def test_without_a_card_there_is_nothing_to_rescan(target: Target) -> None:
    (target.root / "sys/bus/pci/devices").mkdir(parents=True)
    assert target.run("/usr/lib/metis-provision/rescan").returncode == 0
    check = target.run("/usr/lib/metis-provision/rescan", "--check")
    assert (check.returncode, check.stdout.strip()) == (1, "rescan: there is no card on the bus")


def test_a_healthy_card_is_left_alone(target: Target) -> None:
    target.card()
    assert target.run("/usr/lib/metis-provision/rescan", "--check").returncode == 0
    assert target.run("/usr/lib/metis-provision/rescan").returncode == 0
    assert removals(target) == ""


def heal_after(target: Target, attempts: int) -> None:
    """Make the settling time after each rescan bring a line of the log: firmware up after so many attempts."""
    target.log(DOWN)
    target.stub(
        "sleep",
        f"""[ "$1" = 6 ] || exit 0
        echo x >>{target.root}/tries
        if [ "$(wc -l <{target.root}/tries)" -ge {attempts} ]; then said="{UP}"; else said="{DOWN}"; fi
        echo "$said" >>{target.root}/log""",
    )


@pytest.mark.parametrize("attempts", [1, 3, 4])
def test_firmware_that_comes_up_late_is_found(target: Target, attempts: int) -> None:
    target.card()
    heal_after(target, attempts)
    done = target.run("/usr/lib/metis-provision/rescan")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("attempt") == attempts
    assert removals(target) == "1\n"
    assert (target.root / "sys/bus/pci/rescan").read_text() == "1\n"


def test_after_four_attempts_it_gives_up_and_says_what_to_do(target: Target) -> None:
    target.card()
    heal_after(target, 5)
    done = target.run("/usr/lib/metis-provision/rescan")
    assert done.returncode == 1
    assert (target.root / "tries").read_text() == "x\n" * 4
    assert f"{BDF} did not come up in 4 attempts: switch the power off and on" in done.stdout


@pytest.mark.parametrize(
    "ids", [("0x16c3", "0xabcd", "0x120000"), ("0x1f9d", "0x1100", "0x120000")], ids=["unstarted", "reads-ff"]
)
def test_a_card_without_a_driver_line_is_judged_by_the_bus(target: Target, ids: tuple[str, str, str]) -> None:
    target.function(PORT, BDF, ids=ids, config=b"\xff" * 64)
    target.write("sys/bus/pci/rescan")
    done = target.run("/usr/lib/metis-provision/rescan")
    assert done.returncode == 1
    assert done.stdout.count("attempt ") == 4


def test_a_port_with_the_unstarted_id_is_no_card(target: Target) -> None:
    target.function(PORT, ids=("0x16c3", "0xabcd", "0x060400"), config=b"")
    assert target.run("/usr/lib/metis-provision/rescan", "--check").returncode == 1


def test_a_busy_card_is_never_taken_off_the_bus(target: Target) -> None:
    target.hold(target.node(target.card()))
    target.log(DOWN)
    done = target.run("/usr/lib/metis-provision/rescan")
    assert done.returncode == 0
    assert f"{BDF} is held by process 812 (frigate) and was left alone" in done.stdout
    assert removals(target) == ""


def test_payload_and_read_request_are_set_on_card_and_port(target: Target) -> None:
    target.card()
    done = target.run("/usr/lib/metis-provision/rescan", "--max-payload", "128")
    assert done.returncode == 0, done.stdout
    assert (control_of(target, BDF), control_of(target, PORT)) == (0x2050 & ~0x70E0, 0x5020 & ~0x70E0)
    again = target.run("/usr/lib/metis-provision/rescan", "--max-payload", "128")
    assert "bytes now" not in again.stdout
    target.run("/usr/lib/metis-provision/rescan", "--max-payload", "256")
    assert control_of(target, BDF) == (0x2050 & ~0x70E0) | 0x1020


@pytest.mark.parametrize("arguments", [["--max-payload"], ["--max-payload", "100"], ["--now"]])
def test_the_rescan_refuses_what_it_does_not_know(target: Target, arguments: list[str]) -> None:
    assert target.run("/usr/lib/metis-provision/rescan", *arguments).returncode == 2


def test_a_clock_that_never_comes_is_waited_for_and_then_left(target: Target) -> None:
    target.card()
    target.stub("date", "echo 86400")
    done = target.run("/usr/lib/metis-provision/rescan")
    assert done.returncode == 0
    assert "the clock is not set and no time came within 60 s: going on without" in done.stdout


# ---- limits


LIMITS = ("--clock", "600", "--mvm", "80", "--throttle", "85:5:40")


def test_limits_are_handed_to_the_card(target: Target) -> None:
    target.node(target.card())
    tools(target)
    done = target.run("/usr/lib/metis-provision/limits", *LIMITS)
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "limits: axelera0: clock 600 MHz MVM 80% throttling 85:5:40",
    )
    asked = (target.root / "asked").read_text().splitlines()[0]
    assert asked == "--device 0 --set-clock 600 --set-mvm-limitation 80 --set-sw-throttling=85:5:40"


def test_limits_say_no(target: Target) -> None:
    assert target.run("/usr/lib/metis-provision/limits").returncode == 2
    assert target.run("/usr/lib/metis-provision/limits", *LIMITS).stdout.strip() == "limits: there is no card"
    node = target.node(target.card())
    without = target.run("/usr/lib/metis-provision/limits", *LIMITS)
    assert (without.returncode, "axdevice is not installed" in without.stdout) == (1, True)
    tools(target)
    other = target.run("/usr/lib/metis-provision/limits", "--clock", "400")
    assert (other.returncode, "runs at 600 MHz although 400 was set" in other.stdout) == (1, True)
    target.stub("axdevice", "echo 'AXR_ERROR: no'; exit 1")
    refused = target.run("/usr/lib/metis-provision/limits", *LIMITS)
    assert (refused.returncode, "axdevice did not set it: AXR_ERROR: no" in refused.stdout) == (1, True)
    target.hold(node)
    held = target.run("/usr/lib/metis-provision/limits", *LIMITS)
    assert (held.returncode, "held by process 812 (frigate) and was left as it is" in held.stdout) == (1, True)


# ---- overlays


OVERLAYS = "/usr/lib/metis-provision/overlays"


def configfs(target: Target, refuses: bool = False) -> Path:
    """A directory that behaves as the kernel's does: what is made in it has a status, and goes with its files."""
    directory = target.root / "sys/kernel/config/device-tree/overlays"
    directory.mkdir(parents=True)
    status = "unapplied" if refuses else "applied"
    target.stub("mkdir", f'/bin/mkdir "$@" && case $* in */overlays/x) echo {status} >"$1/status" ;; esac')
    target.stub("rmdir", '/bin/rm -r "$@"')
    return directory


def test_overlays_without_configfs_are_no_error(target: Target) -> None:
    done = target.run(OVERLAYS, "load", "x")
    assert done.returncode == 0
    assert "this kernel loads no overlays while it runs" in done.stdout


def test_an_overlay_is_loaded_once_and_taken_away(target: Target) -> None:
    directory = configfs(target)
    target.write("lib/firmware/overlays/x.dtbo", "blob")
    assert "x loaded from" in target.run(OVERLAYS, "load", "x").stdout
    assert (directory / "x/dtbo").read_text() == "blob"
    assert "x is there already" in target.run(OVERLAYS, "load", "x").stdout
    assert "x taken away" in target.run(OVERLAYS, "unload", "x").stdout
    assert list(directory.iterdir()) == []
    assert target.run(OVERLAYS, "unload", "x").returncode == 0


def test_somebody_elses_overlay_stays(target: Target) -> None:
    directory = configfs(target)
    (directory / "x").mkdir()
    target.run(OVERLAYS, "load", "x")
    assert target.run(OVERLAYS, "unload", "x").stdout == ""
    assert (directory / "x").is_dir()


def test_an_overlay_without_a_file(target: Target) -> None:
    configfs(target)
    needed = target.run(OVERLAYS, "load", "x")
    assert (needed.returncode, "x has no file on this host" in needed.stdout) == (1, True)
    optional = target.run(OVERLAYS, "load", "--if-there", "x")
    assert (optional.returncode, "is not needed" in optional.stdout) == (0, True)


def test_an_overlay_that_the_kernel_refuses(target: Target) -> None:
    directory = configfs(target, refuses=True)
    blob = target.write("opt/x.dtbo", "blob")
    done = target.run(OVERLAYS, "load", "/opt/x.dtbo")
    assert (done.returncode, f"the kernel refused {blob}" in done.stdout) == (1, True)
    assert list(directory.iterdir()) == []


def test_overlays_want_to_know_what_to_do(target: Target) -> None:
    assert target.run(OVERLAYS).returncode == 2

"""The scripts that work on a host, run for real under dash and busybox against a private /etc, /var/lib and /run."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from metis_provision.operations import commands

pytestmark = pytest.mark.container

SHELLS = [["dash"], ["busybox", "sh"]]

NAMESPACE = r"""
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" /etc
mkdir -p /var/lib/metis-provision /run/metis-provision
mount --bind "$1/state" /var/lib/metis-provision
mount --bind "$1/run" /run/metis-provision
shift
exec "$@"
"""


class Target:
    """A host's /etc, state and run directories, kept over several commands; the machine's own stay untouched."""

    def __init__(self, base: Path, shell: list[str]) -> None:
        self.base = base
        self.shell = shell
        for name in ("etc", "work", "state", "run"):
            (base / name).mkdir()

    def start(self, command: str, **kwargs: object) -> subprocess.Popen[str]:
        arguments = ["unshare", "-m", "sh", "-c", NAMESPACE, "sh", str(self.base), *self.shell, "-c", command]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

    def run(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(command, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def apply(self, *lines: str, was: str | None = None, end: bool = True) -> subprocess.CompletedProcess[str]:
        receipt = self.base / "state" / "receipt.json"
        if was is None:
            was = hashlib.sha256(receipt.read_bytes()).hexdigest() if receipt.exists() else "none"
        script = commands._with_variables("apply.sh", {"METIS_RECEIPT_WAS": was})
        return self.run(script, "\n".join([*lines, *(["end"] if end else [])]))

    def job(self, script: str, name: str = "build") -> tuple[str, str]:
        return commands.job_command(name, script), commands.job_input(script)

    def temporaries(self) -> list[Path]:
        return [*self.base.rglob(".metis-*")]


@pytest.fixture(params=SHELLS, ids=["dash", "busybox"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    missing = [tool for tool in (request.param[0], "unshare", "flock") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing else'}")
    return Target(tmp_path, request.param)


def line(path: Path | str, text: str, mode: str = "0644", validator: str = "none", owner: str = "root") -> str:
    return f"file {mode} {owner} root {validator} {path} {base64.b64encode(text.encode()).decode()}"


def test_files_appear_with_mode_and_contents(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "new" / "rules"
    done = target.apply(line("/etc/new/rules", "one\n", mode="0640"))
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text() == "one\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o7777 == 0o755
    assert not target.temporaries()


def test_earlier_contents_are_kept_under_their_digest(target: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before\n")
    assert target.apply(line(tmp_path / "file", "after\n")).returncode == 0
    kept = tmp_path / "state" / "previous" / hashlib.sha256(b"before\n").hexdigest()
    assert kept.read_text() == "before\n"
    assert (tmp_path / "file").read_text() == "after\n"


def test_one_refused_file_keeps_all_as_they_were(target: Target, tmp_path: Path) -> None:
    (tmp_path / "first").write_text("before\n")
    done = target.apply(line(tmp_path / "first", "after\n"), line(tmp_path / "broken", "if then\n", validator="shell"))
    assert done.returncode == 1
    assert f"{tmp_path}/broken was refused by its validator" in done.stderr
    assert (tmp_path / "first").read_text() == "before\n"
    assert not (tmp_path / "broken").exists()
    assert not target.temporaries()


def test_a_full_disk_leaves_everything_as_it_was(target: Target, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = commands._with_variables("apply.sh", {"METIS_RECEIPT_WAS": "none"})
    manifest = "\n".join([line(small / "fits", "x"), line(small / "large", "x" * 100_000), "end"])
    done = target.run(
        f"mount -t tmpfs -o size=16k tmpfs {small}\n(\n{script}\n)\nstatus=$?\nls -A {small}\nexit $status", manifest
    )
    assert done.returncode == 1
    assert "is the disk full?" in done.stderr
    assert done.stdout == ""


def test_a_transfer_cut_off_changes_nothing(target: Target, tmp_path: Path) -> None:
    done = target.apply("group metis-test -", line(tmp_path / "file", "x"), end=False)
    assert done.returncode == 1
    assert "cut off" in done.stderr
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "etc" / "group").exists()


def test_a_receipt_that_moved_on_is_refused(target: Target, tmp_path: Path) -> None:
    (tmp_path / "state" / "receipt.json").write_text("{}")
    done = target.apply(line(tmp_path / "file", "x"), was="none")
    assert done.returncode == 1
    assert "run again" in done.stderr
    assert not (tmp_path / "file").exists()


def test_two_runs_do_not_work_on_one_host(target: Target, tmp_path: Path) -> None:
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = target.apply(line(tmp_path / "file", "x"))
    assert done.returncode == 1
    assert "another run is changing this host" in done.stderr
    assert not (tmp_path / "file").exists()


def test_a_directory_in_the_way_is_named(target: Target, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = target.apply(line(tmp_path / "there", "x"))
    assert done.returncode == 1
    assert f"{tmp_path}/there is a directory" in done.stderr


def test_an_unknown_directive_or_owner_is_refused(target: Target, tmp_path: Path) -> None:
    assert "no directive is called" in target.apply("fiel 0644 root root none /x eA==").stderr
    assert "cannot be given to nobody-here" in target.apply(line(tmp_path / "x", "x", owner="nobody-here")).stderr
    assert not target.temporaries()


def test_accounts_are_made_and_joined(target: Target, tmp_path: Path) -> None:
    done = target.apply("group metis-g 45678", "user metis-u metis-g", "member daemon metis-g")
    assert (done.returncode, done.stderr) == (0, "")
    groups = (tmp_path / "etc" / "group").read_text()
    entry = next(entry for entry in groups.splitlines() if entry.startswith("metis-g:"))
    assert entry.split(":")[2] == "45678"
    assert set(entry.split(":")[3].split(",")) == {"metis-u", "daemon"}


def test_taking_back_restores_or_removes(target: Target, tmp_path: Path) -> None:
    (tmp_path / "had").write_text("original\n")
    original = hashlib.sha256(b"original\n").hexdigest()
    target.apply(line(tmp_path / "had", "ours\n"), line(tmp_path / "hadnot", "ours\n"))
    done = target.apply(f"take-back {tmp_path}/had {original}", f"take-back {tmp_path}/hadnot -")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "had").read_text() == "original\n"
    assert not (tmp_path / "hadnot").exists()


def test_a_job_shows_its_output_and_status(target: Target) -> None:
    command, stdin = target.job("echo one\nsleep 1\necho two\nexit 3")
    done = target.run(command, stdin)
    assert done.returncode == 3
    assert done.stdout.splitlines() == ["one", "two"]
    assert "the build step ended with status 3" in done.stderr


def test_a_job_outlives_its_connection_and_is_attached_to(target: Target, tmp_path: Path) -> None:
    script = f"echo started >>{tmp_path}/runs\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.1; done\necho finished"
    command, stdin = target.job(script)
    first = target.start(command, stdin=subprocess.PIPE, start_new_session=True)
    assert first.stdin is not None
    first.stdin.write(stdin)
    first.stdin.close()
    _wait_for(tmp_path / "runs")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    first.stderr.close()
    other, other_stdin = target.job("echo something else")
    assert "a different build step is still running" in target.run(other, other_stdin).stderr
    again = target.start(command, stdin=subprocess.PIPE)
    assert again.stdin is not None
    assert again.stdout is not None
    again.stdin.write(stdin)
    again.stdin.close()
    again.stdin = None
    assert again.stdout.readline() == "attaching to the build step that is still running\n"
    (tmp_path / "go").touch()
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert out.splitlines()[-1] == "finished"
    assert (tmp_path / "runs").read_text() == "started\n"


@pytest.mark.parametrize(("end", "shown"), [("echo Setting up it", "Setting up it\n"), (":", "")])
def test_a_step_of_an_earlier_run_is_waited_for_and_shown(target: Target, tmp_path: Path, end: str, shown: str) -> None:
    assert target.run(commands.wait_command()).stdout == ""
    script = f"echo started >{tmp_path}/began\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.1; done\n{end}"
    command, stdin = target.job(script, name="packages")
    first = target.start(command, stdin=subprocess.PIPE, start_new_session=True)
    assert first.stdin is not None
    first.stdin.write(stdin)
    first.stdin.close()
    first.stdin = None
    _wait_for(tmp_path / "began")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    waiting = target.start(commands.wait_command())
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "attaching to the packages step that is still running\n"
    assert waiting.poll() is None
    (tmp_path / "go").touch()
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (0, shown)


@pytest.mark.parametrize("script", ["load.sh", "services.sh", "boot.sh"])
def test_nothing_is_done_beside_another_run(target: Target, tmp_path: Path, script: str) -> None:
    config = tmp_path / "config.txt"
    config.write_text("x")
    values = {"METIS_INIT": "openrc", "METIS_REMOVE": "no-such-service", "METIS_MODULE": "no-such-module"}
    values |= {"METIS_CONFIG": str(config), "METIS_WAS": "0", "METIS_DIGEST": "0"}
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = target.run(commands._with_variables(script, values))
    assert done.returncode == 1
    assert done.stderr == "metis-provision: another run is changing this host: wait for it to end, then run again\n"


def test_a_reboot_is_not_begun_while_somebody_works(target: Target, tmp_path: Path) -> None:
    assert target.run(commands.lock_command()).returncode == 0
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run is changing this host" in target.run(commands.lock_command()).stderr


def test_a_job_whose_script_was_cut_off_is_not_started(target: Target, tmp_path: Path) -> None:
    command, _ = target.job("echo x")
    done = target.run(command, f"touch {tmp_path}/ran")
    assert done.returncode == 1
    assert "nothing was started" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_killed_job_is_not_taken_for_done(target: Target, tmp_path: Path) -> None:
    command, stdin = target.job(f"echo $PPID >{tmp_path}/worker\nexec sleep 60")
    process = target.start(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    _wait_for(tmp_path / "worker")
    os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed before it ended" in err


def test_what_is_about_to_be_done_is_noted_before_it_is_done(target: Target, tmp_path: Path) -> None:
    intent = base64.b64encode(b'{"schema_version": 1}').decode()
    done = target.apply(
        f"intent {intent}", "group metis-i -", line(tmp_path / "broken", "if then\n", validator="shell")
    )
    assert done.returncode == 1
    assert (tmp_path / "state" / "receipt.json").read_bytes() == b'{"schema_version": 1}'
    assert not (tmp_path / "broken").exists()


def test_a_link_somebody_made_is_not_replaced(target: Target, tmp_path: Path) -> None:
    (tmp_path / "masked").symlink_to("/dev/null")
    done = target.apply(line(tmp_path / "masked", "x"))
    assert done.returncode == 1
    assert "is a symbolic link" in done.stderr
    assert (tmp_path / "masked").is_symlink()


def test_an_older_status_is_not_taken_for_this_ones(target: Target, tmp_path: Path) -> None:
    command, stdin = target.job("exit 0")
    assert target.run(command, stdin).returncode == 0
    assert target.run(command, "cut off").returncode == 1
    assert not (tmp_path / "run" / "jobs" / "build" / "status").exists()


def test_the_receipt_is_written_as_the_last_file(target: Target, tmp_path: Path) -> None:
    receipt = json.dumps({"schema_version": 1})
    done = target.apply(line(tmp_path / "a", "a"), line("/var/lib/metis-provision/receipt.json", receipt, mode="0600"))
    assert done.returncode == 0
    assert (tmp_path / "state" / "receipt.json").read_text() == receipt


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise TimeoutError(path)

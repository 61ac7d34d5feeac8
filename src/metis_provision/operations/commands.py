"""Builds the commands that operations send to a host; the only place where they are put together and quoted."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import PurePath

from metis_provision.catalog.contract import contract
from metis_provision.desired.difference import (
    BootChange,
    CardChange,
    DriverChange,
    DriverPackageChange,
    FilesChange,
    InitramfsChange,
    PastChange,
    RuntimeChange,
    ServicesChange,
)
from metis_provision.desired.past import kernels_of
from metis_provision.desired.payloads import file_digest, host_path
from metis_provision.model.artifact import EnvironmentRuntime, File, ImageRuntime, LeftoverKind, Payload, RuntimeKind
from metis_provision.model.receipt import RECEIPT_PATH, Receipt
from metis_provision.model.runtime_rules import wheel_name
from metis_provision.model.survey import Survey

_BEFORE = {
    "apply.sh": ("take-lock.sh",),
    "boot.sh": ("take-lock.sh",),
    "driver.sh": ("set-aside.sh",),
    "job.sh": ("take-lock.sh", "follow-step.sh"),
    "load.sh": ("take-lock.sh",),
    "past.sh": ("set-aside.sh",),
    "services.sh": ("take-lock.sh",),
    "wait.sh": ("follow-step.sh",),
}
"""The parts that several scripts share, by the script they are put before."""


@cache
def _script(name: str) -> str:
    scripts = files("metis_provision.operations").joinpath("scripts")
    return "\n".join(scripts.joinpath(part).read_text(encoding="utf-8") for part in (*_BEFORE.get(name, ()), name))


def _with_variables(script: str, variables: Mapping[str, str]) -> str:
    assignments = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return f"{assignments}\n{_script(script)}"


def apply_command(survey: Survey) -> str:
    """The script that applies a manifest, unless the receipt changed since ``survey``."""
    seen = survey.files.get(RECEIPT_PATH)
    return _with_variables("apply.sh", {"METIS_RECEIPT_WAS": (seen and seen.sha256) or "none"})


def manifest(change: FilesChange, receipt: Receipt, before: Receipt) -> str:
    """What ``apply.sh`` reads: accounts, files, what is taken back, and the new receipt last."""
    lines = []
    if change != FilesChange(change.concern):
        intent = receipt.model_copy(
            update={"files": {**receipt.files, **{path: before.files[path] for path in change.surplus}}}
        )
        lines.append(f"intent {base64.b64encode(intent.to_bytes()).decode('ascii')}")
    lines += [f"group {group.name} {group.gid or '-'}" for group in change.groups]
    lines += [f"user {user.name} {user.group}" for user in change.users]
    created = {user.name for user in change.users}
    lines += [f"member {user} {group}" for user, group in change.memberships if user not in created]
    lines += [_file_line(file) for file in change.files]
    lines += [f"take-back {path} {before.files[path].original or '-'}" for path in change.surplus]
    lines.append(_file_line(File(RECEIPT_PATH, receipt.to_bytes(), mode="0600")))
    touched = (*(file.path for file in change.files), *change.surplus)
    if any(path.startswith("/etc/udev/") for path in touched):
        lines.append("reload-udev")
    return "\n".join([*lines, "end"])


def _file_line(file: File) -> str:
    content = base64.b64encode(file.content).decode("ascii")
    return f"file {file.mode} {file.owner} {file.group} {file.validator} {file.path} {content}"


_SHOWN = {
    "packages": ("^Get:", "^Unpacking", "^Setting up", "^waiting", "^E:", "^W:"),
    "driver": ("^building", "^Building", "^Installing", "^set aside", "^waiting", "[Ee]rror"),
    "past": ("^set aside", "^taking"),
    "initramfs": ("^building", "holds what it must$"),
}
_SHOWN["driver-package"] = _SHOWN["packages"]
_SHOWN["runtime"] = (*_SHOWN["packages"], "^making", "^loading", "^pulling", "^Collecting", "^Successfully")
_SHOWN["runtime-gone"] = (*_SHOWN["packages"], "^removing", "^Removing")
_OURS = "^metis-provision:"


def _progress(patterns: Iterable[str]) -> str:
    """A sed script that prints lines of a log that match one of ``patterns``."""
    return ";".join(f"/{pattern}/{{p;d;}}" for pattern in dict.fromkeys((*patterns, _OURS)))


def job_command(name: str, script: str) -> str:
    """The command that runs ``script`` (given on standard input) detached, or attaches to it.

    It shows the lines worth it, all of them for a step that is not known here.
    """
    key = hashlib.sha256(script.encode()).hexdigest()
    progress = _progress(_SHOWN[name]) if name in _SHOWN else "p"
    return _with_variables("job.sh", {"METIS_JOB": name, "METIS_KEY": key, "METIS_PROGRESS": progress})


def job_input(script: str) -> str:
    """``script`` with the mark that shows it arrived whole."""
    return f"{script.rstrip()}\n# end"


def wait_command() -> str:
    """The command that waits for detached steps of an earlier run, showing what they do."""
    return _with_variables("wait.sh", {"METIS_PROGRESS": _progress(chain.from_iterable(_SHOWN.values()))})


def package_file_job(path: str, sha256: str, install: str) -> str:
    """Shell that checks a payload on the host against its pin, then installs it."""
    return f"set -e\n{_checked(path, sha256)}\n{install}"


def driver_package_job(change: DriverPackageChange, install: str) -> str:
    """Shell that checks the driver's package against its pin and installs it, unless the installed one would refuse."""
    package = change.package
    values = {
        "METIS_PACKAGE": host_path(package.payload),
        "METIS_SHA256": package.payload.sha256,
        "METIS_REFUSED_BY": (change.replaces and package.refused_by) or "",
        "METIS_TREE": change.tree or "",
    }
    return _with_variables("driver-package.sh", values) + install


def environment_job(runtime: EnvironmentRuntime) -> str:
    """Shell that makes the runtime's virtual environment."""
    lines = [f"{it.sha256}\t{host_path(it)}\t{PurePath(it.source).name}" for it in runtime.payloads]
    values = {
        "METIS_DIRECTORY": runtime.directory,
        "METIS_PYTHON": runtime.python or "",
        "METIS_INDEX": runtime.index or "",
        "METIS_REQUIREMENTS": host_path(runtime.requirements) if runtime.requirements else "",
        "METIS_PAYLOADS": "\n".join(lines),
        "METIS_PINS": "\n".join(_pins(runtime.wheels)),
    }
    return _with_variables("venv.sh", values)


def _pins(wheels: tuple[Payload, ...]) -> list[str]:
    """Requirements with hashes for wheels; one distribution may have several, for different machines."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for wheel in wheels:
        name = wheel_name(wheel.source)
        if name is not None:
            hashes.setdefault(name, []).append(f"--hash=sha256:{wheel.sha256}")
    return [f"{name}=={version} {' '.join(found)}" for (name, version), found in hashes.items()]


def image_job(runtime: ImageRuntime) -> str:
    """Shell that gets the runtime's image into its engine."""
    values = {
        "METIS_ENGINE": runtime.engine,
        "METIS_IMAGE": runtime.reference,
        "METIS_ARCHIVE": host_path(runtime.archive) if runtime.archive else "",
        "METIS_SHA256": runtime.archive.sha256 if runtime.archive else "",
    }
    return _with_variables("image.sh", values)


def runtime_gone_job(change: RuntimeChange) -> str:
    """Shell that removes environments, images and models that are no longer wanted."""
    values = {
        "METIS_DIRECTORIES": "\n".join(it.name for it in change.remove if it.kind is RuntimeKind.ENVIRONMENT),
        "METIS_IMAGES": "\n".join(f"{it.engine} {it.name}" for it in change.remove if it.kind is RuntimeKind.IMAGE),
        "METIS_PAYLOADS": file_digest(change.old_model) if change.old_model else "",
    }
    return _with_variables("runtime-gone.sh", values)


def driver_job(change: DriverChange) -> str:
    """Shell that puts a DKMS tree in place and builds it for each kernel."""
    tree = change.tree
    values = {
        "METIS_MODULE": tree.name,
        "METIS_VERSION": tree.version,
        "METIS_SOURCE": tree.source_dir,
        "METIS_UNPACK": "1" if change.unpack else "",
        "METIS_PAYLOAD": host_path(tree.payload),
        "METIS_SHA256": tree.payload.sha256,
        "METIS_CONF": base64.b64encode(tree.conf).decode("ascii"),
        "METIS_KERNELS": " ".join(change.kernels),
        "METIS_RUNNING": change.running,
        "METIS_STRAYS": "\n".join(leftover.path for leftover in change.strays),
    }
    return _with_variables("driver.sh", values)


def initramfs_job(change: InitramfsChange) -> str:
    """Shell that sees to the images of a change, one after the other."""
    values = {
        "METIS_GENERATOR": str(change.generator),
        "METIS_WANTED": "1" if change.wanted else "",
        "METIS_IMAGES": "\n".join(f"{image.kernel} {image.path}" for image in change.images),
    }
    return _with_variables("initramfs.sh", values)


def past_job(change: PastChange) -> str:
    """Shell that keeps what others left and removes it."""
    builds = [item for item in change.leftovers if item.kind is LeftoverKind.BUILD]
    others = tuple(item for item in change.leftovers if item.kind is not LeftoverKind.BUILD)
    values = {
        "METIS_MODULE": str(contract().module),
        "METIS_BUILDS": " ".join(item.path.rpartition("/")[2] for item in builds),
        "METIS_KERNELS": " ".join(kernels_of(others)),
        "METIS_PATHS": "\n".join(item.path for item in others),
    }
    return _with_variables("past.sh", values)


def load_command(change: CardChange) -> str:
    """The script that loads the module, or loads it anew, and has udev apply its rules to the card."""
    values = {
        "METIS_MODULE": change.load or "",
        "METIS_RELOAD": change.reload or "",
        "METIS_TRIGGER": " ".join(change.trigger),
    }
    return _with_variables("load.sh", values)


def boot_command(change: BootChange) -> str:
    """The script that replaces config.txt on its boot partition; ``boot_input`` is its standard input."""
    config = change.config
    values = {
        "METIS_CONFIG": config.path,
        "METIS_WAS": hashlib.sha256(config.now).hexdigest(),
        "METIS_DIGEST": hashlib.sha256(config.content).hexdigest(),
        "METIS_KEEP": "1" if change.block else "",
    }
    return _with_variables("boot.sh", values)


def boot_input(change: BootChange) -> str:
    """The new contents, with the mark that shows they arrived whole."""
    return f"{base64.b64encode(change.config.content).decode('ascii')}\nend"


def reboot_command() -> str:
    """Restart the host a moment after the connection has let go of the command, unless something still works there."""
    how = "if [ -d /run/systemd/system ]; then systemctl reboot; else reboot; fi"
    return f"{lock_command()}\nsetsid sh -c 'sleep 1; {how}' </dev/null >/dev/null 2>&1 &"


def lock_command() -> str:
    """Take the lock of whoever changes the host, or fail because somebody has it."""
    return _with_variables("take-lock.sh", {}) + "lock_host"


def services_command(change: ServicesChange, init: str) -> str:
    """The script that takes services out of the boot, puts others into it and starts what can run."""
    values = {
        "METIS_INIT": init,
        "METIS_REMOVE": " ".join(change.remove),
        "METIS_ENABLE": " ".join(change.enable),
        "METIS_START": " ".join(change.start),
    }
    return _with_variables("services.sh", values)


def boot_id_command() -> str:
    """Print the id of the host's present boot."""
    return "cat /proc/sys/kernel/random/boot_id"


def settled_command(seconds: int) -> str:
    """Wait until services have been started and devices named, ``seconds`` at most; one that fails holds up nobody."""
    return (
        "if [ -d /run/systemd/system ]; then\n"
        f"timeout {seconds} systemctl is-system-running --wait >/dev/null 2>&1\n"
        "else\n"
        f"n=0; while [ -e /run/openrc/rc.starting ] && [ $n -lt {seconds} ]; do sleep 1; n=$((n + 1)); done\n"
        "fi\n"
        f"if command -v udevadm >/dev/null; then udevadm settle --timeout={seconds}; fi\n"
        "true"
    )


def _checked(path: str, sha256: str) -> str:
    quoted = shlex.quote(path)
    return (
        f"printf '%s  %s\\n' {sha256} {quoted} | sha256sum -c - >/dev/null || "
        f"{{ printf 'metis-provision: %s is not the pinned payload\\n' {quoted} >&2; exit 1; }}"
    )

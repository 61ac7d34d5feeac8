"""QEMU: where it comes from, which accelerator works here, and the arguments of a lab machine."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from metis_provision.lab.apt import read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import obtain
from metis_provision.lab.pcie import Device
from metis_provision.lab.platforms import PC, Platform
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

OLDEST_QEMU = (10, 1)
"""The first release with vfio-user-pci (QEMU's ChangeLog 10.1)."""

NETWORK = "net"
"""QEMU's id of the machine's network."""

TOOLS_RELEASE = "trixie"

# What the loader does on every reset, so a kernel the guest installed is the one its next reboot gets: the links
# in / are kept by Debian's kernel packages. A menu the guest owns has precedence.
LOADER_CONFIG = """\
set root=(hd0)
serial --unit=0 --speed=115200
terminal_output serial
if [ -f /boot/grub/grub.cfg ]; then
    configfile /boot/grub/grub.cfg
fi
linux /vmlinuz root=LABEL=root ro console=ttyS0 quiet no_timer_check
initrd /initrd.img
boot
"""
LOADER_MODULES = ("biosdisk", "ext2", "linux", "serial", "terminal", "normal", "configfile", "test", "echo")

# 16-bit code at the reset vector: count down from ten million, then write 16 to the debug-exit port, on which
# QEMU leaves with 2*16+1. A hypervisor that accepts a virtual CPU but has to emulate its instructions
# one by one takes minutes for it, a processor's own virtualization milliseconds.
PROBE_ITERATIONS = 10_000_000
PROBE_EXIT = 33
PROBE_SECONDS = 3.0
_PROBE_SIZE, _PROBE_START, _RESET_VECTOR = 0x10000, 0xFF00, 0xFFF0


class Acceleration(StrEnum):
    """How the guest's instructions are carried out."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class Toolbox:
    """QEMU and the boot loader made for it; ``environment`` is added to ours when QEMU runs.

    ``loader`` is None for a computer whose kernel its own firmware finds.
    """

    qemu: tuple[str, ...]
    loader: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MachineShape:
    """What of a machine shows in QEMU's arguments; ``memory`` in MiB, ``bus`` in the order of PCI addresses.

    ``boot`` are the arguments that say what is started.
    """

    platform: Platform
    name: str
    memory: int
    cpus: int
    acceleration: Acceleration
    ssh_port: int
    disk: Path
    console: Path
    qmp: Path
    credentials: tuple[Path, ...]
    bus: tuple[Device, ...]
    boot: tuple[str, ...]


def qemu_version(text: str) -> tuple[int, int] | None:
    """Return major and minor of what QEMU's ``--version`` prints."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def own_qemu(platform: Platform = PC) -> str | None:
    """Return this machine's own QEMU for a platform if it is new enough."""
    path = shutil.which(platform.program)
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    version = qemu_version(answer.stdout)
    return path if version is not None and version >= OLDEST_QEMU else None


def toolbox(platform: Platform = PC) -> Toolbox:
    """Return QEMU and its boot loader, from the cache or built; UserError if that is impossible."""
    own = own_qemu(platform)
    packages = platform.loader_packages if own else (platform.qemu_package, *platform.loader_packages)
    if own and not packages:
        return Toolbox((own,), None)
    loader = {"loader": [LOADER_CONFIG, LOADER_MODULES]} if platform.loader_packages else {}
    recipe = {"packages": packages, "release": TOOLS_RELEASE, **loader, "layout": 1}
    entry = obtain("tools", recipe, lambda directory: _build_tools(directory, packages, platform))
    root = entry / "root"
    made = entry / "loader" if loader else None
    if own:
        return Toolbox((own,), made)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    data = [argument for part in platform.data for argument in ("-L", str(root / "usr/share" / part))]
    qemu = (*_run_from(root, platform.program), *data)
    return Toolbox(qemu, made, {"QEMU_MODULE_DIR": str(libraries / "qemu")})


def _run_from(root: Path, program: str) -> tuple[str, ...]:
    """Return the start of a command that runs a program of another Debian with that Debian's libraries.

    Its own dynamic linker does it: unlike chroot, this needs no mounts, and paths mean the same inside and outside.
    """
    linker = root / "usr/lib64/ld-linux-x86-64.so.2"
    return (str(linker), "--library-path", str(root / "usr/lib/x86_64-linux-gnu"), str(root / "usr/bin" / program))


def _build_tools(directory: Path, packages: tuple[str, ...], platform: Platform) -> None:
    setup = read_apt_setup()
    root = directory / "root"
    command = mmdebstrap_command(
        TOOLS_RELEASE,
        root,
        # Only unpacked: these programs need none of what package scripts set up.
        variant="extract",
        packages=packages,
        sources=setup.sources(TOOLS_RELEASE, backports=True),
        apt_options=(*setup.options, f'APT::Default-Release "{TOOLS_RELEASE}-backports";'),
    )
    bootstrap(command, f"QEMU for {platform.architecture}")
    if platform.loader_packages:
        _build_loader(root, directory)


def _build_loader(root: Path, directory: Path) -> None:
    modules = root / "usr/lib/grub/i386-pc"
    config, core = directory / "loader.cfg", directory / "core.img"
    config.write_text(LOADER_CONFIG)
    command = [
        *_run_from(root, "grub-mkimage"),
        f"--directory={modules}",
        "--format=i386-pc",
        "--prefix=(hd0)/boot/grub",
        f"--config={config}",
        f"--output={core}",
        *LOADER_MODULES,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"grub-mkimage failed: {result.stderr.strip()}", ExitCode.FAILED)
    # lnxboot makes GRUB look like a Linux kernel, which is what QEMU's -kernel starts.
    (directory / "loader").write_bytes((modules / "lnxboot.img").read_bytes() + core.read_bytes())


def probe_firmware() -> bytes:
    """Return a BIOS image that computes for a moment and then leaves QEMU with ``PROBE_EXIT``."""
    count = b"\x66\xb9" + PROBE_ITERATIONS.to_bytes(4, "little")  # mov ecx, PROBE_ITERATIONS
    loop = b"\x66\x49\x75\xfc"  # dec ecx; jnz to the dec
    leave = b"\xb0\x10\xe6\xf4\xf4"  # mov al, 16; out 0xf4, al; hlt
    code = count + loop + leave
    jump = b"\xe9" + ((_PROBE_START - _RESET_VECTOR - 3) & 0xFFFF).to_bytes(2, "little")
    image = bytearray(_PROBE_SIZE)
    image[_PROBE_START : _PROBE_START + len(code)] = code
    image[_RESET_VECTOR : _RESET_VECTOR + len(jump)] = jump
    return bytes(image)


def accelerator_works(tools: Toolbox, acceleration: Acceleration) -> bool:
    """Return whether a virtual CPU really computes, at a processor's pace, with this accelerator."""
    with tempfile.TemporaryDirectory(prefix="metis-lab-") as directory:
        firmware = Path(directory) / "probe.bin"
        firmware.write_bytes(probe_firmware())
        command = [
            *tools.qemu,
            *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "isapc", "-m", "16"),
            *("-accel", acceleration.value, "-bios", str(firmware)),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        ]
        try:
            result = subprocess.run(
                command, env=_environment(tools), capture_output=True, timeout=PROBE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return result.returncode == PROBE_EXIT


def choose_acceleration(tools: Toolbox, wanted: Acceleration) -> Acceleration:
    """Return KVM or TCG; UserError if KVM is asked for and does not work.

    Tried anew each time: a device node says little, and what worked yesterday may be taken today.
    """
    if wanted is Acceleration.TCG:
        return wanted
    if Path("/dev/kvm").exists() and accelerator_works(tools, Acceleration.KVM):
        return Acceleration.KVM
    if wanted is Acceleration.KVM:
        raise UserError("KVM does not work here (no usable /dev/kvm): leave --accel out, or use --accel tcg.")
    return Acceleration.TCG


def _environment(tools: Toolbox) -> dict[str, str] | None:
    return {"PATH": "/usr/bin:/bin", **tools.environment}


def qemu_arguments(shape: MachineShape) -> list[str]:
    """Return the arguments of a machine: the computer, user-mode network, QMP, then the bus."""
    kvm = shape.acceleration is Acceleration.KVM
    platform = shape.platform
    arguments = [
        *("-name", shape.name, "-no-user-config", "-nodefaults", "-display", "none"),
        # The card process maps the guest's memory to read and write it, as a card does.
        *("-object", f"memory-backend-memfd,id=ram,size={shape.memory}M,share=on"),
        *("-machine", platform.machine, "-m", str(shape.memory), "-smp", str(shape.cpus)),
        *("-accel", "kvm" if kvm else "tcg,thread=multi", "-cpu", "host" if kvm else platform.emulated_cpu),
        *("-rtc", "base=utc", "-device", platform.random),
        *shape.boot,
        # The guest's flushes are not passed on: losing a lab machine in a power failure costs nothing.
        *("-drive", f"file={shape.disk},format=raw,{platform.drive},cache=unsafe,discard=unmap"),
        *platform.disk,
        *("-netdev", f"user,id={NETWORK},ipv6=off,hostfwd=tcp:127.0.0.1:{shape.ssh_port}-:22"),
        *("-device", platform.network.format(network=NETWORK)),
        *("-chardev", f"file,id=console,path={shape.console},append=on", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,path={shape.qmp},server=on,wait=off", "-mon", "chardev=qmp,mode=control"),
        *platform.more,
    ]
    for credential in shape.credentials:
        arguments += platform.credential_arguments(credential)
    for device in shape.bus:
        arguments += ["-device", json.dumps(device)]
    return arguments

"""The hook at kernel updates: where each family has it, what it says, and that it never fails anybody's update."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from metis_provision.catalog.carriers import carrier
from metis_provision.desired.kernel_hook import PATHS, PROGRAM, files
from metis_provision.desired.platforms import KernelHook, platforms
from metis_provision.desired.state import desired_state, survey_request
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Survey
from metis_provision.render import bare_host

SETTINGS = Settings(driver_version="1.6.2", driver_source="driver.tar.gz", driver_sha256="d" * 64)
SHELLS = {"dash": "dash", "bash": "bash --posix", "busybox": "busybox sh"}
RELEASE = "6.12.57+deb13-amd64"
MODULES = f"/lib/modules/{RELEASE}"


def host_of(name: str) -> Survey:
    platform = next(platform for platform in platforms() if platform.name == name)
    return bare_host(platform, platform.inits[0], carrier("generic" if name != "raspios" else "rpi5-m2-hat-plus"))


@pytest.mark.parametrize(
    ("family", "hooks"),
    [
        ("debian", {KernelHook.POSTINST, KernelHook.HEADERS}),
        ("ubuntu", {KernelHook.POSTINST, KernelHook.HEADERS}),
        ("raspios", {KernelHook.POSTINST, KernelHook.HEADERS}),
        ("fedora", {KernelHook.KERNEL_INSTALL}),
        ("arch", {KernelHook.PACMAN}),
        ("alpine", {KernelHook.ALPINE}),
        ("gentoo", {KernelHook.POSTINST, KernelHook.KERNEL_INSTALL}),
    ],
)
def test_each_family_has_its_own_hooks(family: str, hooks: set[KernelHook]) -> None:
    found = {file.path: file for file in files(SETTINGS, host_of(family))}
    assert set(found) == {PROGRAM, *hooks}
    assert set(found) <= set(PATHS)
    assert all(file.mode == ("0644" if path == KernelHook.PACMAN else "0755") for path, file in found.items())


def test_it_comes_after_the_hooks_of_dkms() -> None:
    # Names as dkms 3 ships them, sorted as run-parts, kernel-install and pacman sort.
    for ours, theirs in (
        (KernelHook.POSTINST, ("dkms", "initramfs-tools", "dracut", "kdump-tools", "unattended-upgrades")),
        (KernelHook.HEADERS, ("dkms",)),
        (KernelHook.KERNEL_INSTALL, ("40-dkms.install", "50-dracut.install", "50-depmod.install")),
        (KernelHook.PACMAN, ("70-dkms-install.hook", "60-depmod.hook", "90-mkinitcpio-install.hook")),
    ):
        name = ours.rpartition("/")[2]
        assert all(name > other for other in theirs)
    # run-parts passes over every name with other characters than these.
    assert all(c.isalnum() or c in "-_" for c in KernelHook.POSTINST.rpartition("/")[2])


def test_switched_off_or_without_a_kernel_there_is_none() -> None:
    survey = host_of("debian")
    assert files(SETTINGS.model_copy(update={"kernel_hook": False}), survey) == ()
    assert files(Settings(cards=0, driver="none"), survey) == ()  # type: ignore[arg-type]
    assert files(SETTINGS, replace(survey, host=replace(survey.host, container="podman"))) == ()
    assert files(SETTINGS, replace(survey, host=replace(survey.host, os_release={"ID": "haiku"}))) == ()
    assert PROGRAM in {file.path for file in desired_state(SETTINGS, survey).files}
    assert set(PATHS) <= set(survey_request(SETTINGS).paths)


@dataclass
class Target:
    """A host made of files; the program and hooks as the deploy writes them, with this shell behind every ``sh``."""

    root: Path
    shell: str

    def write(self, path: str, text: str = "") -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def stub(self, name: str, body: str) -> None:
        self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)

    def run(self, *arguments: str, program: str = PROGRAM) -> list[str]:
        """What was logged; the status is always 0."""
        log = self.root / "log"
        log.unlink(missing_ok=True)
        env = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "METIS_ROOT": str(self.root)}
        command = [*self.shell.split(), str(self.root / program.lstrip("/")), *arguments]
        self.done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert self.done.returncode == 0
        return log.read_text().splitlines() if log.exists() else []


MODINFO = f"printf 'version:        1.6.2\\nvermagic:       {RELEASE} SMP mod_unload \\nsigner:         DKMS\\n'"


@pytest.fixture(params=list(SHELLS))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    made = Target(tmp_path, SHELLS[request.param])
    for family in ("debian", "fedora", "alpine"):
        for file in files(SETTINGS, host_of(family)):
            text = file.content.decode().replace(PROGRAM, str(tmp_path) + PROGRAM)
            made.write(file.path, text).chmod(int(file.mode, 8))
    made.stub("logger", f'echo "$@" >>{tmp_path}/log')
    made.stub("modinfo", MODINFO)
    made.write(f"{MODULES}/build/Makefile")
    made.write(f"{MODULES}/updates/dkms/metis.ko.xz")
    return made


def test_a_kernel_with_the_driver_is_noted(target: Target) -> None:
    assert target.run(RELEASE) == [
        f'-t metis-next-boot -p daemon.notice code=ok kernel={RELEASE} missing=nothing do="nothing"'
    ]
    assert target.done.stderr == ""


def told(target: Target, code: str, missing: str) -> str:
    """What to do, from the one line that was logged and shown."""
    (line,) = target.run(RELEASE)
    begin = f'-t metis-next-boot -p daemon.warning code={code} kernel={RELEASE} missing={missing} do="'
    assert line.startswith(begin)
    assert line.endswith('"')
    assert f"code={code}" in target.done.stderr
    return line.removeprefix(begin).removesuffix('"')


def test_missing_headers(target: Target) -> None:
    shutil.rmtree(target.root / f"{MODULES}/updates".lstrip("/"))
    shutil.rmtree(target.root / f"{MODULES}/build".lstrip("/"))
    assert told(target, "METIS-231", "headers").startswith(f"install the headers of {RELEASE}")


def test_a_module_that_nobody_built(target: Target) -> None:
    (target.root / f"{MODULES}/updates/dkms/metis.ko.xz".lstrip("/")).unlink()
    assert "run the deploy" in told(target, "METIS-232", "module")


def test_a_build_that_failed(target: Target) -> None:
    (target.root / f"{MODULES}/updates/dkms/metis.ko.xz".lstrip("/")).unlink()
    log = "/var/lib/dkms/metis/1.6.2/build/make.log"
    target.write(log, 'DKMS make.log for metis-1.6.2 for kernel 9.9 (x86_64)\na.c:1: error: "x"\n')
    told(target, "METIS-232", "module")
    target.write(log, f'DKMS make.log for metis-1.6.2 for kernel {RELEASE} (x86_64)\nCC a.o\na.c:1:2: error: no "x"\n')
    assert told(target, "METIS-232", "build").startswith("it does not compile: a.c:1:2: error: no 'x': pin a driver")


def test_another_version_and_another_kernels_module(target: Target) -> None:
    target.stub("modinfo", MODINFO.replace("1.6.2", "1.5.6"))
    assert told(target, "METIS-233", "version").startswith("1.5.6 is there, 1.6.2 is wanted")
    target.stub("modinfo", MODINFO.replace(RELEASE, "6.1.0-1-amd64"))
    assert "was built for 6.1.0-1-amd64" in told(target, "METIS-234", "vermagic")


def test_a_host_without_modinfo_is_not_accused(target: Target) -> None:
    target.stub("modinfo", "exit 127")
    assert "code=ok" in target.run(RELEASE)[0]


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("is not enrolled", "enrolment"),
        ("is already in the enrollment request", "confirmation"),
        ("is already enrolled", None),
    ],
)
def test_signatures(target: Target, said: str, missing: str | None) -> None:
    target.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    target.write("/var/lib/dkms/mok.pub", "x")
    for status in (0, 1):
        target.stub("mokutil", f'echo "$2 {said}"; exit {status}')
        if missing:
            told(target, "METIS-235", missing)
        else:
            assert "code=ok" in target.run(RELEASE)[0]
    target.stub("modinfo", MODINFO.partition("signer")[0] + "'")
    told(target, "METIS-235", "signature")
    # Busybox's modinfo names no signer where there is one.
    module = target.root / f"{MODULES}/updates/dkms/metis.ko.xz".lstrip("/")
    module.write_bytes(lzma.compress(b"x~Module signature appended~\n"))
    assert f"missing={missing or 'nothing'} " in target.run(RELEASE)[0]
    module.write_bytes(lzma.compress(b"x"))
    target.write("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    assert "code=ok" in target.run(RELEASE)[0]


def test_the_initramfs(target: Target) -> None:
    target.write("/usr/lib/metis-provision/initramfs-inputs", "#!/bin/sh\necho holds metis\necho lacks /etc/x\n").chmod(
        0o755
    )
    assert "code=ok" in target.run(RELEASE)[0]
    target.write(f"/boot/initrd.img-{RELEASE}")
    assert "run the deploy" in told(target, "METIS-623", "initramfs")


@pytest.mark.parametrize("arguments", [(), ("",), ("--help",), ("../../etc",)])
def test_arguments_that_are_no_release_say_nothing(target: Target, arguments: tuple[str, ...]) -> None:
    assert target.run(*arguments) == []


def test_without_a_log_nothing_fails(target: Target) -> None:
    target.stub("logger", "exit 1")
    assert target.run(RELEASE) == []
    assert target.run("9.9") == []
    assert "code=METIS-231" in target.done.stderr


@pytest.mark.parametrize(
    ("hook", "arguments", "looks"),
    [
        (KernelHook.POSTINST, (RELEASE, f"/boot/vmlinuz-{RELEASE}"), True),
        (KernelHook.HEADERS, (RELEASE,), True),
        (KernelHook.KERNEL_INSTALL, ("add", RELEASE, "/boot/x"), True),
        (KernelHook.KERNEL_INSTALL, ("remove", RELEASE, "/boot/x"), False),
        (KernelHook.ALPINE, ("amd64", RELEASE.removesuffix("-amd64"), "6.1"), True),
        (KernelHook.ALPINE, ("amd64", "", "6.1"), False),
        (KernelHook.POSTINST, (), False),
    ],
)
def test_hooks_hand_the_release_on(target: Target, hook: KernelHook, arguments: tuple[str, ...], looks: bool) -> None:
    assert len(target.run(*arguments, program=hook)) == int(looks)
    # Without the program, as after a package was taken back by hand, a hook is silent.
    (target.root / PROGRAM.lstrip("/")).unlink()
    assert target.run(*arguments, program=hook) == []


def test_pacmans_hook_is_one() -> None:
    (hook,) = (file for file in files(SETTINGS, host_of("arch")) if file.path == KernelHook.PACMAN)
    lines = hook.content.decode().splitlines()
    assert {"[Trigger]", "[Action]", "Type = Path", "When = PostTransaction"} <= set(lines)
    (execute,) = (line for line in lines if line.startswith("Exec = "))
    assert execute.startswith("Exec = /bin/sh -c '")
    script = execute.removeprefix("Exec = /bin/sh -c '").removesuffix("'")
    assert "'" not in script
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0

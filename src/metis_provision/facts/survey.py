"""The survey as pyinfra facts: all of it as one typed value, and each section on its own for the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, ClassVar, TypeVar, cast

from pyinfra.api.exceptions import FactProcessError, FactValueError
from pyinfra.api.facts import FactBase

from metis_provision.model.survey import PASSIVE, Section, Survey, SurveyRequest, plain
from metis_provision.survey.parser import SurveyIncomplete, read_survey
from metis_provision.survey.script import survey_command

_T = TypeVar("_T")
Names = str | Iterable[str]


def _read(output: list[str]) -> Survey:
    try:
        return read_survey(output)
    except SurveyIncomplete as error:
        raise FactProcessError(str(error)) from error


def _command(request: SurveyRequest) -> str:
    try:
        return survey_command(request)
    except ValueError as error:
        raise FactValueError(str(error)) from error


def _sections(names: Names) -> tuple[Section, ...]:
    try:
        return tuple(Section(name) for name in _names(names))
    except ValueError as error:
        raise FactValueError(f"{error}; a survey has the sections {', '.join(Section)}") from error


def _names(values: Names) -> tuple[str, ...]:
    """Take what pyinfra's command line gives: one name, or several with commas between them."""
    if isinstance(values, str):
        return tuple(name for name in values.split(",") if name)
    return tuple(str(value) for value in values)


def survey_arguments(request: SurveyRequest) -> dict[str, Any]:
    """``request`` as the arguments of ``MetisSurvey`` and its kin, in types that pyinfra can compare."""
    given = {field.name: getattr(request, field.name) for field in fields(request)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


class MetisSurvey(FactBase[Survey]):
    """One look at a host, as a ``metis_provision.model.survey.Survey``; one remote command.

    The arguments are the fields of ``SurveyRequest``; all passive sections unless told otherwise. The value is None
    only if the host could not be asked at all: never an empty host.
    """

    def command(
        self,
        sections: Names = PASSIVE,
        paths: Names = (),
        users: Names = (),
        groups: Names = (),
        packages: Names = (),
        group: str = "axelera",
        image: str | None = None,
        self_test_model: str | None = None,
        self_test_seconds: int = 2,
        load_seconds: int | None = None,
        inference: Names = (),
        aipu_cores: int | None = None,
        limit: int | None = None,
    ) -> str:
        """Return the text that surveys the host."""
        return _command(
            SurveyRequest(
                sections=_sections(sections),
                paths=_names(paths),
                users=_names(users),
                groups=_names(groups),
                packages=_names(packages),
                group=group,
                image=image,
                self_test_model=self_test_model,
                self_test_seconds=int(self_test_seconds),
                load_seconds=None if load_seconds is None else int(load_seconds),
                inference=_names(inference),
                aipu_cores=None if aipu_cores is None else int(aipu_cores),
                limit=None if limit is None else int(limit),
            )
        )

    def process(self, output: list[str]) -> Survey:
        """Parse it; output that ends early fails the host."""
        return _read(output)


class _SectionFact(FactBase[_T]):
    """A fact that asks for one section and shows one or more fields of the survey as JSON types."""

    section: ClassVar[Section]
    field: ClassVar[str]

    def process(self, output: list[str]) -> _T:
        """Show this section's field; output that ends early fails the host."""
        return cast(_T, plain(getattr(_read(output), self.field)))


class _NamelessFact(_SectionFact[_T]):
    """A section that needs no names from outside."""

    def command(self) -> str:
        """Return the text that looks at this section alone."""
        return _command(SurveyRequest(sections=(self.section,)))


class MetisHost(_NamelessFact[dict[str, Any]]):
    """Operating system, machine and clock.

    .. code:: python

        {"os_release": {"ID": "debian", "VERSION_ID": "13"}, "rpi_issue": False, "architecture": "x86_64",
         "userland": "amd64", "model": None, "init": "systemd", "container": None, "boot_id": "6d0f...",
         "epoch": 1767225600, "uid": 0, "page_size": 4096, "free_kib": {"/": 20971520, "/boot": 524288},
         "tools": {"dkms": "/usr/sbin/dkms"}, "secure_boot": False}
    """

    section = Section.HOST
    field = "host"


class MetisKernels(_NamelessFact[list[dict[str, Any]]]):
    """Kernels on disk and the driver's module in each.

    .. code:: python

        [{"release": "6.12.63+deb13-amd64", "running": True, "headers": True,
          "module_path": "/lib/modules/6.12.63+deb13-amd64/updates/dkms/metis.ko.xz", "module_version": "1.6.2",
          "vermagic": "6.12.63+deb13-amd64 SMP preempt mod_unload modversions", "dmabuf_heaps": True,
          "srcversion": "5A0C57EB1F4E2BD92A3F8C6", "signed": True, "signer": "DKMS module signing key",
          "signing_key": "3b51d40a3c1ff2c3d0d7e4c64a60d09b1c0f9ab3"}]
    """

    section = Section.KERNELS
    field = "kernels"


class MetisPci(_NamelessFact[list[dict[str, Any]] | None]):
    """Cards, other accelerators, and every bridge above them; None without a PCI bus.

    .. code:: python

        [{"bdf": "0000:01:00.0", "vendor": "1f9d", "device": "1100", "class_code": "120000", "revision": "02",
          "driver": "axl", "current_speed": 8.0, "current_width": 4, "max_speed": 8.0, "max_width": 4,
          "path": ["0000:00:01.0"], "bars": [4096, 0, 33554432, 0, 0, 0], "config_reads_ff": False,
          "max_payload": 128, "max_read_request": 512}]
    """

    section = Section.PCI
    field = "pci"


class MetisDriver(_NamelessFact[dict[str, Any]]):
    """The driver in memory.

    .. code:: python

        {"loaded": True, "version": "1.6.2", "srcversion": "5A0C57EB1F4E2BD92A3F8C6", "bound": ["0000:01:00.0"],
         "parameters": {"single_msi": "0"}}
    """

    section = Section.DRIVER
    field = "driver"


class MetisNodes(_NamelessFact[list[dict[str, Any]]]):
    """Device nodes of the cards, the links that lead to them, and who holds them.

    .. code:: python

        [{"path": "/dev/metis-0-1-0", "bdf": "0000:01:00.0", "device_class": "metis", "owner": "root",
          "group": "axelera", "mode": "0660", "links": ["/dev/axelera0", "/dev/metis-0:1:0"],
          "holders": [{"pid": 812, "command": "frigate", "user": "frigate"}], "holders_known": True}]
    """

    section = Section.NODES
    field = "nodes"


class MetisDkms(_NamelessFact[list[dict[str, Any]] | None]):
    """What DKMS says of the driver; None where DKMS is not installed.

    .. code:: python

        [{"module": "metis", "version": "1.6.2", "kernel": "6.12.63+deb13-amd64", "architecture": "x86_64",
          "state": "installed", "remark": None}]
    """

    section = Section.DKMS
    field = "dkms"


class MetisAccounts(_SectionFact[dict[str, Any]]):
    """Users and groups, those of ``users``, ``groups`` and ``group`` that exist.

    .. code:: python

        {"users": {"frigate": {"name": "frigate", "id": 998, "groups": ["frigate", "axelera"], "members": []}},
         "groups": {"axelera": {"name": "axelera", "id": 997, "groups": [], "members": ["frigate"]}}}
    """

    section = Section.ACCOUNTS

    def command(self, users: Names = ("frigate", "hass"), groups: Names = (), group: str = "axelera") -> str:
        """Return the text that looks these accounts up."""
        return _command(
            SurveyRequest(sections=(self.section,), users=_names(users), groups=_names(groups), group=group)
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        """Show both kinds of account."""
        survey = _read(output)
        return {"users": plain(survey.users), "groups": plain(survey.groups)}


class MetisFiles(_SectionFact[dict[str, Any]]):
    """What lies at each of ``paths``.

    .. code:: python

        {"/etc/modules-load.d/metis.conf": {"path": "/etc/modules-load.d/metis.conf", "kind": "file",
         "sha256": "9f86...", "mode": "0644", "owner": "root", "group": "root", "target": None}}
    """

    section = Section.FILES
    field = "files"

    def command(self, paths: Names) -> str:
        """Return the text that looks at ``paths``."""
        return _command(SurveyRequest(sections=(self.section,), paths=_names(paths)))


class MetisPackages(_SectionFact[dict[str, str]]):
    """Installed version of each of ``packages`` that is installed.

    .. code:: python

        {"dkms": "3.2.2-1~deb13u1"}
    """

    section = Section.PACKAGES
    field = "packages"

    def command(self, packages: Names) -> str:
        """Return the text that asks the package manager for ``packages``."""
        return _command(SurveyRequest(sections=(self.section,), packages=_names(packages)))


class MetisBoot(_NamelessFact[dict[str, Any]]):
    r"""What the firmware of a Raspberry Pi reads at boot, and what the running device tree says.

    .. code:: python

        {"config_path": "/boot/firmware/config.txt", "config": "dtparam=pciex1\n", "mount_point": "/boot/firmware",
         "file_system": "vfat", "read_only": False, "cmdline": "console=tty1 root=PARTUUID=...",
         "overlays": ["pcie-32bit-dma-pi5"], "configfs": True, "pcie_enabled": True, "pcie_generation": 2,
         "changed": ["/boot/firmware/config.txt"]}
    """

    section = Section.BOOT
    field = "boot"


class MetisInitramfs(_NamelessFact[dict[str, Any]]):
    """What makes the host's initramfs, and the image that is loaded with each kernel.

    .. code:: python

        {"generator": "initramfs-tools",
         "images": [{"kernel": "6.12.63+deb13-amd64", "path": "/boot/initrd.img-6.12.63+deb13-amd64",
                     "identity": "24117248 1767225600", "inputs": "9f86...",
                     "record": ["9f86...", "24117248 1767225600"]}]}
    """

    section = Section.INITRAMFS
    field = "initramfs"


class MetisImages(_NamelessFact[list[dict[str, Any]]]):
    """What should be in each image and whether it is; unpacks them, which takes seconds.

    .. code:: python

        [{"kernel": "6.12.63+deb13-amd64", "name": "/etc/udev/rules.d/99-axelera.rules", "held": True}]
    """

    section = Section.IMAGES
    field = "image_items"


class MetisServices(_NamelessFact[dict[str, Any] | None]):
    """Services called ``axelera*``; None where neither systemd nor OpenRC runs.

    .. code:: python

        {"axelera-watchdog": {"name": "axelera-watchdog", "enabled": True, "state": "active",
         "detail": "loaded enabled running success", "ran": True, "stale": False}}
    """

    section = Section.SERVICES
    field = "services"


class MetisPast(_NamelessFact[dict[str, Any]]):
    """What other tools and older hands may have left: udev rules, units, sources and modules.

    .. code:: python

        {"rules": [{"path": "/etc/udev/rules.d/72-axelera.rules", "text": 'SUBSYSTEM=="metis", MODE="0666"'}],
         "units": ["/etc/systemd/system/axelera.service"], "dracut_modules": [],
         "sources": [{"path": "/usr/src/metis-1.5.0", "version": "1.5.0", "has_conf": False, "owner": None}],
         "modules": [{"path": "/lib/modules/6.12.63+deb13-amd64/extra/metis.ko",
                      "kernel": "6.12.63+deb13-amd64", "owner": None}]}
    """

    section = Section.PAST
    field = "past"


class MetisState(_NamelessFact[dict[str, Any]]):
    """What this project left on the host: its receipt's text, long steps, and whether a run is under way.

    .. code:: python

        {"receipt": None, "jobs": {"dkms": {"name": "dkms", "running": False, "status": 0, "key": "5c1d..."}},
         "locked": False}
    """

    section = Section.STATE

    def process(self, output: list[str]) -> dict[str, Any]:
        """Show receipt, jobs and lock."""
        survey = _read(output)
        return {"receipt": survey.receipt, "jobs": plain(survey.jobs), "locked": survey.locked}


class MetisLog(_NamelessFact[list[str]]):
    """The last 40 lines of the kernel log that speak of the card.

    .. code:: python

        ["[   12.345678] axl 0000:01:00.0: MSI registered 32 (32)"]
    """

    section = Section.LOG
    field = "log"


class MetisAccess(_SectionFact[list[dict[str, str]]]):
    """Opens each node as each of ``users`` that exists, as a member of ``group`` and as an outsider.

    Needs root; a node that a process holds is not opened.

    .. code:: python

        [{"who": "frigate", "node": "/dev/metis-0-1-0", "result": "ok", "detail": ""},
         {"who": "outsider", "node": "/dev/metis-0-1-0", "result": "denied",
          "detail": "sh: 1: cannot create /dev/metis-0-1-0: Permission denied"}]
    """

    section = Section.ACCESS
    field = "attempts"

    def command(self, users: Names = ("frigate", "hass"), group: str = "axelera") -> str:
        """Return the text that tries these identities."""
        return _command(SurveyRequest(sections=(self.section,), users=_names(users), group=group))


class MetisDevices(_NamelessFact[dict[str, Any] | None]):
    """What ``axdevice`` prints; None while a process holds a card.

    .. code:: python

        {"command": "axdevice", "status": 0,
         "output": ["Device 0: metis-0:1:0 1GiB m2 flver=1.3.2 bcver=1.4 clock=800MHz(0-3:800MHz) mvm=0-3:100%"]}
    """

    section = Section.DEVICES
    field = "devices"


class MetisSelfTest(_SectionFact[dict[str, Any] | None]):
    """What ``axrunmodel`` prints for ``model``, a path on the host; None while a process holds a card.

    .. code:: python

        {"command": "axrunmodel /usr/share/metis/model.json --seconds 2", "status": 0,
         "output": ["Device throughput: 469.2 FPS"]}
    """

    section = Section.SELF_TEST
    field = "self_test"

    def command(self, model: str, seconds: int = 2) -> str:
        """Return the text that runs ``model`` for ``seconds``."""
        return _command(SurveyRequest(sections=(self.section,), self_test_model=model, self_test_seconds=int(seconds)))


class MetisLoad(_SectionFact[dict[str, Any] | None]):
    """Keeps the cards at work with ``model`` for ``seconds`` and looks at links, counters and clocks meanwhile.

    None while a process holds a card.

    .. code:: python

        {"looks": 121, "interval": 1,
         "links": [{"seconds": 0, "bdf": "0000:01:00.0", "speed": 8.0, "width": 4, "status": 4163}],
         "errors": [{"bdf": "0000:00:01.0", "before": 0, "after": 3, "kind": "correctable"}], "interrupts": [],
         "temperatures": [], "clocks": {"before": ["Device 0: ... clock=800MHz(0-3:800MHz) mvm=0-3:100%"]}}
    """

    section = Section.LOAD
    field = "load"

    def command(self, model: str, seconds: int = 120) -> str:
        """Return the text that runs ``model`` for ``seconds``."""
        return _command(SurveyRequest(sections=(self.section,), self_test_model=model, load_seconds=int(seconds)))

"""What an operator may set for a host: flat ``metis_`` keys of host and group data, typed and refused early."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metis_provision.model.errors import UserError
from metis_provision.model.runtime_rules import combination_mistake, image_reference, model_mistake
from metis_provision.model.verdict import Level

PREFIX = "metis_"

CLOCKS_MHZ = (100, 200, 400, 600, 700, 800)
"""What ``axdevice --set-clock`` takes (the vendor's documents)."""
PAYLOAD_BYTES = (128, 256, 512, 1024, 2048, 4096)
"""Max_Payload_Size and Max_Read_Request_Size (PCI Express Base, section 7.5.3.4)."""

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"[0-9][0-9A-Za-z.+~-]*")


class DriverSource(StrEnum):
    """Where the kernel driver comes from."""

    DKMS = "dkms"
    PACKAGE = "package"
    VENDOR = "vendor"
    NONE = "none"


class RuntimeSource(StrEnum):
    """Where the runtime (``axdevice``, ``axrunmodel``) comes from."""

    DEB = "deb"
    APT = "apt"
    PIP = "pip"
    CONTAINER = "container"
    NONE = "none"


class Engine(StrEnum):
    """What runs the runtime's container; auto takes the one that is there."""

    AUTO = "auto"
    PODMAN = "podman"
    DOCKER = "docker"


class InitramfsChoice(StrEnum):
    """What goes into the host's initramfs; auto asks the carrier catalogue."""

    AUTO = "auto"
    DRIVER = "driver"
    FILES = "files"
    NONE = "none"


class Wish(StrEnum):
    """What matters more of an inference."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class Reboot(StrEnum):
    """Whether a host may be rebooted."""

    NEVER = "never"
    IF_NEEDED = "if-needed"


class Reload(StrEnum):
    """What becomes of a driver in memory that is not the one on disk."""

    NEVER = "never"
    IF_FREE = "if-free"


class PastPolicy(StrEnum):
    """What becomes of files, units, modules and DKMS trees that other tools and older hands left."""

    REPLACE = "replace"
    LEAVE = "leave"


class WhenBusy(StrEnum):
    """What verification does with a card that another process holds."""

    SKIP = "skip"
    FAIL = "fail"


def _account(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("is not a user or group name (lower-case letters, digits, '_' and '-', at most 32)")
    return value


def _sha256(value: str) -> str:
    if value.upper() == "SKIP":
        raise ValueError("is SKIP, which would install whatever arrives: pin the sha256 of a payload you have checked")
    if not _SHA256.fullmatch(value.lower()):
        raise ValueError("is not a sha256 (64 hexadecimal digits)")
    return value.lower()


def _version(value: str) -> str:
    if not VERSION.fullmatch(value):
        raise ValueError("is not a version (it starts with a digit and holds no spaces or slashes)")
    return value


def _mode(value: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError("is not an octal mode such as 0660")
    if int(value, 8) & 0o007:
        raise ValueError("would open the card to every user of the host; the last digit must be 0")
    return f"{int(value, 8):04o}"


def _absolute(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._+/-]+", value) or ".." in value.split("/"):
        raise ValueError("is not an absolute path of letters, digits and . _ + - /")
    return value


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/?&=%+@\[\]-]+", value):
        raise ValueError("is not a URL (http:// or https://, without spaces)")
    return value


def _suite(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", value):
        raise ValueError("is not a name of apt's (letters, digits and . _ - /)")
    return value


def _fingerprint(value: str) -> str:
    packed = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9A-F]{40}", packed):
        raise ValueError("is not the fingerprint of a key (40 hexadecimal digits; a short key id proves nothing)")
    return packed


def _overlay(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("is not the name of an overlay (its file's name without directory and .dtbo)")
    return value


def _boot_line(value: str) -> str:
    # 98: the firmware reads no further in a line of config.txt.
    if not re.fullmatch(r"[A-Za-z0-9_]+=[!-~]([ -~]*[!-~])?", value) or len(value) > 98:
        raise ValueError("is not a line for config.txt: name=value in printable characters, at most 98")
    return value


def _runtime_overlay(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", value):
        return value.removesuffix(".dtbo")
    if value.endswith(".dtbo"):
        return _absolute(value)
    raise ValueError("is neither the name of an overlay (letters, digits and . _ + -) nor an absolute path to a .dtbo")


def _throttle(value: str) -> str:
    parts = value.split(":")
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,3}", part) for part in parts):
        raise ValueError("is not T:H:L (degrees Celsius, degrees of hysteresis, MVM percent), for example 85:5:40")
    threshold, hysteresis, percent = map(int, parts)
    if not (20 <= threshold <= 200 and 1 <= hysteresis < threshold and 1 <= percent <= 100):
        raise ValueError("is out of range: T 20 to 200, H from 1 to below T, L 1 to 100")
    return value


def _clock(value: int) -> int:
    if value not in CLOCKS_MHZ:
        raise ValueError(f"is not a clock of the card: {', '.join(map(str, CLOCKS_MHZ))}")
    return value


def _payload_size(value: int) -> int:
    if value != 0 and value not in PAYLOAD_BYTES:
        raise ValueError(f"is neither 0 (leave it) nor a size of PCI Express: {', '.join(map(str, PAYLOAD_BYTES))}")
    return value


def _reason(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: say why the failure is accepted")
    return value.strip()


def _day(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return date.fromisoformat(value)
    raise ValueError("is not a day such as 2026-12-31")


Account = Annotated[str, AfterValidator(_account)]
RuntimeOverlay = Annotated[str, AfterValidator(_runtime_overlay)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Version = Annotated[str, AfterValidator(_version)]
NodeMode = Annotated[str, AfterValidator(_mode)]
OverlayName = Annotated[str, AfterValidator(_overlay)]
BootLine = Annotated[str, AfterValidator(_boot_line)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Url = Annotated[str, AfterValidator(_url)]
SuiteName = Annotated[str, AfterValidator(_suite)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
ImageReference = Annotated[str, AfterValidator(image_reference)]


class Accepted(BaseModel):
    """A check's failure that an operator accepts on a host, why, and the last day on which that counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, AfterValidator(_reason)]
    until: Annotated[date, BeforeValidator(_day)]


class Settings(BaseModel):
    """Everything a host may set; each field is the key ``metis_<field>`` in the inventory."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cards: int = Field(1, ge=0, le=64, description="Cards expected; 0 for a host that only carries the files.")
    carrier: str = Field("generic", description="Board the card sits on, a name from the carrier catalogue.")
    group: Account = Field("axelera", description="Group that may use the card.")
    group_gid: int | None = Field(None, ge=1, le=65533, description="Fixed gid of a group that is created.")
    node_mode: NodeMode = Field("0660", description="Mode of the device node.")
    service_users: list[Account] = Field(
        default_factory=lambda: ["frigate", "hass"], description="Accounts that join the group if they exist."
    )
    create_users: bool = Field(False, description="Create service users that do not exist.")
    release: Version | None = Field(
        None, description="Release of the SDK: driver and runtime version that belong together, and their pins."
    )
    pins: str = Field("pins", min_length=1, description="Directory on the controller with the pins files of releases.")
    driver: DriverSource = Field(
        DriverSource.DKMS,
        strict=False,
        description="How the kernel driver is installed: dkms (from its source), package (ours, made by "
        "`metis-provision package`), vendor (the vendor's .deb) or none.",
    )
    driver_version: Version | None = Field(None, description="Version of the driver.")
    driver_source: str | None = Field(None, description="The driver on the controller: tarball or package.")
    driver_sha256: Sha256 | None = Field(None, description="Its sha256; there is no way to skip it.")
    past: PastPolicy = Field(
        PastPolicy.REPLACE,
        strict=False,
        description="What other tools and older hands left: replace (contents are kept on the host) or leave.",
    )
    module_options: dict[str, int] = Field(default_factory=dict, description="Options the driver is loaded with.")
    reload: Reload = Field(
        Reload.NEVER,
        strict=False,
        description="A driver in memory that is not the one on disk: never, or if-free to load it anew when nobody "
        "holds a card.",
    )
    kernel_hook: bool = Field(
        True, description="Log at every kernel update whether the card will be there when that kernel boots."
    )
    boot_config: bool = Field(True, description="Keep what the carrier needs in config.txt of a Raspberry Pi.")
    boot_lines: list[BootLine] = Field(
        default_factory=list, description="More lines for config.txt, in force for this board only."
    )
    overlays: list[OverlayName] | None = Field(
        None, description="Overlays that config.txt loads, instead of the carrier's; each must be on the host."
    )
    reboot: Reboot = Field(
        Reboot.NEVER, strict=False, description="Whether a host may be rebooted: never or if-needed."
    )
    reboot_before: str | None = Field(
        None,
        min_length=1,
        description="Shell command on the controller before a reboot; METIS_HOST names the host.",
    )
    reboot_after: str | None = Field(
        None, min_length=1, description="Shell command on the controller after it; METIS_HOST names the host."
    )
    reboot_timeout: int = Field(600, ge=30, le=7200, description="Seconds a host may take to come back.")
    reboots_at_once: int = Field(1, ge=1, le=1000, description="How many hosts may reboot at the same time.")
    runtime: RuntimeSource = Field(
        RuntimeSource.NONE,
        strict=False,
        description="How the runtime is installed: deb (a file), apt, pip, container or none; see runtime.md.",
    )
    runtime_version: Version | None = Field(None, description="Version of the runtime.")
    runtime_source: str | None = Field(
        None,
        description="File on the controller: the package (deb), requirements with hashes (pip), an image's archive.",
    )
    runtime_sha256: Sha256 | None = Field(None, description="Its sha256; there is no way to skip it.")
    runtime_url: Url | None = Field(None, description="Repository of apt, or index of pip.")
    runtime_suite: SuiteName | None = Field(
        None, description="Suite in apt's repository; by the host's Ubuntu release."
    )
    runtime_component: SuiteName | None = Field(None, description="Component of the suite; main if none is given.")
    runtime_key: str | None = Field(None, description="File on the controller with the key that signs the repository.")
    runtime_key_fingerprint: Fingerprint | None = Field(None, description="Fingerprint of that key, 40 digits.")
    runtime_wheels: dict[str, Sha256] | None = Field(
        None, min_length=1, description="Wheels on the controller and their sha256, for hosts that reach no index."
    )
    runtime_image: ImageReference | None = Field(
        None,
        description="Image by digest: NAME@sha256:... to pull, or sha256:ID of the archive in metis_runtime_source.",
    )
    runtime_engine: Engine | None = Field(
        None, strict=False, description="podman, docker or auto: the one that is there, else podman is installed."
    )
    runtime_privileged: bool | None = Field(
        None, description="Run the container privileged instead of with SYS_RAWIO, SYS_ADMIN, the nodes and the heap."
    )
    model_source: str | None = Field(None, description="Compiled model on the controller, for the self-test.")
    model_sha256: Sha256 | None = Field(None, description="Its sha256; there is no way to skip it.")
    model_release: Version | None = Field(None, description="Version of the runtime that it was compiled for.")
    model_operations: int | None = Field(None, ge=1, description="Operations of one inference of it.")
    initramfs: InitramfsChoice = Field(
        InitramfsChoice.AUTO,
        strict=False,
        description="What goes into the initramfs: driver, files (overlays and rules), none, or auto by carrier.",
    )
    self_test: bool = Field(True, description="Run an inference on the card and check its answer.")
    self_test_model: AbsolutePath | None = Field(
        None, description="Compiled model on the host that the self-test runs."
    )
    inference: AbsolutePath | None = Field(
        None,
        description="inference.py on the host, or in the image where metis_runtime is container, which the self-test "
        "runs in place of axrunmodel; needs metis_inference_model and metis_inference_source.",
    )
    inference_model: str | None = Field(None, min_length=1, description="Name of the network that inference.py runs.")
    inference_source: str | None = Field(None, min_length=1, description="What inference.py takes its frames from.")
    inference_frames: int = Field(200, ge=1, le=1_000_000, description="How many frames inference.py takes.")
    self_test_seconds: int = Field(2, ge=1, le=600, description="How long the self-test runs.")
    min_firmware: Version | None = Field(
        None, description="Oldest flashed firmware of the card that is accepted, such as 1.4.0; unset, any is."
    )
    verify_level: Level = Field(
        Level.MEDIUM,
        strict=False,
        description="How far verification goes: quick (only looks), medium (asks the card, short inference) or long "
        "(minutes of inference, watched).",
    )
    verify_seconds: int | None = Field(
        None,
        ge=5,
        le=90_000,
        description="Seconds that verification may take on the host; by default 120, 300, and for long 300 more than "
        "the inference takes.",
    )
    long_seconds: int = Field(120, ge=10, le=86_400, description="How long the inference of level long runs.")
    self_test_memory: int | None = Field(
        None, ge=1, description="Bytes that one instance of the self-test's model takes on the card: plans its cores."
    )
    self_test_for: Wish = Field(
        Wish.THROUGHPUT, strict=False, description="What the self-test's cores are planned for: throughput or latency."
    )
    card_memory: int | None = Field(
        None, ge=1, le=1024, description="GiB that one AIPU of the card has; 1 on most M.2."
    )
    min_fps: float | None = Field(None, gt=0, strict=False, description="Throughput floor of the self-test.")
    when_busy: WhenBusy = Field(
        WhenBusy.SKIP, strict=False, description="A card held by a process: skip what needs it, or fail."
    )
    waivers: dict[str, Accepted] = Field(
        default_factory=dict,
        description="Failures that are accepted for a time, by code: reason, and until as the last day (2026-12-31).",
    )
    watchdog: bool | None = Field(
        None, description="Log the card's health every minute; by default where cards are expected."
    )
    runtime_overlays: list[RuntimeOverlay] = Field(
        default_factory=list, description="Device-tree overlays loaded while the host runs: names or paths of .dtbo."
    )
    rescan: bool | None = Field(
        None, description="Take cards off the bus and find them again once per boot; by default as the carrier needs."
    )
    max_payload: Annotated[int, AfterValidator(_payload_size)] | None = Field(
        None, description="Max payload and read request in bytes of card and root port; 0: left alone; by carrier."
    )
    clock_mhz: Annotated[int, AfterValidator(_clock)] | None = Field(
        None, description="Clock of the card after every boot, in MHz, for example for a weak supply."
    )
    mvm_limit: int | None = Field(None, ge=1, le=100, description="MVM utilisation of the card, in percent.")
    throttle: Annotated[str, AfterValidator(_throttle)] | None = Field(
        None, description="Software throttling as T:H:L: above T degrees Celsius MVM at L percent, until H cooler."
    )

    @model_validator(mode="after")
    def _payloads_are_pinned(self) -> Self:
        if self.driver is not DriverSource.NONE:
            self._need_pin("driver", "metis_driver = 'none'")
        return self

    @model_validator(mode="after")
    def _runtime_and_model_belong_together(self) -> Self:
        given = {name: value for name, value in self if name.startswith(("runtime_", "model_")) and value is not None}
        given.pop("runtime_overlays")
        mistake = combination_mistake(self.runtime.value, given) or model_mistake(
            self.runtime.value, given, self.self_test_model
        )
        if mistake:
            raise ValueError(mistake)
        return self

    @model_validator(mode="after")
    def _payload_is_set_by_the_rescan(self) -> Self:
        if self.max_payload and self.rescan is False:
            raise ValueError(
                f"{PREFIX}max_payload is set by the rescan, which {PREFIX}rescan = False switches off: drop one of them"
            )
        return self

    @model_validator(mode="after")
    def _inference_is_whole(self) -> Self:
        parts = {"inference": self.inference, "inference_model": self.inference_model}
        parts["inference_source"] = self.inference_source
        missing = [name for name, value in parts.items() if value is None]
        if missing and len(missing) < len(parts):
            raise ValueError(
                f"{PREFIX}{missing[0]} is missing: set {PREFIX}inference, {PREFIX}inference_model and "
                f"{PREFIX}inference_source, or none of them"
            )
        for name, value in parts.items():
            if value is not None and not re.fullmatch(r"[^\x00-\x1f\x7f\\]+", value):
                raise ValueError(f"{PREFIX}{name} holds control characters or backslashes, which no command can bear")
        return self

    @model_validator(mode="after")
    def _the_inference_fits_into_the_time(self) -> Self:
        taken = self.self_test_seconds + (self.long_seconds if self.verify_level is Level.LONG else 0)
        if self.verify_seconds is not None and self.verify_level is not Level.QUICK and taken >= self.verify_seconds:
            raise ValueError(
                f"{PREFIX}verify_seconds = {self.verify_seconds} leaves no room for {taken} seconds of inference: "
                f"raise it, or lower {PREFIX}self_test_seconds or {PREFIX}long_seconds"
            )
        return self

    def _need_pin(self, payload: str, way_out: str) -> None:
        for part in ("version", "source", "sha256"):
            if getattr(self, f"{payload}_{part}") is None:
                pin = (
                    f"pin it (metis-provision pin {self.release})"
                    if self.release
                    else f"set {PREFIX}release and pin it"
                )
                raise ValueError(
                    f"{PREFIX}{payload}_{part} is missing: set version, source and sha256 of the {payload}, {pin}, "
                    f"or set {way_out}"
                )


def settings_mistakes(data: Mapping[str, Any]) -> list[str]:
    """Every mistake in a host's ``metis_`` keys, one sentence each; empty when they make valid settings."""
    try:
        Settings.model_validate(_own_keys(data))
    except ValidationError as error:
        return [_sentence(dict(detail)) for detail in error.errors()]
    return []


def settings_from(data: Mapping[str, Any], where: str) -> Settings:
    """Typed settings from a host's merged data.

    ``where`` names the host in the message; keys without the prefix are other people's and ignored.
    Raises ``UserError`` with one line per mistake.
    """
    mistakes = settings_mistakes(data)
    if mistakes:
        raise UserError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    return Settings.model_validate(_own_keys(data))


def _own_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(PREFIX): value for key, value in data.items() if key.startswith(PREFIX)}


def _sentence(detail: dict[str, Any]) -> str:
    path = [str(part) for part in detail["loc"]]
    key = PREFIX + ".".join(path) if path else ""
    if detail["type"] == "missing":
        return f"{key} is missing: a waiver needs a reason and the last day on which it counts (until)"
    if detail["type"] == "extra_forbidden" and len(path) > 1:
        return f"{key} is not part of a waiver, which has reason and until"
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[0], list(Settings.model_fields), n=1)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else "see docs/settings for the keys there are"
        return f"{key} is not a setting; {hint}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    shown = f" (it is {detail['input']!r})" if not isinstance(detail["input"], dict) else ""
    return f"{key} {message[0].lower() + message[1:]}{shown}"

"""What an operator may set for a host: flat ``metis_`` keys of host and group data, typed and refused early."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from metis_provision.model.errors import UserError

PREFIX = "metis_"

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+~-]*")


class DriverSource(StrEnum):
    """Where the kernel driver comes from."""

    DKMS = "dkms"
    NONE = "none"


class RuntimeSource(StrEnum):
    """Where the runtime (``axdevice``, ``axrunmodel``) comes from."""

    DEB = "deb"
    NONE = "none"


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
    if not _VERSION.fullmatch(value):
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


Account = Annotated[str, AfterValidator(_account)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Version = Annotated[str, AfterValidator(_version)]
NodeMode = Annotated[str, AfterValidator(_mode)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


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
    driver: DriverSource = Field(
        DriverSource.DKMS, strict=False, description="How the kernel driver is installed: dkms or none."
    )
    driver_version: Version | None = Field(None, description="Version of the driver's source.")
    driver_source: str | None = Field(None, description="Tarball of the driver's source on the controller.")
    driver_sha256: Sha256 | None = Field(None, description="Its sha256; there is no way to skip it.")
    module_options: dict[str, int] = Field(default_factory=dict, description="Options the driver is loaded with.")
    runtime: RuntimeSource = Field(
        RuntimeSource.NONE, strict=False, description="How the runtime is installed: deb or none."
    )
    runtime_version: Version | None = Field(None, description="Version of the runtime.")
    runtime_source: str | None = Field(None, description="Package of the runtime on the controller.")
    runtime_sha256: Sha256 | None = Field(None, description="Its sha256; there is no way to skip it.")
    self_test: bool = Field(True, description="Run an inference on the card and check its answer.")
    self_test_model: AbsolutePath | None = Field(
        None, description="Compiled model on the host that the self-test runs."
    )
    self_test_seconds: int = Field(2, ge=1, le=600, description="How long the self-test runs.")
    min_fps: float | None = Field(None, gt=0, strict=False, description="Throughput floor of the self-test.")
    when_busy: WhenBusy = Field(
        WhenBusy.SKIP, strict=False, description="A card held by a process: skip what needs it, or fail."
    )

    @model_validator(mode="after")
    def _payloads_are_pinned(self) -> Self:
        if self.driver is DriverSource.DKMS:
            self._need_pin("driver", "metis_driver = 'none'")
        if self.runtime is RuntimeSource.DEB:
            self._need_pin("runtime", "metis_runtime = 'none'")
        return self

    def _need_pin(self, payload: str, way_out: str) -> None:
        for part in ("version", "source", "sha256"):
            if getattr(self, f"{payload}_{part}") is None:
                raise ValueError(
                    f"{PREFIX}{payload}_{part} is missing: set version, source and sha256 of the {payload}, "
                    f"or {way_out}"
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
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[0], list(Settings.model_fields), n=1)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else "see docs/settings for the keys there are"
        return f"{key} is not a setting; {hint}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    shown = f" (it is {detail['input']!r})" if not isinstance(detail["input"], dict) else ""
    return f"{key} {message[0].lower() + message[1:]}{shown}"

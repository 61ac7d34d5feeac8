"""What an earlier run left on a host, as the host's own receipt tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metis_provision.model.artifact import Concern, RuntimeKind

RECEIPT_PATH = "/var/lib/metis-provision/receipt.json"
PREVIOUS_DIR = "/var/lib/metis-provision/previous"
PAYLOAD_DIR = "/var/cache/metis-provision"


class ReceiptUnreadable(ValueError):
    """The receipt on the host is not one of ours, or not whole."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ReceiptFile(_Part):
    """A file we wrote. ``original`` is the sha256 of what lay there before us, kept under its digest; None: nothing."""

    sha256: str
    mode: str
    owner: str
    group: str
    original: str | None = None
    concern: Concern = Concern.ACCESS


class ReceiptBoot(_Part):
    """The config.txt that holds, or held, a block of ours; ``original`` is the sha256 of the file before the first."""

    path: str
    original: str


class ReceiptPayload(_Part):
    """A pinned payload that was installed."""

    name: str
    version: str
    sha256: str


class ReceiptRuntime(_Part):
    """A runtime that we installed; the fields are those of ``InstalledRuntime``."""

    kind: RuntimeKind
    name: str
    engine: str = ""


class Receipt(_Part):
    """Everything we did to a host that somebody may want undone."""

    schema_version: Literal[1] = 1
    files: dict[str, ReceiptFile] = Field(default_factory=dict)
    groups: tuple[str, ...] = ()
    """Groups we created."""
    users: tuple[str, ...] = ()
    """Users we created."""
    memberships: tuple[tuple[str, str], ...] = ()
    """(user, group) pairs we added."""
    packages: tuple[str, ...] = ()
    """Packages that were missing and that we asked the package manager for."""
    boot: ReceiptBoot | None = None
    payloads: dict[str, ReceiptPayload] = Field(default_factory=dict)
    runtimes: tuple[ReceiptRuntime, ...] = ()
    """Runtimes that we installed and did not remove yet."""
    set_aside: tuple[str, ...] = ()
    """Paths that others left and that we removed; their contents are in ``PREVIOUS_DIR``, its index says which."""

    def to_bytes(self) -> bytes:
        """The text that is stored on the host."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def read_receipt(text: str | None) -> Receipt:
    """The receipt in ``text``, an empty one if there is none. Raises ReceiptUnreadable."""
    if text is None:
        return Receipt()
    try:
        return Receipt.model_validate_json(text)
    except ValidationError as error:
        raise ReceiptUnreadable(str(error.errors()[0]["msg"])) from error

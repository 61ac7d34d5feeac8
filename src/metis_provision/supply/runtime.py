"""What the runtime's ways need from the controller besides pinned files: a signing key, requirements with hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from metis_provision.model.errors import UserError
from metis_provision.model.runtime_rules import DISTRIBUTION
from metis_provision.model.settings import RuntimeSource, Settings
from metis_provision.supply.signing import key_mistake

_HASH = re.compile(r"\s--hash[= ](?P<hash>\S+)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def signing_key(settings: Settings) -> bytes | None:
    """The content of ``metis_runtime_key``, None where apt is given none. Raises UserError if it cannot be read."""
    if settings.runtime is not RuntimeSource.APT or settings.runtime_key is None:
        return None
    try:
        return Path(settings.runtime_key).expanduser().read_bytes()
    except OSError as error:
        raise UserError(
            f"metis_runtime_key: {settings.runtime_key} cannot be read ({error.strerror}); give a file's path"
        ) from error


def runtime_mistakes(settings: Settings) -> list[str]:
    """Why what the settings name for the runtime cannot be handed to a host, one sentence each."""
    try:
        return [*_key_mistakes(settings), *_requirements_mistakes(settings)]
    except UserError as error:
        return str(error).splitlines()


def _key_mistakes(settings: Settings) -> Iterator[str]:
    if signing_key(settings) is None or settings.runtime_key is None or settings.runtime_key_fingerprint is None:
        return
    mistake = key_mistake(Path(settings.runtime_key).expanduser(), settings.runtime_key_fingerprint)
    if mistake:
        yield f"metis_runtime_key: {mistake}"


def _requirements_mistakes(settings: Settings) -> Iterator[str]:
    """What pip would refuse on every host, and what would make it look elsewhere than it was told to."""
    if settings.runtime is not RuntimeSource.PIP or settings.runtime_source is None:
        return
    path = Path(settings.runtime_source).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return  # the pin of the file says so already
    found: dict[str, Requirement] = {}
    for line in _logical_lines(text):
        named, _, _ = line.partition(" --hash")
        hashes = [entry["hash"] for entry in _HASH.finditer(line)]
        try:
            requirement = Requirement(named.strip())
        except InvalidRequirement:
            yield f"metis_runtime_source: {path.name} has a line that is no requirement with hashes: {line!r}"
            continue
        if not hashes or not all(_SHA256.fullmatch(entry) for entry in hashes):
            yield (
                f"metis_runtime_source: {path.name} has no sha256 for {requirement.name}: "
                "write the file with pip-compile --generate-hashes"
            )
        found[canonicalize_name(requirement.name)] = requirement
    own = found.get(DISTRIBUTION)
    if own is None or str(own.specifier) != f"=={settings.runtime_version}":
        asked = f"{DISTRIBUTION}=={settings.runtime_version}"
        yield f"metis_runtime_source: {path.name} does not hold {asked}, which metis_runtime_version asks for"


def _logical_lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*", "", line).strip()
        if bare:
            yield bare

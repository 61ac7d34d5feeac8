"""Which settings of the runtime and its model belong together: one sentence for the first that does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

DISTRIBUTION = "axelera-rt"
"""What the vendor's index calls the runtime (the vendor's documents)."""

_NAMED = re.compile(r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}")
_IDENTITY = re.compile(r"sha256:[0-9a-f]{64}")
_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(-[0-9][A-Za-z0-9_.]*)?(-[A-Za-z0-9_.]+){3}\.whl"
)


@dataclass(frozen=True, slots=True)
class _Way:
    """What one way of installing the runtime takes besides its version."""

    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_FILE = ("runtime_source", "runtime_sha256")
_WAYS: Mapping[str, _Way] = {
    "none": _Way(),
    "deb": _Way(needs=("runtime_version", *_FILE)),
    "apt": _Way(
        needs=("runtime_version", "runtime_url", "runtime_key", "runtime_key_fingerprint"),
        takes=("runtime_suite", "runtime_component"),
    ),
    "pip": _Way(needs=("runtime_version",), takes=("runtime_url", "runtime_wheels", *_FILE)),
    "container": _Way(
        needs=("runtime_version", "runtime_image"), takes=("runtime_engine", "runtime_privileged", *_FILE)
    ),
}
_OURS = tuple(dict.fromkeys(key for way in _WAYS.values() for key in (*way.needs, *way.takes)))
_MODEL = ("model_source", "model_sha256", "model_release")


def image_reference(value: str) -> str:
    """Accept ``NAME@sha256:DIGEST`` and ``sha256:ID``; ValueError for anything that can mean another image tomorrow."""
    if not _NAMED.fullmatch(value) and not _IDENTITY.fullmatch(value):
        raise ValueError(
            "names no image by its digest: NAME@sha256:<64 digits> is pulled by the host, "
            "sha256:<64 digits> is the id of one handed over as metis_runtime_source"
        )
    return value


def wheel_name(source: str) -> tuple[str, str] | None:
    """Name (as an index spells it) and version in a wheel's file name (PEP 427), None if it is no such name."""
    found = _WHEEL.fullmatch(source.rpartition("/")[2])
    return (re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"]) if found else None


def combination_mistake(way: str, given: Mapping[str, object]) -> str | None:
    """What is wrong with the keys in ``given`` (without prefix, only those that are set) for this way, or None."""
    if way == "none":
        # A host may switch off what its group sets up.
        return None
    known = _WAYS[way]
    foreign = [key for key in _OURS if key in given and key not in (*known.needs, *known.takes)]
    if foreign:
        ways = " or ".join(f"'{name}'" for name, other in _WAYS.items() if foreign[0] in (*other.needs, *other.takes))
        return (
            f"metis_{foreign[0]} is for metis_runtime = {ways}, and this host has '{way}': "
            "drop it (or set it to None where a group gives it), or change the way"
        )
    missing = [key for key in known.needs if key not in given]
    if missing:
        *others, last = (key.removeprefix("runtime_") for key in known.needs)
        wanted = f"{', '.join(others)} and {last}" if others else last
        return f"metis_{missing[0]} is missing: set {wanted} of the runtime, or metis_runtime = 'none'"
    return {"pip": _pip_mistake, "container": _container_mistake}.get(way, _nothing)(given)


def model_mistake(way: str, given: Mapping[str, object], host_path: str | None) -> str | None:
    """What is wrong with the model's keys in ``given``; ``host_path`` is a model that is on the host already."""
    named = [key for key in (*_MODEL, "model_operations") if key in given]
    if not named or (named == ["model_operations"] and host_path is not None):
        return None
    missing = [key for key in _MODEL if key not in given]
    if missing:
        return f"metis_{missing[0]} is missing: set source, sha256 and release of the model, or none of them"
    if host_path is not None:
        return "metis_model_source and metis_self_test_model both name the self-test's model: drop one of them"
    release, version = given["model_release"], given.get("runtime_version")
    if way != "none" and release != version:
        return (
            f"metis_model_release: {given['model_source']} was compiled for release {release}, and the runtime is "
            f"{version}: a model runs on the release it was compiled for, so compile it for {version} "
            f"or install runtime {release}"
        )
    return None


def _pip_mistake(given: Mapping[str, object]) -> str | None:
    if "runtime_wheels" in given:
        clash = [key for key in ("runtime_url", *_FILE) if key in given]
        if clash:
            return (
                f"metis_runtime_wheels hands over every wheel with its sha256, so metis_{clash[0]} has no place "
                "beside it: drop one of them"
            )
        return _wheels_mistake(given)
    missing = [key for key in ("runtime_url", *_FILE) if key not in given]
    if missing:
        return (
            f"metis_{missing[0]} is missing: for pip set either metis_runtime_wheels, or metis_runtime_url (the index) "
            "with metis_runtime_source and metis_runtime_sha256 (a file of requirements with their hashes)"
        )
    if _is_plain_http_elsewhere(str(given["runtime_url"])):
        return (
            "metis_runtime_url is http, which pip refuses from other machines: give an https address, or hand the "
            "wheels over with metis_runtime_wheels"
        )
    return None


def _is_plain_http_elsewhere(url: str) -> bool:
    """Whether pip would ignore an index: what it trusts without TLS is the loopback (pip's ``SECURE_ORIGINS``)."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname != "localhost"


def _wheels_mistake(given: Mapping[str, object]) -> str | None:
    wheels, version = given["runtime_wheels"], given["runtime_version"]
    names = {source: wheel_name(source) for source in wheels} if isinstance(wheels, dict) else {}
    for source, name in names.items():
        if name is None:
            return f"metis_runtime_wheels: {source} is not named as a wheel is (name-version-python-abi-platform.whl)"
    if (DISTRIBUTION, version) not in names.values():
        return f"metis_runtime_wheels holds no {DISTRIBUTION} {version}, which metis_runtime_version asks for"
    return None


def _container_mistake(given: Mapping[str, object]) -> str | None:
    handed_over = [key for key in _FILE if key in given]
    if len(handed_over) == 1:
        other = next(key for key in _FILE if key not in given)
        return f"metis_{other} is missing: an image that is handed over has source and sha256"
    named = str(given["runtime_image"]).partition("@")[1]
    if handed_over and named:
        return (
            "metis_runtime_image names an image to pull, and metis_runtime_source hands one over: "
            "drop the source, or give the id that podman image inspect prints (sha256:...)"
        )
    if not handed_over and not named:
        return (
            "metis_runtime_image is the id of an image and says not where it is: hand it over as metis_runtime_source, "
            "or name it as NAME@sha256:DIGEST"
        )
    return None


def _nothing(given: Mapping[str, object]) -> str | None:  # noqa: ARG001 - the ways without rules of their own
    return None

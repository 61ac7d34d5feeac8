"""Versions that belong together: what a release stands for, and why versions contradict it or each other."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metis_provision.catalog.releases import Release, covers, releases, series
from metis_provision.model.settings import PREFIX


def find_release(name: str) -> Release | None:
    """The catalogue's release ``name``, which may be one of a series that the catalogue has as a whole."""
    known = releases()
    if name in known:
        return known[name]
    return known.get(series(name)) if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", name) else None


def versions(name: str, release: Release) -> dict[str, str]:
    """Driver and runtime version that ``metis_release = name`` stands for; no runtime if only its series is known."""
    found = {"driver": release.drivers[0]}
    if name not in releases():
        found["runtime"] = name
    elif release.runtime != series(release.runtime):
        found["runtime"] = release.runtime
    return found


def release_mistakes(name: str, release: Release, driver: str | None, runtime: str | None) -> list[str]:
    """Why explicit versions do not belong to the release that was chosen, one sentence each."""
    found = []
    if driver and not any(covers(stated, driver) for stated in release.drivers):
        found.append(_outside("driver", driver, name, _either(release.drivers), _with_driver(driver)))
    if runtime and not covers(versions(name, release).get("runtime", release.runtime), runtime):
        found.append(_outside("runtime", runtime, name, release.runtime, _with_runtime(runtime)))
    return found


def pair_mistakes(driver: str | None, runtime: str | None) -> list[str]:
    """Why a driver and a runtime that were named without a release do not belong together.

    The catalogue cannot know what came out after it: a version it does not list passes if its series is the one that
    belongs to the other, or if it knows neither of the two.
    """
    if not driver or not runtime:
        return []
    of_driver, of_runtime = _with_driver(driver), _with_runtime(runtime)
    if set(of_driver) & set(of_runtime) or not (of_driver or of_runtime):
        return []
    if not of_runtime and series(runtime) in {series(releases()[name].runtime) for name in of_driver}:
        return []
    if not of_driver and series(driver) in {series(one) for name in of_runtime for one in releases()[name].drivers}:
        return []
    pairs = "; ".join([*_pairs("driver", driver, of_driver), *_pairs("runtime", runtime, of_runtime)])
    return [
        f"{PREFIX}driver_version {driver} and {PREFIX}runtime_version {runtime} do not belong together: {pairs}; "
        f"drop both and set "
        f"{PREFIX}release = {_either(repr(name) for name in dict.fromkeys([*of_driver, *of_runtime]))}"
    ]


def runtime_of(driver: str) -> str | None:
    """The runtime that goes with a driver, None for a driver that the catalogue does not have."""
    return next((releases()[name].runtime for name in _with_driver(driver)), None)


def _outside(part: str, version: str, name: str, belongs: str, elsewhere: list[str]) -> str:
    other = f", or set {PREFIX}release = {_either(map(repr, elsewhere))}, to which it belongs" if elsewhere else ""
    return (
        f"{PREFIX}{part}_version {version} does not belong to {PREFIX}release {name}, whose {part} is {belongs}: "
        f"drop it{other}"
    )


def _pairs(part: str, version: str, names: list[str]) -> list[str]:
    known = [releases()[name] for name in names]
    if part == "driver":
        return [f"driver {version} goes with runtime {_either(release.runtime for release in known)}"] if known else []
    return [f"runtime {version} goes with driver {_either(release.drivers[0] for release in known)}"] if known else []


def _with_driver(version: str) -> list[str]:
    return [name for name, one in releases().items() if any(covers(stated, version) for stated in one.drivers)]


def _with_runtime(version: str) -> list[str]:
    return [name for name, one in releases().items() if covers(one.runtime, version)]


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)

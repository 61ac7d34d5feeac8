"""Check of versions against each other: the driver in memory and the runtime belong to one release."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.catalog.releases import covers, releases, series
from metis_provision.checks.evidence import Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown
from metis_provision.model.survey import Section

checks = Checks()

_RUNTIME = "axelera-runtime-"


@checks.answers("METIS-206")
def in_lockstep(evidence: Evidence) -> Iterator[Outcome]:
    """Every runtime that is installed goes with the driver in memory."""
    driver = evidence.driver.version
    evidence.need(Section.PACKAGES)
    runtimes = _runtimes(evidence)
    if driver is None:
        yield skipped("no driver is in memory (METIS-201)")
        return
    if not runtimes:
        yield skipped("no runtime is installed that says its version")
    for runtime in runtimes:
        yield _pair(driver, runtime)


def _pair(driver: str, runtime: str) -> Outcome:
    of_driver = [name for name, one in releases().items() if any(covers(stated, driver) for stated in one.drivers)]
    of_runtime = [name for name, one in releases().items() if covers(one.runtime, runtime)]
    fitting = {stated for name in of_runtime for stated in releases()[name].drivers}
    if set(of_driver) & set(of_runtime):
        return passed(f"Driver {driver} and runtime {runtime} belong together.", subject=runtime)
    if of_driver and of_runtime:
        return failed(
            about=runtime,
            short=f"runtime {runtime}",
            driver=driver,
            runtime=runtime,
            fitting=" or ".join(sorted(fitting)),
        )
    # What came out after the catalogue is judged by its series, as the settings are.
    runtimes = {series(releases()[name].runtime) for name in of_driver}
    if series(driver) in {series(stated) for stated in fitting} or series(runtime) in runtimes:
        return passed(f"Driver {driver} and runtime {runtime} are of series that belong together.", subject=runtime)
    stranger = f"driver {driver}" if not of_driver else f"runtime {runtime}"
    return unknown(
        f"the catalogue of releases does not have {stranger}",
        "See the vendor's release notes for what belongs together; a newer metis-provision may know it.",
        subject=runtime,
    )


def _runtimes(evidence: Evidence) -> list[str]:
    """Versions in the names of packages; and that of the wanted one, if it is there in a way without a package."""
    named = {name.removeprefix(_RUNTIME) for name in evidence.survey.packages if name.startswith(_RUNTIME)}
    wanted = evidence.desired.runtime
    if wanted is not None and not named and wanted.is_on(evidence.survey):
        named.add(wanted.version)
    return sorted(named)

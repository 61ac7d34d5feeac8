"""What others left: told from what is ours, and set aside only where nothing else and no package depends on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metis_provision.desired.access import UDEV_RULES, VENDOR_RULES, files
from metis_provision.desired.difference import PastChange, difference
from metis_provision.desired.past import kernels_of
from metis_provision.desired.state import desired_state
from metis_provision.model.artifact import Concern, Fate, Leftover, LeftoverKind
from metis_provision.model.receipt import Receipt
from metis_provision.model.settings import PastPolicy, Settings
from metis_provision.model.survey import (
    DkmsBuild,
    FileState,
    Host,
    Kernel,
    ModuleFile,
    Past,
    RuleLine,
    SourceTree,
    Survey,
)

KERNEL = "6.12.63+deb13-amd64"
SETTINGS = Settings(driver_version="1.6.2", driver_source="driver.tar.gz", driver_sha256="d" * 64)
LEAVE = SETTINGS.model_copy(update={"past": PastPolicy.LEAVE})
HOST = Survey(
    host=Host(os_release={"ID": "debian"}, uid=0),
    kernels=(Kernel(KERNEL, running=True, headers=True),),
    dkms=(DkmsBuild("metis", "1.6.2", KERNEL, "x86_64", "installed"),),
)
DOCUMENTED = 'SUBSYSTEM=="pci", ATTR{vendor}=="0x1f0f", ATTR{device}=="0x0001", GROUP="axelera", MODE="0660"'
MARK = "/usr/src/metis-1.6.2/.payload-sha256"


def leftovers(past: Past, settings: Settings = SETTINGS, **changes: object) -> list[tuple[str, Fate, str]]:
    state = desired_state(settings, replace(HOST, past=past, **changes))
    return [(item.path, item.fate, item.why) for item in state.leftovers]


def rule(path: str, *lines: str) -> Past:
    return Past(rules=tuple(RuleLine(path, line) for line in lines))


def source(path: str, owner: str | None = None, *, conf: bool = True) -> Past:
    return Past(sources=(SourceTree(path, path.rpartition("-")[2], conf, owner),))


def test_a_host_that_was_not_looked_at_or_has_nothing_has_no_leftovers() -> None:
    assert desired_state(SETTINGS, HOST).leftovers == ()
    assert leftovers(Past()) == []


def test_our_own_rules_are_no_leftovers() -> None:
    ours = [line for line in files(SETTINGS)[1].content.decode().splitlines() if line and not line.startswith("#")]
    assert leftovers(rule(UDEV_RULES, *ours)) == []


@pytest.mark.parametrize(
    ("past", "fate"),
    [
        (rule(UDEV_RULES, DOCUMENTED), Fate.REPLACED),
        (rule("/etc/udev/rules.d/99-axelera.rules", 'SUBSYSTEM=="accel", ATTRS{vendor}=="0x1e81"'), Fate.SET_ASIDE),
        (rule("/etc/udev/rules.d/50-local.rules", 'KERNEL=="sda"', DOCUMENTED), Fate.LEFT),
        (rule(VENDOR_RULES, 'SUBSYSTEM=="metis", MODE="0666"'), Fate.OVERRIDDEN),
        (Past(units=("/etc/systemd/system/axelera.service",)), Fate.SET_ASIDE),
        (Past(units=("/etc/systemd/system/axelera-lights.service",)), Fate.LEFT),
        (Past(dracut_modules=("/usr/lib/dracut/modules.d/95rpi-hardware/module-setup.sh",)), Fate.SET_ASIDE),
        (Past(dracut_modules=("/usr/lib/dracut/modules.d/90my-rpi-hardware/module-setup.sh",)), Fate.LEFT),
        (source("/usr/src/metis-1.5.0", conf=False), Fate.SET_ASIDE),
        (source("/usr/src/metis-1.4.16", "metis-dkms"), Fate.LEFT),
        (source("/usr/src/metis-1.6.2"), Fate.REPLACED),
        (Past(modules=(ModuleFile(f"/lib/modules/{KERNEL}/extra/metis.ko", KERNEL),)), Fate.SET_ASIDE),
        (Past(modules=(ModuleFile(f"/lib/modules/{KERNEL}/extra/metis.ko", KERNEL, "kmod-metis"),)), Fate.LEFT),
    ],
)
def test_what_is_recognised_and_what_becomes_of_it(past: Past, fate: Fate) -> None:
    ((_, found, why),) = leftovers(past)
    assert found is fate
    assert bool(why) == (fate is Fate.LEFT)


def test_rules_that_speak_of_the_card_in_their_own_right_are_left_out_of_it() -> None:
    assert leftovers(rule("/etc/udev/rules.d/80-site.rules", 'SUBSYSTEM=="metis", SYMLINK+="ai"')) == []


def test_a_source_with_our_mark_is_ours() -> None:
    marked = {MARK: FileState(MARK, "file", "0" * 64)}
    assert leftovers(source("/usr/src/metis-1.6.2"), files=marked) == []


def test_modules_that_dkms_installed_are_no_leftovers() -> None:
    place = f"/lib/modules/{KERNEL}/updates/dkms/metis.ko.xz"
    past = Past(modules=(ModuleFile(place, KERNEL),))
    assert leftovers(past) == []
    assert leftovers(past, dkms=()) == [(place, Fate.SET_ASIDE, "")]


def test_other_versions_in_dkms_go_unless_a_package_brought_them() -> None:
    builds = (*(HOST.dkms or ()), DkmsBuild("metis", "1.5.0", None, None, "added"))
    assert leftovers(Past(), dkms=builds) == [("/var/lib/dkms/metis/1.5.0", Fate.SET_ASIDE, "")]
    owned = leftovers(source("/usr/src/metis-1.5.0", "metis-dkms"), dkms=builds)
    assert [fate for _, fate, _ in owned] == [Fate.LEFT, Fate.LEFT]
    assert all("belongs to package metis-dkms" in why for *_, why in owned)


def test_the_only_driver_of_a_kernel_that_nothing_can_be_built_for_stays() -> None:
    other = Kernel("6.1.0-38-amd64", running=False, headers=False)
    builds = (*(HOST.dkms or ()), DkmsBuild("metis", "1.5.0", other.release, "x86_64", "installed"))
    found = leftovers(source("/usr/src/metis-1.5.0"), dkms=builds, kernels=(*HOST.kernels, other))
    assert [fate for _, fate, _ in found] == [Fate.LEFT, Fate.LEFT]
    assert all("it is the driver of kernel 6.1.0-38-amd64, which has no headers" in why for *_, why in found)
    with_headers = leftovers(Past(), dkms=builds, kernels=(*HOST.kernels, replace(other, headers=True)))
    assert [fate for _, fate, _ in with_headers] == [Fate.SET_ASIDE]


def test_a_driver_that_is_not_ours_to_install_is_not_ours_to_set_aside() -> None:
    past = Past(modules=(ModuleFile(f"/lib/modules/{KERNEL}/extra/metis.ko", KERNEL),))
    assert leftovers(past, Settings(driver="none")) == []  # type: ignore[arg-type]


def test_what_is_to_be_left_stays_and_is_not_written_over() -> None:
    survey = replace(HOST, past=rule(UDEV_RULES, DOCUMENTED))
    state = desired_state(LEAVE, survey)
    assert UDEV_RULES not in {file.path for file in state.files}
    assert [(item.fate, item.why) for item in state.leftovers] == [(Fate.LEFT, "metis_past says so")]
    assert difference(LEAVE, state, survey, Receipt()).past is None
    assert UDEV_RULES in {file.path for file in desired_state(SETTINGS, survey).files}


def test_the_vendors_rule_is_overridden_whatever_the_setting() -> None:
    assert leftovers(rule(VENDOR_RULES, 'MODE="0666"'), LEAVE)[0][1] is Fate.OVERRIDDEN


@pytest.mark.parametrize(
    ("settings", "owner", "words"),
    [(LEAVE, None, "metis_past says so"), (SETTINGS, "metis-dkms", "remove the package")],
)
def test_a_source_that_has_to_stay_where_ours_must_go_is_refused(
    settings: Settings, owner: str | None, words: str
) -> None:
    (blocker,) = desired_state(settings, replace(HOST, past=source("/usr/src/metis-1.6.2", owner))).blockers
    assert blocker.startswith("/usr/src/metis-1.6.2 holds driver source 1.6.2 of another origin")
    assert words in blocker


def test_the_plan_names_what_is_set_aside() -> None:
    survey = replace(HOST, past=source("/usr/src/metis-1.5.0", conf=False))
    state = desired_state(SETTINGS, survey)
    change = difference(SETTINGS, state, survey, Receipt())
    assert change.past == PastChange(state.leftovers)
    reason = "set aside /usr/src/metis-1.5.0: driver source 1.5.0 without a dkms.conf"
    assert change.reasons[Concern.PAST] == (reason,)


def test_the_kernels_whose_modules_change() -> None:
    paths = (f"/lib/modules/{KERNEL}/extra/metis.ko", f"/lib/modules/{KERNEL}/misc/metis.ko", "/usr/src/metis-1")
    items = tuple(Leftover(path, LeftoverKind.MODULE, "", Fate.SET_ASIDE) for path in paths)
    assert kernels_of(items) == (KERNEL,)

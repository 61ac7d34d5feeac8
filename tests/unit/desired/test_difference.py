"""From settings and a survey to what is left to do: nothing on a host that is as wanted."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from metis_provision.desired import driver
from metis_provision.desired.access import CARD_NAMES, UDEV_RULES
from metis_provision.desired.difference import Difference, difference
from metis_provision.desired.payloads import host_path
from metis_provision.desired.state import desired_state, survey_request
from metis_provision.model.artifact import Concern, DesiredState
from metis_provision.model.receipt import Receipt, ReceiptFile
from metis_provision.model.settings import Reload, Settings
from metis_provision.model.survey import (
    Account,
    DkmsBuild,
    Driver,
    FileState,
    Holder,
    Host,
    Kernel,
    ModuleFile,
    Node,
    Past,
    PciFunction,
    RuleLine,
    Survey,
)

NOTHING_DONE = Receipt()
RELEASE = "6.12.63+deb13-amd64"
SETTINGS = Settings(
    driver_version="1.6.2",
    driver_source="driver.tar.gz",
    driver_sha256="d" * 64,
    runtime="deb",
    runtime_version="1.8.0",
    runtime_source="runtime.deb",
    runtime_sha256="e" * 64,
)
BARE = Survey(
    host=Host(
        os_release={"ID": "debian", "VERSION_ID": "13"},
        architecture="x86_64",
        userland="amd64",
        uid=0,
        epoch=1_800_000_000,
    ),
    kernels=(Kernel(RELEASE, running=True, headers=False),),
    driver=Driver(loaded=False),
    nodes=(),
)


SERVED = Kernel(
    RELEASE,
    running=True,
    headers=True,
    module_path=f"/lib/modules/{RELEASE}/updates/dkms/metis.ko",
    vermagic=f"{RELEASE} SMP preempt mod_unload modversions",
)


def written(*paths: str) -> Receipt:
    entry = ReceiptFile(sha256="0", mode="0644", owner="root", group="root")
    return Receipt(files=dict.fromkeys(paths, entry))


def desired(settings: Settings = SETTINGS, survey: Survey = BARE) -> DesiredState:
    return desired_state(settings, survey)


def left(survey: Survey, settings: Settings = SETTINGS, receipt: Receipt = NOTHING_DONE) -> Difference:
    return difference(settings, desired_state(settings, survey), survey, receipt)


def converged(settings: Settings = SETTINGS) -> Survey:
    """The bare host after everything that is desired was done to it."""
    wanted = desired(settings)
    assert wanted.dkms is not None
    files = {
        file.path: FileState(file.path, "file", file.sha256, file.mode, file.owner, file.group) for file in wanted.files
    }
    for path, content in ((wanted.dkms.conf_path, wanted.dkms.conf), (wanted.dkms.mark_path, wanted.dkms.mark)):
        files[path] = FileState(path, "file", hashlib.sha256(content).hexdigest(), "0644", "root", "root")
    node = Node("/dev/metis-0-1-0", "0000:01:00.0", "metis", "root", "axelera", "0660", links=("/dev/axelera0",))
    return replace(
        BARE,
        kernels=(SERVED,),
        driver=Driver(loaded=True, version="1.6.2"),
        pci=(PciFunction("0000:01:00.0", "1f9d", "1100", "120000"),),
        nodes=(node,),
        dkms=(DkmsBuild("metis", "1.6.2", RELEASE, "x86_64", "installed"),),
        groups={"axelera": Account("axelera", 999)},
        files=files,
        packages={"dkms": "3", "kmod": "1", "pciutils": "1", "acl": "2", "axelera-runtime-1.8.0": "1.8.0"},
    )


def test_a_bare_host_needs_everything() -> None:
    reasons = left(BARE).reasons
    expected = [Concern.PACKAGES, Concern.ACCESS, Concern.DRIVER, Concern.CARD, Concern.RUNTIME, Concern.SERVICES]
    assert list(reasons) == expected
    assert f"install linux-headers-{RELEASE}" in reasons[Concern.PACKAGES]
    assert "create group axelera" in reasons[Concern.ACCESS]
    assert f"write {UDEV_RULES}" in reasons[Concern.ACCESS]
    assert f"build for {RELEASE} (after its headers)" in reasons[Concern.DRIVER]


def test_a_converged_host_needs_nothing() -> None:
    assert left(converged()) == Difference()


def test_users_are_joined_only_if_they_exist_and_created_only_if_asked() -> None:
    frigate = {"frigate": Account("frigate", 500, groups=("frigate",))}
    change = left(replace(converged(), users=frigate)).files.get(Concern.ACCESS)
    assert change is not None
    assert (change.users, change.memberships) == ((), (("frigate", "axelera"),))
    asking = SETTINGS.model_copy(update={"create_users": True})
    change = left(converged(), asking).files.get(Concern.ACCESS)
    assert change is not None
    assert [user.name for user in change.users] == ["frigate", "hass"]
    joined = {"frigate": Account("frigate", 500, groups=("frigate", "axelera"))}
    assert left(replace(converged(), users=joined)).files == {}


@pytest.mark.parametrize(
    "drift",
    [
        {"sha256": "0" * 64},
        {"mode": "0666"},
        {"owner": "nobody"},
        {"group": "users"},
        {"kind": "absent"},
        {"kind": "link"},
    ],
)
def test_a_file_that_drifted_is_written_again_and_no_other(drift: dict[str, str]) -> None:
    good = converged()
    drifted = replace(good, files={**good.files, UDEV_RULES: replace(good.files[UDEV_RULES], **drift)})
    change = left(drifted).files.get(Concern.ACCESS)
    assert change is not None
    assert [file.path for file in change.files] == [UDEV_RULES]
    assert left(drifted).driver is None


def test_a_file_nobody_wants_any_more_is_taken_back() -> None:
    change = left(converged(), receipt=written(driver.MODPROBE, UDEV_RULES)).files.get(Concern.ACCESS)
    assert change is not None
    assert change.surplus == (driver.MODPROBE,)


def test_a_second_kernel_with_headers_is_built_for_and_one_without_is_not() -> None:
    good = converged()
    more = (
        *good.kernels,
        Kernel("6.16.1-amd64", running=False, headers=True),
        Kernel("6.1.0-38-amd64", running=False, headers=False),
    )
    found = left(replace(good, kernels=more))
    assert found.driver is not None
    assert (found.driver.kernels, found.driver.unpack, found.driver.upload) == (("6.16.1-amd64",), False, False)
    assert found.packages == ()


@pytest.mark.parametrize(
    ("file", "remark"),
    [
        ({"module_path": None, "vermagic": None}, None),
        ({"vermagic": None}, None),
        ({}, "(Differences between built and installed modules)"),
    ],
    ids=["gone", "unreadable", "another"],
)
def test_a_module_that_is_not_what_dkms_believes_is_put_back(file: dict[str, None], remark: str | None) -> None:
    build = DkmsBuild("metis", "1.6.2", RELEASE, "x86_64", "installed", remark)
    change = left(replace(converged(), kernels=(replace(SERVED, **file),), dkms=(build,))).driver
    assert change is not None
    assert (change.kernels, change.unpack) == ((RELEASE,), False)


def test_a_later_kernel_gets_its_headers_and_then_its_build() -> None:
    good = converged()
    later = Kernel("6.16.1-amd64", running=False, headers=False)
    found = left(replace(good, kernels=(*good.kernels, later)))
    assert found.packages == ("linux-headers-6.16.1-amd64",)
    assert found.driver is not None
    assert found.driver.reasons == ("build for 6.16.1-amd64 (after its headers)",)
    assert set(found.reasons) == {Concern.PACKAGES, Concern.DRIVER}


def test_headers_of_a_later_kernel_are_not_asked_of_a_manager_that_would_fail_without_them() -> None:
    good = converged()
    later = Kernel("6.16.1-200.fc42.x86_64", running=False, headers=False)
    fedora = replace(good.host, os_release={"ID": "fedora"})
    survey = replace(good, host=fedora, kernels=(*good.kernels, later))
    assert not [name for name in desired_state(SETTINGS, survey).packages if "6.16.1" in name]


def test_a_stray_module_goes_with_the_build_that_replaces_it() -> None:
    good = converged()
    stray = ModuleFile(f"/lib/modules/{RELEASE}/extra/metis.ko", RELEASE)
    survey = replace(good, dkms=(), past=Past(modules=(stray,)))
    found = left(survey)
    assert found.driver is not None
    assert [leftover.path for leftover in found.driver.strays] == [stray.path]
    assert found.past is None
    alone = left(replace(good, past=Past(modules=(stray,))))
    assert alone.driver is None
    assert alone.past is not None


@pytest.mark.parametrize("state", ["added", "built", "broken"])
def test_a_module_that_is_not_installed_is_built(state: str) -> None:
    build = DkmsBuild("metis", "1.6.2", RELEASE, "x86_64", state)
    change = left(replace(converged(), dkms=(build,))).driver
    assert change is not None
    assert change.kernels == (RELEASE,)


def test_another_source_under_the_same_version_is_unpacked_and_built_again() -> None:
    other = SETTINGS.model_copy(update={"driver_sha256": "f" * 64})
    change = left(converged(), other).driver
    assert change is not None
    assert (change.kernels, change.unpack, change.upload) == ((RELEASE,), True, True)


def test_a_payload_the_host_has_is_not_sent_again() -> None:
    tree = desired().dkms
    assert tree is not None
    path = host_path(tree.payload)
    has_it = replace(BARE, files={path: FileState(path, "file", tree.payload.sha256)})
    change = left(has_it).driver
    assert change is not None
    assert not change.upload


@pytest.mark.parametrize(
    "node",
    [{"group": "root"}, {"mode": "0666"}, {"owner": "nobody"}, {"links": ()}, {"links": ("/dev/metis-0:1:0",)}],
)
def test_a_node_the_rule_did_not_reach_is_triggered(node: dict[str, object]) -> None:
    good = converged()
    assert good.nodes
    change = left(replace(good, nodes=(replace(good.nodes[0], **node),))).card
    assert change is not None
    assert (change.load, change.trigger) == (None, ("0000:01:00.0",))


def test_a_node_of_somebody_elses_device_is_left_alone() -> None:
    npu = Node("/dev/accel/accel0", "0000:00:0b.0", "accel", "root", "render", "0660")
    good = converged()
    assert good.nodes
    assert left(replace(good, nodes=(*good.nodes, npu))).card is None


def test_a_heap_that_only_root_may_use_is_triggered() -> None:
    heap = Node("/dev/dma_heap/system", None, "dma_heap", "root", "root", "0600")
    change = left(replace(converged(), dma_heap=heap)).card
    assert change is not None
    assert change.trigger == ("dma_heap",)
    assert left(replace(converged(), dma_heap=replace(heap, mode="0660"))).card is None


def test_a_heap_that_the_vendors_rule_opened_is_triggered_and_anybody_elses_is_not() -> None:
    heap = Node("/dev/dma_heap/system", None, "dma_heap", "root", "root", "0666")
    open_to_all = replace(converged(), dma_heap=heap)
    assert left(open_to_all).card is None
    vendor = Past(rules=(RuleLine("/etc/udev/rules.d/72-axelera.rules", 'SUBSYSTEM=="dma_heap", MODE="0666"'),))
    change = left(replace(open_to_all, past=vendor)).card
    assert change is not None
    assert change.trigger == ("dma_heap",)


def test_a_file_of_somebody_elses_is_replaced_with_notice() -> None:
    there = replace(BARE, files={UDEV_RULES: FileState(UDEV_RULES, "file", "0" * 64, "0644", "root", "root")})
    assert f"replace {UDEV_RULES}, which is not ours, and keep its contents" in left(there).reasons[Concern.ACCESS]
    assert f"write {UDEV_RULES}" in left(there, receipt=written(UDEV_RULES)).reasons[Concern.ACCESS]


def test_no_module_is_loaded_in_a_container() -> None:
    container = replace(BARE, host=replace(BARE.host, container="podman"))
    assert left(container).card is None


def test_a_host_that_only_carries_the_files_gets_no_module() -> None:
    files_only = Settings(cards=0, driver="none")  # type: ignore[arg-type]
    reasons = left(BARE, files_only).reasons
    assert set(reasons) == {Concern.ACCESS}
    assert not any(driver.MODULES_LOAD in reason for reason in reasons[Concern.ACCESS])


def test_the_survey_looks_at_every_path_the_plan_compares() -> None:
    request = survey_request(SETTINGS)
    wanted = desired()
    assert wanted.dkms is not None
    assert wanted.runtime is not None
    compared = {file.path for file in wanted.files} | {wanted.dkms.conf_path, wanted.dkms.mark_path}
    compared |= {*(host_path(payload) for payload in (wanted.dkms.payload, *wanted.runtime.payloads)), CARD_NAMES}
    assert compared <= set(request.paths)


def loaded(version: str, srcversion: str | None = None, **changes: object) -> Survey:
    """The converged host with 1.6.2 on disk and another version, or the same from other sources, in memory."""
    disk = Kernel(RELEASE, running=True, headers=True, module_path="/m.ko", module_version="1.6.2", srcversion="AA")
    driver_now = Driver(loaded=True, version=version, srcversion=srcversion)
    return replace(converged(), kernels=(disk,), driver=driver_now, **changes)  # type: ignore[arg-type]


IF_FREE = SETTINGS.model_copy(update={"reload": Reload.IF_FREE})


@pytest.mark.parametrize(("version", "srcversion"), [("1.5.6", None), ("1.6.2", "BB")])
def test_a_stale_driver_is_loaded_anew_where_it_may(version: str, srcversion: str | None) -> None:
    stale = loaded(version, srcversion)
    assert stale.driver_is_stale
    assert left(stale).card is None
    change = left(stale, IF_FREE).card
    assert change is not None
    assert (change.load, change.reload) == (None, "metis")
    assert change.reasons == ("load module metis anew: it is not the one on disk",)


def test_a_driver_that_is_the_one_on_disk_stays() -> None:
    assert left(loaded("1.6.2", "AA"), IF_FREE).card is None
    assert left(loaded("1.6.2"), IF_FREE).card is None
    gone = replace(loaded("1.5.6"), kernels=(Kernel(RELEASE, running=True, headers=True),))
    assert gone.driver_is_stale is None
    assert left(gone, IF_FREE).card is None


@pytest.mark.parametrize(
    "change", [{"holders": (Holder(812, "frigate", "frigate"),)}, {"holders_known": False}], ids=["held", "unknown"]
)
def test_nobody_loses_a_card_that_is_or_may_be_held(change: dict[str, object]) -> None:
    (node,) = converged().nodes or ()
    held = loaded("1.5.6", nodes=(replace(node, **change),))  # type: ignore[arg-type]
    assert left(held, IF_FREE).card is None


def test_a_driver_about_to_be_replaced_is_loaded_anew_in_the_same_run() -> None:
    survey = loaded("1.6.2", "AA")
    mark = desired().dkms
    assert mark is not None
    files = {path: state for path, state in survey.files.items() if path != mark.mark_path}
    change = left(replace(survey, files=files), IF_FREE)
    assert change.driver is not None
    assert change.card is not None
    assert change.card.reload == "metis"

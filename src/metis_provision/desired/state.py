"""Settings and survey in, everything the host should carry out; and what the survey must look for."""

from __future__ import annotations

from metis_provision.catalog.cards import cards
from metis_provision.cores.plan import self_test_plan
from metis_provision.desired import access, boot, driver, initramfs, kernel_hook, payloads, preflight, runtime, services
from metis_provision.desired.past import with_past
from metis_provision.desired.platforms import all_package_patterns, platform_of
from metis_provision.model.artifact import DesiredState
from metis_provision.model.receipt import RECEIPT_PATH
from metis_provision.model.settings import Settings
from metis_provision.model.survey import PASSIVE, Section, Survey, SurveyRequest
from metis_provision.model.verdict import Level


def desired_state(settings: Settings, survey: Survey, signing_key: bytes | None = None) -> DesiredState:
    """Everything one host should carry, and what is to become of what others left there.

    ``signing_key`` is the content of ``metis_runtime_key``, where there is one.
    """
    return with_past(settings, survey, _own_state(settings, survey, signing_key))


def _own_state(settings: Settings, survey: Survey, signing_key: bytes | None) -> DesiredState:
    platform = platform_of(survey.host)
    package = driver.package(settings, platform) if platform else None
    return DesiredState(
        groups=access.groups(settings),
        users=access.users(settings),
        files=(
            *access.files(settings),
            *driver.files(settings),
            *kernel_hook.files(settings, survey),
            *initramfs.files(settings, survey),
            *services.files(settings, survey),
            *runtime.files(settings, survey, platform, signing_key),
        ),
        packages=platform.packages(settings, survey) if platform else (),
        runtime_packages=platform.runtime_packages(settings, survey) if platform else (),
        dkms=None if package and platform and not platform.has_dkms else driver.dkms(settings),
        driver_package=package,
        node_rules=access.rules_in_force(settings),
        module=driver.module(settings),
        module_options=driver.module_options(settings) if driver.module(settings) else {},
        boot=boot.config(settings, survey),
        initramfs=initramfs.initramfs(settings),
        runtime=runtime.runtime(settings, survey, platform),
        model=payloads.model(settings),
        services=services.services(settings, survey),
        blockers=(*preflight.blockers(settings, survey, platform), *services.overlay_mistakes(settings, survey)),
        foreseen=preflight.foreseen(settings, survey),
    )


def survey_request(
    settings: Settings, sections: tuple[Section, ...] = PASSIVE, limit: int | None = None
) -> SurveyRequest:
    """What a survey must look for, so that ``desired_state`` can be compared with it; ``limit`` in seconds."""
    plan = self_test_plan(settings, cards())
    paths = [file.path for file in access.files(settings)]
    paths += [driver.MODULES_LOAD, driver.MODPROBE, RECEIPT_PATH, *kernel_hook.PATHS]
    paths += [*initramfs.PATHS, *services.paths(settings)]
    paths += runtime.paths(settings)
    tree = driver.dkms(settings)
    if tree is not None:
        paths += [tree.conf_path, tree.mark_path]
    return SurveyRequest(
        sections=sections,
        paths=(*paths, *(payloads.host_path(payload) for payload in payloads.payloads(settings))),
        users=tuple(settings.service_users),
        groups=(settings.group,),
        packages=all_package_patterns(),
        group=settings.group,
        image=runtime.reference(settings),
        self_test_model=runtime.model_path(settings) if settings.self_test else None,
        self_test_seconds=settings.self_test_seconds,
        inference=runtime.inference_command(settings) if settings.self_test else (),
        aipu_cores=plan.busy_cores if plan else None,
        load_seconds=settings.long_seconds if settings.verify_level is Level.LONG else None,
        limit=limit,
    )

"""The runtime by the way the settings choose: what is installed, the files around it, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.catalog.contract import contract
from metis_provision.desired import payloads
from metis_provision.desired.platforms import PYTHONS, Platform, python_of
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import (
    Concern,
    EnvironmentRuntime,
    File,
    ImageRuntime,
    PackagedRuntime,
    Runtime,
    Validator,
)
from metis_provision.model.receipt import PAYLOAD_DIR
from metis_provision.model.settings import Engine, RuntimeSource, Settings
from metis_provision.model.survey import Survey

TOOLS = ("axdevice", "axrunmodel")
COMMANDS = tuple(f"/usr/local/bin/{tool}" for tool in TOOLS)
IN_CONTAINER = "/usr/lib/metis-provision/in-container"
SOURCES = "/etc/apt/sources.list.d/axelera.sources"
KEYRINGS = ("/etc/apt/keyrings/axelera.asc", "/etc/apt/keyrings/axelera.gpg")
"""Apt tells an armoured key from a binary one by the name."""
_PATHS = (*COMMANDS, IN_CONTAINER, SOURCES, *KEYRINGS)


def runtime(settings: Settings, survey: Survey, platform: Platform | None) -> Runtime | None:
    """What should be installed, None where no runtime is wanted or this host cannot have it (``blockers`` says why)."""
    version = settings.runtime_version
    if settings.runtime is RuntimeSource.NONE or version is None:
        return None
    if settings.runtime in {RuntimeSource.DEB, RuntimeSource.APT}:
        package = platform.runtime_package(version) if platform else None
        if package is None:
            return None
        return PackagedRuntime(version, package, payloads.runtime(settings), settings.runtime_url)
    if settings.runtime is RuntimeSource.PIP:
        return _environment(settings, python_of(survey))
    return ImageRuntime(
        version,
        engine=engine_of(settings, survey),
        reference=reference(settings) or "",
        archive=payloads.runtime(settings),
        privileged=bool(settings.runtime_privileged),
    )


def reference(settings: Settings) -> str | None:
    """What an engine knows the image by, None where there is none: ids are told apart from names by their digits."""
    image = settings.runtime_image if settings.runtime is RuntimeSource.CONTAINER else None
    return image.removeprefix("sha256:") if image else None


def paths(settings: Settings) -> tuple[str, ...]:
    """What a survey must look at: every file this concern may write, and the marks of environments."""
    if settings.runtime is not RuntimeSource.PIP:
        return _PATHS
    return (*_PATHS, *(_environment(settings, python).mark_path for python in PYTHONS))


def engine_of(settings: Settings, survey: Survey) -> str:
    """The engine that is asked for, or is there, or will be installed."""
    wanted = settings.runtime_engine or Engine.AUTO
    if wanted is not Engine.AUTO:
        return wanted.value
    there = [engine.value for engine in (Engine.PODMAN, Engine.DOCKER) if engine.value in survey.host.tools]
    return there[0] if there else Engine.PODMAN.value


def files(settings: Settings, survey: Survey, platform: Platform | None, signing_key: bytes | None) -> tuple[File, ...]:
    """Apt's source and key, or the commands that lead into the environment or the container."""
    wanted = runtime(settings, survey, platform)
    if isinstance(wanted, PackagedRuntime):
        return _apt_files(settings, survey, platform, signing_key) if wanted.url else ()
    if isinstance(wanted, EnvironmentRuntime):
        return tuple(_command(tool, f"{wanted.directory}/bin/{tool}") for tool in TOOLS)
    if isinstance(wanted, ImageRuntime):
        return (*(_command(tool, f"{IN_CONTAINER} {tool}") for tool in TOOLS), _in_container(wanted))
    return ()


def model_path(settings: Settings) -> str | None:
    """Where on the host the self-test finds its model."""
    model = payloads.model(settings)
    return payloads.host_path(model) if model else settings.self_test_model


def inference_command(settings: Settings) -> tuple[str, ...]:
    """The command of the self-test in place of ``axrunmodel``, where the runtime is; empty if that is not asked for."""
    if settings.inference is None:
        return ()
    words: tuple[str, ...] = (settings.inference, settings.inference_model or "", settings.inference_source or "")
    if settings.runtime is RuntimeSource.CONTAINER:
        words = (IN_CONTAINER, *words)
    return (*words, "--no-display", "--frames", str(settings.inference_frames), "--show-stats")


def blockers(settings: Settings, survey: Survey, platform: Platform) -> Iterator[str]:
    """Why this host cannot have the runtime that way, one sentence each with what to do."""
    if settings.runtime in {RuntimeSource.DEB, RuntimeSource.APT}:
        if platform.runtime_package(settings.runtime_version or "") is None:
            yield (
                f"the vendor has no runtime package for {platform.name}: "
                "set metis_runtime = 'pip' or 'container' for this host"
            )
        elif settings.runtime is RuntimeSource.APT and _suite(settings, survey, platform) is None:
            name = survey.host.os_release.get("PRETTY_NAME", platform.name)
            yield (
                f"the vendor's repository has no suite for {name}: set metis_runtime_suite to one whose packages "
                "run here, or metis_runtime = 'pip' or 'container'"
            )
    if settings.runtime is RuntimeSource.PIP:
        yield from _without_python(survey, platform)


def _environment(settings: Settings, python: str | None) -> EnvironmentRuntime:
    return EnvironmentRuntime(
        settings.runtime_version or "",
        python=python,
        index=settings.runtime_url,
        requirements=payloads.runtime(settings),
        wheels=payloads.wheels(settings),
    )


def _without_python(survey: Survey, platform: Platform) -> Iterator[str]:
    if not platform.runs_manylinux:
        yield (
            f"axelera-rt is built for the GNU C library, which {platform.name} does not have: "
            "set metis_runtime = 'container'"
        )
    elif "python3" in survey.host.tools and python_of(survey) is None:
        yield (
            f"axelera-rt needs Python 3.10 to 3.13, and {survey.host.tools['python3']} is none of them: "
            f"install one ({', '.join(reversed(PYTHONS))}), or set metis_runtime = 'container'"
        )


def _apt_files(
    settings: Settings, survey: Survey, platform: Platform | None, signing_key: bytes | None
) -> tuple[File, ...]:
    suite = _suite(settings, survey, platform)
    if suite is None or signing_key is None:
        return ()
    keyring = KEYRINGS[0] if signing_key.lstrip().startswith(b"-----BEGIN") else KEYRINGS[1]
    source = render(
        SOURCES.lstrip("/"),
        url=settings.runtime_url,
        suite=suite,
        component=settings.runtime_component or "main",
        keyring=keyring,
        fingerprint=settings.runtime_key_fingerprint,
    )
    return (
        File(keyring, signing_key, concern=Concern.RUNTIME),
        File(SOURCES, source, concern=Concern.RUNTIME),
    )


def _suite(settings: Settings, survey: Survey, platform: Platform | None) -> str | None:
    return settings.runtime_suite or (platform.runtime_suite(survey.host) if platform else None)


def _command(tool: str, command: str) -> File:
    path = f"/usr/local/bin/{tool}"
    content = render(path.lstrip("/"), command=command)
    return File(path, content, mode="0755", validator=Validator.SHELL, concern=Concern.RUNTIME)


def _in_container(image: ImageRuntime) -> File:
    content = render(
        IN_CONTAINER.lstrip("/"),
        engine=image.engine,
        image=image.reference,
        privileged=image.privileged,
        classes=[known.name for known in contract().device_classes if not known.shared],
        heap=str(contract().sysfs.dma_heap).rpartition("/")[0],
        payloads=PAYLOAD_DIR,
    )
    return File(IN_CONTAINER, content, mode="0755", validator=Validator.SHELL, concern=Concern.RUNTIME)

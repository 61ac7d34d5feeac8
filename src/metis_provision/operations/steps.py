"""The operations: one per concern, each comparing the desired host with the surveyed one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.context import ctx_host, ctx_state

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.difference import DriverPackageChange, FilesChange, ServicesChange
from metis_provision.desired.payloads import host_path
from metis_provision.desired.platforms import Platform, platform_of
from metis_provision.model.artifact import (
    Concern,
    EnvironmentRuntime,
    Fate,
    ImageRuntime,
    Leftover,
    PackagedRuntime,
    Payload,
    Runtime,
    RuntimeKind,
)
from metis_provision.model.errors import UserError
from metis_provision.model.receipt import PAYLOAD_DIR, Receipt, ReceiptBoot, ReceiptFile, ReceiptPayload, ReceiptRuntime
from metis_provision.model.text import literal
from metis_provision.operations import commands
from metis_provision.operations.guard import Refused, Step, guarded, run, step, upload
from metis_provision.operations.outcome import outcome_of
from metis_provision.operations.reboot import restart
from metis_provision.operations.view import View, fresh_view, view_of


@guarded
def preflight() -> Step:
    """Refuse a host that cannot be provisioned, with every reason at once."""
    view = view_of(ctx_state.get(), ctx_host.get())
    if view.desired.blockers:
        raise Refused("\n".join(view.desired.blockers))
    _announce_what_is_foreseen(view)
    yield from ()


@step
def packages(view: View) -> Step:
    """Install what the build and the runtime need."""
    yield from _install(view, view.difference.packages)


@step
def runtime_packages(view: View) -> Step:
    """Install what the runtime needs and nothing else."""
    yield from _install(view, tuple(it for it in view.difference.packages if it in view.desired.runtime_packages))


def _install(view: View, missing: tuple[str, ...]) -> Step:
    if not missing:
        return
    _announce(view, Concern.PACKAGES)
    noted = view.receipt.model_copy(update={"packages": tuple(dict.fromkeys((*view.receipt.packages, *missing)))})
    yield _write_receipt(view, noted)
    yield _job("packages", "set -e\n" + _platform(view).install_script(missing))


@step
def access(view: View) -> Step:
    """Create the group, let the service users in, and write rules and module configuration."""
    yield from _write_files(view, Concern.ACCESS)


@step
def driver(view: View) -> Step:
    """Put the driver in place, as a package or as source, and build it for every kernel that has headers."""
    package, change = view.difference.driver_package, view.difference.driver
    if package is None and change is None:
        return
    _announce(view, Concern.DRIVER)
    if package is not None:
        yield from _install_driver_package(view, package)
    if change is None:
        return
    if not change.tree.packaged:
        yield from _hand_over(view, change.tree.payload, change.upload)
    if change.strays:
        yield _note_aside(view_of(ctx_state.get(), ctx_host.get()), change.strays)
    yield _job("driver", commands.driver_job(change))


@step
def past(view: View) -> Step:
    """Set aside what other tools and older hands left; say in the plan what stays and why."""
    _announce_what_stays(view)
    change = view.difference.past
    if change is None:
        return
    _announce(view, Concern.PAST)
    yield _note_aside(view, change.leftovers)
    yield _job("past", commands.past_job(change))


@step
def card(view: View) -> Step:
    """Load the module and give the card's nodes their owner, mode and names."""
    change = view.difference.card
    if change is None:
        return
    _announce(view, Concern.CARD)
    yield run(commands.load_command(change), "")


@step
def boot(view: View) -> Step:
    """Put what the carrier needs into force in config.txt, or take it out again."""
    change = view.difference.boot
    if change is None:
        return
    _announce(view, Concern.BOOT)
    known = view.receipt.boot
    noted = known or ReceiptBoot(path=change.config.path, original=hashlib.sha256(change.config.now).hexdigest())
    if change.block and known != noted:
        yield _write_receipt(view, view.receipt.model_copy(update={"boot": noted}))
    yield run(commands.boot_command(change), commands.boot_input(change))
    if not change.block and known is not None:
        yield _write_receipt(view, view.receipt.model_copy(update={"boot": None}))


@step
def reboot(view: View) -> Step:
    """Restart a host that needs it and may, and prove that it is back."""
    if view.difference.reboot is None:
        return
    _announce(view, Concern.REBOOT)
    yield restart(view.settings, view.survey.host.boot_id)


@step
def initramfs(view: View) -> Step:
    """Build the images that the boot loader loads anew where what goes into them has changed."""
    change = view.difference.initramfs
    if change is not None and Concern.INITRAMFS not in view.difference.files:
        _announce(view, Concern.INITRAMFS)
    yield from _write_files(view, Concern.INITRAMFS)
    if change is not None:
        yield _job("initramfs", commands.initramfs_job(change))


@step
def runtime(view: View) -> Step:
    """Install the runtime, which brings axdevice and axrunmodel, and its model; then remove what was there before."""
    if Concern.RUNTIME not in view.difference.reasons:
        return
    _announce(view, Concern.RUNTIME)
    if isinstance(view.desired.runtime, PackagedRuntime):
        # Apt must know its repository first; the commands of the other ways must not lead where nothing is yet.
        yield from _runtime_files(view)
    yield from _install_runtime(_view())
    yield from _runtime_files(_view())
    yield from _remove_runtimes(_view())
    yield from _hand_over_model(_view())


def _install_runtime(view: View) -> Step:
    change = view.difference.runtime
    if change is None or change.install is None:
        return
    wanted = change.install
    ours = ReceiptRuntime(kind=wanted.installed.kind, name=wanted.installed.name, engine=wanted.installed.engine)
    noted = {it.name: ReceiptPayload(name=it.name, version=it.version, sha256=it.sha256) for it in wanted.payloads}
    noted.pop("wheel", None)
    others = {name: entry for name, entry in view.receipt.payloads.items() if name != "runtime"}
    receipt = view.receipt.model_copy(
        update={
            "runtimes": tuple(dict.fromkeys((*view.receipt.runtimes, ours))),
            "payloads": {**others, **noted},
        }
    )
    if receipt != view.receipt:
        yield _write_receipt(view, receipt)
    yield from _send(change.upload)
    yield _job("runtime", _runtime_job(view, wanted))


def _runtime_job(view: View, wanted: Runtime) -> str:
    if isinstance(wanted, EnvironmentRuntime):
        if wanted.python is None and ctx_state.get().is_executing:
            raise Refused(
                "axelera-rt needs Python 3.10 to 3.13, and this distribution's is none of them: "
                "install one, or set metis_runtime = 'container'"
            )
        return commands.environment_job(wanted)
    if isinstance(wanted, ImageRuntime):
        return commands.image_job(wanted)
    change = view.difference.runtime
    before = tuple(it.name for it in change.remove if it.kind is RuntimeKind.PACKAGE) if change else ()
    platform = _platform(view)
    if wanted.payload is None:
        return "set -e\n" + platform.install_runtime_script(wanted.package, before)
    path = host_path(wanted.payload)
    return commands.package_file_job(path, wanted.payload.sha256, platform.install_runtime_script(path, before))


def _remove_runtimes(view: View) -> Step:
    """What we installed and nobody wants any more; the receipt forgets it once it is gone."""
    change = view.difference.runtime
    if change is None or not (change.remove or change.forget or change.old_model):
        return
    packages = tuple(it.name for it in change.remove if it.kind is RuntimeKind.PACKAGE)
    script = commands.runtime_gone_job(change)
    if packages:
        script = f"set -e\n{_platform(view).remove_script(packages)}{script}"
    if change.remove or change.old_model:
        yield _job("runtime-gone", script)
    view = _view()
    gone = {(it.kind, it.name, it.engine) for it in (*change.remove, *change.forget)}
    left = tuple(it for it in view.receipt.runtimes if (it.kind, it.name, it.engine) not in gone)
    payloads = dict(view.receipt.payloads)
    if change.old_model:
        payloads.pop("model", None)
    if view.desired.runtime is None:
        payloads.pop("runtime", None)
    yield _write_receipt(view, view.receipt.model_copy(update={"runtimes": left, "payloads": payloads}))


def _hand_over_model(view: View) -> Step:
    model = view.desired.model
    if model is not None:
        change = view.difference.runtime
        yield from _hand_over(view, model, change is not None and change.model is not None)


def _runtime_files(view: View) -> Step:
    change = view.difference.files.get(Concern.RUNTIME)
    if change is not None:
        yield from _apply(view, change)


def _view() -> View:
    """The host as it is after the last command of this step."""
    return view_of(ctx_state.get(), ctx_host.get())


@step
def services(view: View) -> Step:
    """Put services into the boot and start what can run; those no longer wanted go before their files do."""
    change = view.difference.services
    files = view.difference.files.get(Concern.SERVICES)
    if change is not None and files is None:
        _announce(view, Concern.SERVICES)
    if change is not None and change.remove:
        yield run(commands.services_command(ServicesChange(remove=change.remove), view.survey.host.init), "")
    yield from _write_files(view, Concern.SERVICES)
    if change is not None:
        yield run(commands.services_command(replace(change, remove=()), view.survey.host.init), "", visible=True)


@guarded
def verify() -> Step:
    """Look again, this time touching the card, and fail a host that is not as wanted. Changes nothing."""
    state, host = ctx_state.get(), ctx_host.get()
    if not state.is_executing:
        return
    view = fresh_view(host)
    verdict = evaluate(host.name, Evidence(view.settings, view.survey, view.desired), today=date.today())
    outcome_of(state).verdict(host, verdict)
    if not verdict.ok:
        raise Refused(f"verification: {verdict.standing}; the table at the end says what and what to do")
    yield from ()


def _install_driver_package(view: View, change: DriverPackageChange) -> Step:
    """Install it, and only then take back the files whose part it takes over."""
    payload = change.package.payload
    yield from _hand_over(view, payload, change.upload)
    install = _platform(view).install_file_script(host_path(payload))
    yield _job("driver-package", commands.driver_package_job(change, install))
    if set(change.package.carries) & set(view.receipt.files):
        yield from _write_files(view_of(ctx_state.get(), ctx_host.get()), Concern.ACCESS)


def _announce(view: View, concern: Concern) -> None:
    state, host = ctx_state.get(), ctx_host.get()
    if state.is_executing:
        return
    reasons = view.difference.reasons[concern]
    outcome_of(state).plan(host, concern, reasons)
    for reason in reasons:
        logger.info("%s%s: %s", host.print_prefix, concern, literal(reason))


def _announce_what_is_foreseen(view: View) -> None:
    state, host = ctx_state.get(), ctx_host.get()
    for sentence in () if state.is_executing else view.desired.foreseen:
        logger.warning("%sforeseen: %s", host.print_prefix, literal(sentence))


def _announce_what_stays(view: View) -> None:
    state, host = ctx_state.get(), ctx_host.get()
    for leftover in () if state.is_executing else view.desired.leftovers:
        if leftover.fate is Fate.LEFT:
            told = literal(f"{leftover.path}, {leftover.what}: {leftover.why}")
            logger.info("%sleft: %s", host.print_prefix, told)


def _write_files(view: View, concern: Concern) -> Step:
    """Apply a concern's accounts and files, if any differ: one command."""
    change = view.difference.files.get(concern)
    if change is None:
        return
    _announce(view, concern)
    yield from _apply(view, change)


def _apply(view: View, change: FilesChange) -> Step:
    receipt = _receipt_after(view, change)
    yield run(commands.apply_command(view.survey), commands.manifest(change, receipt, view.receipt))


def _platform(view: View) -> Platform:
    platform = platform_of(view.survey.host)
    if platform is None:
        raise UserError("this distribution is not known")
    return platform


def _job(name: str, script: str) -> FunctionCommand:
    return run(commands.job_command(name, script), commands.job_input(script), visible=True)


def _write_receipt(view: View, receipt: Receipt) -> FunctionCommand:
    return run(
        commands.apply_command(view.survey), commands.manifest(FilesChange(Concern.PACKAGES), receipt, view.receipt)
    )


def _note_aside(view: View, leftovers: tuple[Leftover, ...]) -> FunctionCommand:
    """Note in the receipt what is about to be set aside."""
    gone = dict.fromkeys((*view.receipt.set_aside, *(leftover.path for leftover in leftovers)))
    return _write_receipt(view, view.receipt.model_copy(update={"set_aside": tuple(gone)}))


def _hand_over(view: View, payload: Payload, send: bool) -> Step:
    """Note the payload in the receipt before it is used, and send it if the host does not have it."""
    noted = ReceiptPayload(name=payload.name, version=payload.version, sha256=payload.sha256)
    if view.receipt.payloads.get(payload.name) != noted:
        known = {**view.receipt.payloads, payload.name: noted}
        yield _write_receipt(view, view.receipt.model_copy(update={"payloads": known}))
    if send:
        yield from _send((payload,))


def _send(payloads: tuple[Payload, ...]) -> Step:
    if payloads:
        yield run(f"umask 077 && mkdir -p {PAYLOAD_DIR}", "")
    for payload in payloads:
        yield upload(str(Path(payload.source).expanduser()), host_path(payload))


def _receipt_after(view: View, change: FilesChange) -> Receipt:
    before = view.receipt
    files = {path: entry for path, entry in before.files.items() if path not in change.surplus}
    for file in change.files:
        known = before.files.get(file.path)
        seen = view.survey.files.get(file.path)
        files[file.path] = ReceiptFile(
            sha256=file.sha256,
            mode=file.mode,
            owner=file.owner,
            group=file.group,
            original=known.original if known else (seen.sha256 if seen else None),
            concern=file.concern,
        )
    joined = (*before.memberships, *change.memberships)
    return before.model_copy(
        update={
            "files": files,
            "groups": tuple(dict.fromkeys((*before.groups, *(group.name for group in change.groups)))),
            "users": tuple(dict.fromkeys((*before.users, *(user.name for user in change.users)))),
            "memberships": tuple(dict.fromkeys(joined)),
        }
    )

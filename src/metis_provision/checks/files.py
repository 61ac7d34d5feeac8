"""Checks of files, groups and service accounts against the desired state."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.evidence import LOOK_AGAIN, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.artifact import Fate, File, User
from metis_provision.model.survey import FileState, Section

checks = Checks()

_NAMED_AT_MOST = 5


@checks.answers("METIS-601")
def files_as_wanted(evidence: Evidence) -> Iterator[Outcome]:
    """Every file of the desired state is on the host, byte for byte, with owner, group and mode."""
    wanted = evidence.desired.files
    if not wanted:
        yield skipped("the deploy wants no files on this host")
        return
    evidence.need(Section.FILES)
    found = evidence.survey.files
    unread = [file.path for file in wanted if file.path not in found or _unreadable(found[file.path])]
    drifted = [(file.path, how) for file in wanted if file.path in found and (how := _drift(file, found[file.path]))]
    if drifted:
        named = [f"{path} ({how})" for path, how in drifted[:_NAMED_AT_MOST]]
        more = [f"and {len(drifted) - _NAMED_AT_MOST} more"] if len(drifted) > _NAMED_AT_MOST else []
        yield failed(short="drift", count=len(drifted), total=len(wanted), which=", ".join(named + more))
    elif unread:
        yield unknown(f"{len(unread)} of {len(wanted)} files could not be read: {', '.join(unread)}", LOOK_AGAIN)
    else:
        yield passed(f"{len(wanted)} of {len(wanted)} are as wanted.")


@checks.answers("METIS-602")
def groups_exist(evidence: Evidence) -> Iterator[Outcome]:
    """Every group exists, with the gid that was asked for."""
    if not evidence.desired.groups:
        yield skipped("the deploy wants no groups on this host")
        return
    evidence.need(Section.ACCOUNTS)
    for group in evidence.desired.groups:
        found = evidence.survey.groups.get(group.name)
        if found is None:
            yield failed(about=group.name, group=group.name, what="does not exist")
        elif group.gid not in (None, found.id):
            yield failed(about=group.name, group=group.name, what=f"has gid {found.id}, {group.gid} is asked for")
        else:
            yield passed(f"Group {group.name} exists (gid {found.id}).", subject=group.name)


@checks.answers("METIS-603")
def service_users_are_members(evidence: Evidence) -> Iterator[Outcome]:
    """Every service user that exists, or was to be created, is in its group."""
    if not evidence.desired.users:
        yield skipped("the deploy wants no service users on this host")
        return
    evidence.need(Section.ACCOUNTS)
    for user in evidence.desired.users:
        yield _membership(evidence, user)


@checks.answers("METIS-604")
def nothing_left(evidence: Evidence) -> Iterator[Outcome]:
    """What others left is gone, or was overridden."""
    evidence.need(Section.PAST)
    leftovers = evidence.desired.leftovers
    for leftover in leftovers:
        if leftover.fate is not Fate.OVERRIDDEN:
            why = f" ({leftover.why})" if leftover.why else ""
            yield warned(about=leftover.path, short="leftovers", path=leftover.path, what=leftover.what, why=why)
    overridden = [leftover.path for leftover in leftovers if leftover.fate is Fate.OVERRIDDEN]
    note = f"; {', '.join(overridden)} is overridden" if overridden else ""
    if len(overridden) == len(leftovers):
        yield passed(f"Nothing is left of others{note}.")


def _membership(evidence: Evidence, user: User) -> Outcome:
    found = evidence.survey.users.get(user.name)
    group = evidence.survey.groups.get(user.group)
    if found is None and user.create:
        return failed(about=user.name, user=user.name, what="does not exist and was to be created")
    if found is None:
        return skipped(f"{user.name} does not exist on this host", subject=user.name)
    if user.group in found.groups or (group is not None and user.name in group.members):
        return passed(f"{user.name} is in {user.group}.", subject=user.name)
    return failed(about=user.name, user=user.name, what=f"is not in {user.group}")


def _unreadable(state: FileState) -> bool:
    return None in (state.sha256, state.mode, state.owner, state.group)


def _drift(file: File, state: FileState) -> str:
    """How a path differs from what is wanted; '' if it does not, as far as could be read."""
    if state.kind != "file":
        return "missing" if state.kind == "absent" else f"a {state.kind} instead of a file"
    differences = (
        ("content", state.sha256, file.sha256),
        ("mode", state.mode, file.mode),
        ("owner", state.owner, file.owner),
        ("group", state.group, file.group),
    )
    shown = [
        name if name == "content" else f"{name} {now} instead of {want}"
        for name, now, want in differences
        if now not in (None, want)
    ]
    return ", ".join(shown)

"""Containers that stay until they are taken down: ``lab up --kind container``."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from metis_provision.lab.container_images import Init, Release
from metis_provision.lab.containers import (
    missing_container_requirements,
    open_ssh,
    remove_containers,
    start_named,
)
from metis_provision.lab.fleet.hosts import refuse_fleet_host
from metis_provision.lab.paths import state_dir
from metis_provision.lab.places import check_name, empty, held, load_state, save_state
from metis_provision.lab.podman import podman
from metis_provision.lab.requirements import require
from metis_provision.lab.ssh import SshTarget
from metis_provision.model.errors import UserError

logger = logging.getLogger(__name__)

STATE_FILE = "container.json"


class Condition(StrEnum):
    """What has become of a container."""

    RUNNING = "running"
    UNFINISHED = "its start did not finish"
    ENDED = "its container has ended"


@dataclass(frozen=True, slots=True)
class ContainerWish:
    """What ``lab up --kind container`` was asked for."""

    name: str
    release: Release = Release.DEBIAN_13
    init: Init = Init.SYSTEMD


class ContainerHost(BaseModel):
    """A container's state file; ``ssh_port`` is None until sshd has answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    name: str
    container: str
    release: Release
    init: Init
    ssh_port: int | None = None

    @property
    def directory(self) -> Path:
        """Everything of this container that is not podman's is in here."""
        return state_dir() / self.name

    @property
    def ssh(self) -> SshTarget:
        """How its root is reached; UserError if its start did not finish."""
        if self.ssh_port is None:
            raise UserError(f"{self.name} did not come up: metis-provision lab down --name {self.name}")
        files = self.directory
        return SshTarget(self.name, "127.0.0.1", self.ssh_port, "root", files / "id_ed25519", files / "known_hosts")

    def condition(self) -> Condition:
        """Return what has become of it."""
        if self.ssh_port is None:
            return Condition.UNFINISHED
        running = podman("inspect", "--format", "{{.State.Running}}", self.container).stdout.strip() == "true"
        return Condition.RUNNING if running else Condition.ENDED


def up_container(wish: ContainerWish) -> ContainerHost:
    """Start a container and return it once its sshd answers; UserError saying what is missing or went wrong."""
    check_name(wish.name)
    refuse_fleet_host(wish.name)
    require(missing_container_requirements())
    (state_dir() / wish.name).mkdir(parents=True, mode=0o700, exist_ok=True)
    with held(wish.name) as directory:
        _refuse_taken(wish.name)
        empty(directory)
        host = _save(
            ContainerHost(name=wish.name, container=_container_name(wish.name), release=wish.release, init=wish.init)
        )
        try:
            logger.info("starting %s (%s with %s)", wish.name, wish.release, wish.init)
            container = start_named(host.container, wish.release, wish.init)
            target = open_ssh(container, directory)
        except BaseException:
            end_container(wish.name)
            shutil.rmtree(directory)
            raise
        return _save(host.model_copy(update={"ssh_port": target.port}))


def _refuse_taken(name: str) -> None:
    if not any((state_dir() / name).iterdir()):
        return
    if has_container(name) and load_container(name).condition() is not Condition.RUNNING:
        end_container(name)
        return
    raise UserError(f"{name} is there already: metis-provision lab down --name {name}")


def end_container(name: str) -> None:
    """Remove the container of a host, however far its start had come; nothing happens if it never had one."""
    if has_container(name):
        remove_containers([_container_name(name)])


def has_container(name: str) -> bool:
    """Return whether the host of that name is a container."""
    return (state_dir() / name / STATE_FILE).exists()


def load_container(name: str) -> ContainerHost:
    """Return the container of that name; UserError if there is none or its state is damaged."""
    return load_state("container", name, STATE_FILE, ContainerHost.model_validate_json)


def _save(host: ContainerHost) -> ContainerHost:
    return save_state(host.directory / STATE_FILE, host)


def _container_name(name: str) -> str:
    """Return podman's name of a host's container: known before it is made, and another one for each state directory."""
    place = hashlib.sha256(str(state_dir()).encode()).hexdigest()[:8]
    return f"metis-lab-{place}-{name}"

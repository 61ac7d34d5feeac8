"""Levels of verification: which sections of a survey belong to each, and how long it may take."""

from __future__ import annotations

from metis_provision.model.settings import Settings
from metis_provision.model.survey import Section
from metis_provision.model.verdict import Level

_FROM: dict[Section, Level] = {
    Section.DEVICES: Level.MEDIUM,
    Section.SELF_TEST: Level.MEDIUM,
    Section.LOAD: Level.LONG,
}
_SECONDS = {Level.QUICK: 120, Level.MEDIUM: 300, Level.LONG: 300}
"""A look takes seconds, and some ten times as long where the processor is emulated."""


def sections_of(level: Level) -> tuple[Section, ...]:
    """Sections that a verification of this level asks for."""
    return tuple(section for section in Section if level.takes_in(_FROM.get(section, Level.QUICK)))


def without_load(settings: Settings) -> Settings:
    """The settings for who wants evidence and not the long level's proof: no card is kept at work for minutes."""
    if settings.verify_level is not Level.LONG:
        return settings
    return settings.model_copy(update={"verify_level": Level.MEDIUM})


def seconds_allowed(settings: Settings) -> int:
    """How long verification may take on the host."""
    if settings.verify_seconds is not None:
        return settings.verify_seconds
    sustained = settings.long_seconds if settings.verify_level is Level.LONG else 0
    inference = settings.self_test_seconds if settings.verify_level is not Level.QUICK else 0
    return _SECONDS[settings.verify_level] + inference + sustained

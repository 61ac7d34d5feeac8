"""Facts for support: the survey's own words, and what it leaves out."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from metis_provision.facts.survey import MetisSurvey
from metis_provision.support.look import Look, look_command, read_look


class MetisSurveyText(FactBase[list[str]]):
    """The output of one survey as it came, line by line; arguments as for ``MetisSurvey``.

    .. code:: python

        ["metis-survey 1 host kernels", "begin host", "..."]
    """

    command = MetisSurvey.command

    def process(self, output: list[str]) -> list[str]:
        """Show it as it is."""
        return list(output)


class MetisLook(FactBase[Look]):
    """The kernel's log around the card, PCI detail and versions, as a ``metis_provision.support.look.Look``."""

    def command(self) -> str:
        """Return the text that looks."""
        return look_command()

    def process(self, output: list[str]) -> Look:
        """Take the output apart."""
        return read_look(output)

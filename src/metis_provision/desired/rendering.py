"""Renders templates to bytes; the only place that knows Jinja2."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

BANNER = "Managed by metis-provision: changes made here are replaced by the next run."


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701 - configuration files, not HTML
        loader=jinja2.FileSystemLoader(_template_dir()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def _template_dir() -> Path:
    """Inside an installed wheel, or at the top of a checkout."""
    packaged = Path(str(files("metis_provision"))) / "templates"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "templates"


def render(template: str, **values: Any) -> bytes:  # noqa: ANN401
    """The rendered text of ``template`` (its path below ``templates/`` without ``.j2``).

    ``banner`` is the deploy's unless given; any other value that the template needs and does not get raises
    ``jinja2.UndefinedError``.
    """
    return _environment().get_template(f"{template}.j2").render({"banner": BANNER, **values}).encode()

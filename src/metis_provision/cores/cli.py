"""The command ``metis-provision cores``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from metis_provision.catalog.cards import cards
from metis_provision.controller.durable import write_whole
from metis_provision.cores.lines import axnet_text, yaml_text
from metis_provision.cores.plan import GIB, CorePlan, Mode, core_plan, shape_mistake, shown
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.model.settings import Wish

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_MOST = 1 << 50
"""Bytes; more is a slip of the pen."""


@click.command()
@click.option(
    "--model-size", required=True, metavar="SIZE", help="Memory one instance takes on the card: 350MiB, 1.2GB."
)
@click.option("--card", "card_name", metavar="CARD", help="A card of the catalogue: m2, m2-max, pcie, ...")
@click.option("--memory", metavar="SIZE", help="The memory of one AIPU, where the card comes with several sizes: 4GiB.")
@click.option("--reserve", default="0", show_default=True, metavar="SIZE", help="Memory to leave to other models.")
@click.option(
    "--for", "wish", required=True, type=click.Choice([wish.value for wish in Wish]), help="What matters more."
)
@click.option("--input-shape", metavar="SHAPE", help="The model's input, batch first, to be judged too: 1x3x640x640.")
@click.option("--model", default="model", show_default=True, metavar="NAME", help="The model's name in the YAML.")
@click.option("--yaml", "yaml_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the YAML here.")
@click.option(
    "--axnet", "axnet_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the .axnet line here."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def cores(
    model_size: str,
    card_name: str | None,
    memory: str | None,
    reserve: str,
    wish: str,
    input_shape: str | None,
    model: str,
    yaml_file: Path | None,
    axnet_file: Path | None,
    as_json: bool,
) -> None:
    """Decide how a model is spread over the four cores of an AIPU, and say why.

    \b
    Example:
      metis-provision cores --model-size 350MiB --card m2 --memory 1GiB --for latency --input-shape 1x3x640x640
    """  # noqa: D301 - click knows a block by the backspace itself
    mistake = shape_mistake(input_shape) if input_shape is not None else None
    if mistake:
        raise UserError(f"--input-shape: {mistake}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", model):
        raise UserError(f"--model: {model!r} is not a model's name (letters, digits and . _ -)")
    free = _memory(card_name, memory) - _size(reserve, "--reserve", least=0)
    if free <= 0:
        raise UserError(f"--reserve: {reserve} leaves nothing of the card's memory for the model")
    plan = core_plan(_size(model_size, "--model-size"), free, Wish(wish), cards())
    texts = {yaml_file: yaml_text(plan, model), axnet_file: axnet_text(plan)}
    for path, text in texts.items():
        if path is not None:
            _write(path, text)
    click.echo(json.dumps(_document(plan, model), indent=2) if as_json else _shown(plan, model))


def _memory(card_name: str | None, memory: str | None) -> int:
    if card_name is None:
        if memory is None:
            raise UserError("which memory? Give --card, --memory or both")
        return _size(memory, "--memory")
    known = cards()
    if card_name not in known:
        raise UserError(f"--card: {card_name!r} is not a card of the catalogue; there are {', '.join(known)}")
    sizes = known[card_name].memory_gib
    told = " or ".join(f"{size} GiB" for size in sizes) or "a memory that is not known"
    if memory is None:
        if len(sizes) != 1:
            raise UserError(f"--card: {card_name} comes with {told}: add --memory")
        return sizes[0] * GIB
    given = _size(memory, "--memory")
    if sizes and given not in [size * GIB for size in sizes]:
        raise UserError(f"--memory: {card_name} comes with {told}, not with {shown(given)}")
    return given


def _size(text: str, option: str, least: int = 1) -> int:
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]{0,3})", text.strip())
    if not match or match[2].upper() not in _UNITS:
        raise UserError(
            f"{option}: {text!r} is not a size: a number and B, KB, MB, GB, KiB, MiB or GiB, for example 350MiB"
        )
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if not least <= size <= _MOST:
        raise UserError(f"{option}: {text!r} is too {'small' if size < least else 'large'}")
    return size


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise UserError(f"{path} is there already and is not written over: name another file")
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})", ExitCode.FAILED) from error


def _shown(plan: CorePlan, model: str) -> str:
    how = (
        f"independent cores: {plan.instances} instance{'s' * (plan.instances != 1)} on one core each"
        if plan.mode is Mode.INDEPENDENT
        else f"shared memory: one instance over {plan.aipu_cores_used} cores"
    )
    lines = [
        how,
        *(f"  {reason}" for reason in plan.reasons),
        "",
        yaml_text(plan, model),
        "# in an .axnet",
        axnet_text(plan),
    ]
    return "\n".join(lines).rstrip("\n")


def _document(plan: CorePlan, model: str) -> dict[str, object]:
    return {
        "mode": plan.mode.value,
        "aipu_cores_used": plan.aipu_cores_used,
        "resources_used": plan.resources_used,
        "instances": plan.instances,
        "reasons": list(plan.reasons),
        "yaml": yaml_text(plan, model),
        "axnet": axnet_text(plan),
    }

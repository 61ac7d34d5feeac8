"""The core plan: what it decides, why, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.catalog.cards import cards
from metis_provision.cli import main
from metis_provision.cores.lines import axnet_text, yaml_text
from metis_provision.cores.plan import GIB, MIB, CorePlan, Mode, core_plan, shape_mistake
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Wish

SIZES = st.integers(min_value=1, max_value=64 * GIB)


def plan(size: int, memory: int, wish: Wish) -> CorePlan:
    return core_plan(size, memory, wish, cards())


@pytest.mark.parametrize(
    ("mib", "wish", "mode", "cores_used", "resources", "instances"),
    [
        (100, Wish.LATENCY, Mode.INDEPENDENT, 1, 0.25, 4),
        (256, Wish.LATENCY, Mode.INDEPENDENT, 1, 0.25, 4),
        (257, Wish.LATENCY, Mode.INDEPENDENT, 1, 0.25, 3),
        (512, Wish.LATENCY, Mode.INDEPENDENT, 1, 0.25, 2),
        (513, Wish.LATENCY, Mode.SHARED, 4, 1.0, 1),
        (1024, Wish.LATENCY, Mode.SHARED, 4, 1.0, 1),
        (100, Wish.THROUGHPUT, Mode.SHARED, 4, 1.0, 1),
        (300, Wish.THROUGHPUT, Mode.SHARED, 4, 1.0, 1),
        (1024, Wish.THROUGHPUT, Mode.SHARED, 4, 1.0, 1),
    ],
)
def test_a_card_with_one_gib(
    mib: int, wish: Wish, mode: Mode, cores_used: int, resources: float, instances: int
) -> None:
    found = plan(mib * MIB, GIB, wish)
    assert (found.mode, found.aipu_cores_used, found.resources_used) == (mode, cores_used, resources)
    assert found.instances == instances


@given(SIZES, SIZES, st.sampled_from(Wish))
def test_every_plan_fits_the_memory_and_the_cores(size: int, memory: int, wish: Wish) -> None:
    if size > memory:
        with pytest.raises(UserError, match="not even one instance fits"):
            plan(size, memory, wish)
        return
    found = plan(size, memory, wish)
    assert found.instances * size <= memory
    assert 1 <= found.busy_cores <= 4
    assert found.instances * found.resources_used <= 1.0
    assert found.resources_used == found.aipu_cores_used * 0.25
    assert found.reasons


@given(SIZES, SIZES, SIZES, st.sampled_from(Wish))
def test_more_memory_never_means_fewer_busy_cores_than_a_shared_plan_or_instances(
    size: int, memory: int, more: int, wish: Wish
) -> None:
    if size > memory:
        return
    assert plan(size, memory + more, wish).instances >= plan(size, memory, wish).instances


def test_a_model_that_is_too_large_is_told_which_card_has_room() -> None:
    with pytest.raises(UserError) as raised:
        plan(6 * GIB, 4 * GIB, Wish.LATENCY)
    assert str(raised.value) == (
        "the model takes 6 GiB and the card has 4 GiB for it: not even one instance fits; 6 GiB are on: "
        "Metis M.2 MAX (16 GiB), Metis PCIe (16 GiB), or make the model smaller"
    )


def test_a_model_for_no_card_is_told_so() -> None:
    with pytest.raises(UserError, match="no card of the catalogue has the 20 GiB this takes"):
        plan(20 * GIB, 4 * GIB, Wish.LATENCY)


def test_idle_cores_are_told_with_the_card_that_would_use_them() -> None:
    (said,) = [reason for reason in plan(300 * MIB, GIB, Wish.LATENCY).reasons if "idle" in reason]
    assert said.startswith("1 of 4 cores stay idle: 1.172 GiB are on: Metis M.2 (4 GiB)")


@pytest.mark.parametrize("shape", ["1x3x640x640", "1,3,640,640", "[1, 3, 640, 640]", " 1x12 ", "01x2"])
def test_a_batch_of_one_is_fine(shape: str) -> None:
    assert shape_mistake(shape) is None


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("4x3x640x640", "a batch of 4, which axcompile rejects"),
        ("[2, 10]", "a batch of 2, which axcompile rejects"),
        ("-1x3x640x640", "a batch that is left open (-1)"),
        ("Nx3x640x640", "a batch that is left open (N)"),
        ("batch,3,640,640", "a batch that is left open (batch)"),
        ("?,3,640,640", "a batch that is left open (?)"),
    ],
)
def test_another_batch_is_refused_with_the_way_to_parallelism(shape: str, said: str) -> None:
    mistake = str(shape_mistake(shape))
    assert said in mistake
    assert "num_children=4 in an .axnet, aipu_cores: 4 in a pipeline" in mistake


@pytest.mark.parametrize(
    "shape", ["", "1", "640", "1x", "0x3x640", "1x0x640", "1x-3", "1x3.5", "axb", "1x3x640x640x", "²x3"]
)
def test_what_is_no_shape_is_told(shape: str) -> None:
    assert "is not an input shape" in str(shape_mistake(shape))


@given(st.text(max_size=30))
def test_any_text_gets_an_answer(shape: str) -> None:
    mistake = shape_mistake(shape)
    assert mistake is None or mistake


def test_the_texts_say_what_was_planned() -> None:
    found = plan(100 * MIB, GIB, Wish.LATENCY)
    document = yaml.safe_load(yaml_text(found, "yolo"))
    assert document == {
        "models": {"yolo": {"extra_kwargs": {"compilation_config": {"aipu_cores_used": 1, "resources_used": 0.25}}}},
        "aipu_cores": 4,
    }
    assert axnet_text(found) == "num_children=4\n"
    assert axnet_text(plan(GIB, GIB, Wish.LATENCY)) == "num_children=1\n"


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["metis-provision", "cores", *arguments])
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_the_command_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--yaml", str(tmp_path / "m.yaml"), "--axnet", str(tmp_path / "m.axnet")]
    words = ["--model-size", "100MiB", "--card", "compute-board", "--for", "latency", "--json", *files]
    assert command(monkeypatch, *words) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["mode"], document["instances"], document["resources_used"]) == ("independent", 4, 0.25)
    assert (tmp_path / "m.axnet").read_text() == "num_children=4\n"
    assert (tmp_path / "m.yaml").read_text() == document["yaml"]
    assert command(monkeypatch, *words) == 4
    assert "is there already and is not written over" in capsys.readouterr().err


BASE = {"--model-size": "100MiB", "--memory": "1GiB", "--for": "latency"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--input-shape": "4x3x640x640"}, "--input-shape: 4x3x640x640 has a batch of 4, which axcompile rejects"),
        ({"--model-size": "big"}, "--model-size: 'big' is not a size"),
        ({"--model-size": "-1MiB"}, "--model-size: '-1MiB' is not a size"),
        ({"--model-size": "0"}, "--model-size: '0' is too small"),
        ({"--model-size": "9999999GiB"}, "--model-size: '9999999GiB' is too large"),
        ({"--model-size": "2GiB"}, "not even one instance fits"),
        ({"--memory": None}, "which memory? Give --card, --memory or both"),
        ({"--card": "m3"}, "--card: 'm3' is not a card of the catalogue; there are m2,"),
        ({"--card": "m2", "--memory": None}, "--card: m2 comes with 1 GiB or 4 GiB: add --memory"),
        (
            {"--card": "pcie-4x", "--memory": None},
            "--card: pcie-4x comes with a memory that is not known: add --memory",
        ),
        ({"--card": "m2", "--memory": "2GiB"}, "--memory: m2 comes with 1 GiB or 4 GiB, not with 2 GiB"),
        ({"--reserve": "1GiB"}, "--reserve: 1GiB leaves nothing of the card's memory"),
        ({"--for": "speed"}, "'speed' is not one of"),
        ({"--model": "a b"}, "--model: 'a b' is not a model's name"),
        ({"--yaml": "/nowhere/x.yaml"}, "/nowhere/x.yaml cannot be written (No such file or directory)"),
    ],
)
def test_bad_input_is_one_sentence(
    changed: dict[str, str | None], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for key, value in {**BASE, **changed}.items() if value is not None for word in (key, value)]
    assert command(monkeypatch, *words) in (1, 4)
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err

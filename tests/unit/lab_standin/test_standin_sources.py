"""The stand-in's C agrees with the card's registers and with the contract: names, ids, log lines, tool output."""

import re
from importlib.resources import files

import pytest

from metis_provision.catalog.contract import IdKind, contract
from metis_provision.lab.card import registers
from metis_provision.lab.card.device import VECTOR_OF, Job, shared_area

STANDIN = files("metis_provision.lab.standin")
DRIVER = STANDIN.joinpath("driver")
TOOLS = STANDIN.joinpath("tools")


def source(directory, *names):
    return "\n".join(directory.joinpath(name).read_text() for name in names)


@pytest.fixture(scope="module")
def driver():
    return source(DRIVER, "metis_main.c", "metis_job.c", "metis_node.c", "metis_card.h")


@pytest.fixture(scope="module")
def tools():
    return source(TOOLS, "axdevice.c", "axrunmodel.c", "axlogdevice.c", "axcmd.c", "inference.c", "standin.c", "work.c")


def filled(text):
    """A C format string with 1 for every number and x for every string, escapes undone."""
    text = re.sub(r'"\s*PRIu(32|64)\s*"', "u", text)
    text = re.sub(r"%0?(\d*)([udx]|llu)", lambda found: "1".zfill(int(found[1] or 1)), text)
    text = re.sub(r"%\.([12])f", lambda found: "1.5" + "0" * (int(found[1]) - 1), text)
    return re.sub(r"%-?\d*s", "x", text).replace("%%", "%").replace("\\n", "")


def literals(text):
    """Every string literal of a C source, neighbours joined as the compiler does, filled in."""
    text = re.sub(r'"\s*\n\s*"', "", text)
    return [filled(found) for found in re.findall(r'"((?:[^"\\\n]|\\.|"\s*PRIu(?:32|64)\s*\n?\s*")*)"', text)]


def test_the_header_says_what_the_card_says():
    header = source(DRIVER, "metis_regs.h")
    found = {
        name: int(value, 0)
        for name, value in re.findall(r"^#define (METIS_[A-Z0-9_]+) (0x[0-9a-f]+|\d+)$", header, re.M)
    }
    assert found == registers.c_macros()


def struct_fields(text, name):
    """Names and struct codes of a C structure's members."""
    body = re.search(rf"struct {name} \{{(.*?)\}};", text, re.S)[1]
    codes = {"__le32": "I", "__le64": "Q", "__u32": "I", "__u64": "Q"}
    return [(field, codes[kind]) for kind, field in re.findall(r"(__\w+) (\w+);", body)]


def test_jobs_and_completions_are_laid_out_alike(driver):
    job = struct_fields(driver, "metis_job")
    assert "<" + "".join(code for _, code in job) == registers.JOB_FORMAT
    assert [name for name, _ in job] == ["magic", *Job.__slots__, "reserved"]
    completion = struct_fields(driver, "metis_completion")
    assert "<" + "".join(code for _, code in completion) == registers.COMPLETION_FORMAT
    assert [name for name, _ in completion] == ["sequence", "status", "card_ns"]


def test_sizes_and_vectors_are_the_contracts():
    facts = contract().card
    assert facts.bar0_size.value == registers.BAR0_SIZE
    assert facts.bar2_size.value == registers.BAR2_SIZE
    assert facts.dma_buffer_size.value == registers.HOST_BUFFER_SIZE
    assert facts.msi_vectors.value == registers.MSI_VECTORS
    for vector in VECTOR_OF.values():
        assert any(known.first <= vector <= known.last for known in facts.vectors)


def test_the_shared_area_is_the_contracts():
    area = shared_area()
    for known in contract().card.areas:
        assert int.from_bytes(area[known.offset : known.offset + known.width], "little") == known.magic


def test_the_driver_binds_the_ids_of_the_contract(driver):
    bound = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"PCI_DEVICE\((0x\w+), (0x\w+)\)", driver)]
    kinds = {IdKind.METIS, IdKind.EMULATOR}
    assert bound == [(entry.vendor, entry.device) for entry in contract().ids if entry.kind in kinds]


def test_the_drivers_names_are_the_contracts(driver):
    facts = contract()
    assert f'#define METIS_MODULE "{facts.module}"' in driver
    assert f'#define METIS_PCI_DRIVER "{facts.pci_driver}"' in driver
    assert f"obj-m := {facts.module}.o" in source(DRIVER, "Kbuild")
    assert "class_create(METIS_MODULE)" in driver
    assert facts.device_classes[0].name == facts.module.value
    assert "CLASS_ATTR_STRING(version, 0444, METIS_VERSION)" in driver
    assert "DEVICE_ATTR(axl_aipu_restore, 0664, axl_aipu_restore_show, axl_aipu_restore_store)" in driver
    assert facts.sysfs.restore.value.endswith("/axl_aipu_restore")
    assert "debugfs_create_dir(METIS_MODULE, NULL)" in driver
    node = re.search(r'dev_set_name\(&card->dev, METIS_MODULE "(.*?)"', driver)[1]
    template = re.sub(r"\{\w+:x\}", "%x", facts.nodes.current.template)
    assert facts.module.value + node == template


def test_the_drivers_parameters_are_the_contracts(driver):
    found = set(re.findall(r"module_param(?:_named)?\((\w+),", driver))
    assert found == {parameter.name for parameter in contract().parameters}
    assert set(re.findall(r"module_param(?:_named)?\(.*?, (\w+), 0644\)", driver)) == {"uint"}
    for parameter in contract().parameters:
        declared = re.search(rf"\b(?:metis_)?{parameter.name}(?: = (\d+))?;", driver)
        assert int(declared[1] or 0) == parameter.default, parameter.name


@pytest.mark.parametrize(
    "name",
    [
        "found",
        "bridge-window",
        "msi",
        "single-msi",
        "vmsi-configured",
        "vmsi-missing",
        "init-ok",
        "hdrv-magic",
        "irq-timeout",
        "wrong-msi",
        "map-failed",
    ],
)
def test_log_lines_are_the_contracts(driver, name):
    lines = [line for line in literals(driver) if contract().log.line(name).regex.search(line)]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("axdevice", "device"),
        ("axdevice", "not-responding"),
        ("axdevice", "no-driver"),
        ("axdevice", "no-device"),
        ("axrunmodel", "device-fps"),
        ("axrunmodel", "host-fps"),
        ("axrunmodel", "system-fps"),
        ("axrunmodel", "answer-ok"),
        ("axrunmodel", "answer-wrong"),
        ("axrunmodel", "busy"),
        ("axrunmodel", "timeout"),
        ("axlogdevice", "temperatures"),
        ("axlogdevice", "no-driver"),
        ("axcmd", "board-temperature"),
        ("inference", "stats-head"),
        ("inference", "end-to-end"),
        ("inference", "device-fps"),
        ("inference", "system-fps"),
    ],
)
def test_tool_output_is_the_contracts(tools, tool, name):
    line = getattr(contract().tools, tool).line(name)
    # A node's name, a board's, a path and a number with commas are put in by %s.
    examples = [
        text.replace("Device 1: x 1GiB x", "Device 1: metis-0:1:0 1GiB m2")
        .replace("Device 1: x board_type", "Device 1: metis-0:1:0 board_type")
        .replace("Device 1: x is held", "Device 1: /dev/metis-0-1-0 is held")
        .replace("measurement x", "measurement 1,275.3")
        for text in literals(tools)
    ]
    assert [text for text in examples if line.regex.fullmatch(text)]


@pytest.mark.parametrize("tool", ["axdevice", "axrunmodel", "axlogdevice", "axcmd", "inference"])
def test_the_tools_ask_what_the_real_ones_ask(tools, tool):
    for command in getattr(contract().tools, tool).needs:
        assert re.search(rf'output_has\("{command} ', tools)
    assert "host_is_ready()" in source(TOOLS, f"{tool}.c")


def test_everything_says_that_it_is_a_stand_in():
    assert "STAND-IN" in source(DRIVER, "metis_main.c")
    assert "Stand-in" in source(DRIVER, "README.md")
    for tool in ("axdevice.c", "axrunmodel.c", "axlogdevice.c", "axcmd.c", "inference.c"):
        assert "STAND-IN" in source(TOOLS, tool)


def test_every_source_has_its_licence():
    for directory in (DRIVER, TOOLS):
        for path in directory.iterdir():
            if path.name.endswith((".c", ".h")) or path.name in ("Kbuild", "Makefile"):
                assert "SPDX-License-Identifier: GPL-2.0-only" in path.read_text().splitlines()[0], path.name

"""The contract loads, refuses contradictions, and identifies PCI functions as hosts need it."""

import pytest
import yaml
from pydantic import ValidationError

from metis_provision.catalog.contract import Contract, IdKind, LogMeaning, contract

ACCELERATOR = 0x120000
NVME = 0x010802


def _as_data() -> dict:
    return yaml.safe_load(yaml.safe_dump(contract().model_dump(mode="json")))


@pytest.mark.parametrize(
    ("vendor", "device", "class_code", "kind"),
    [
        (0x1F9D, 0x1100, ACCELERATOR, IdKind.METIS),
        (0x1F9D, 0x11AA, ACCELERATOR, IdKind.METIS),
        (0x1F9D, 0x0001, ACCELERATOR, IdKind.FOREIGN),
        (0x1234, 0x2024, ACCELERATOR, IdKind.EMULATOR),
        (0x16C3, 0xABCD, 0xFF0000, IdKind.UNSTARTED),
        (0x1E81, 0x1202, NVME, None),
        (0x1E81, 0x1202, ACCELERATOR, IdKind.DOCUMENTED),
        (0x1F0F, 0x0001, 0x020000, None),
        (0x1F0F, 0x0001, 0x120001, IdKind.DOCUMENTED),
        (0x8086, 0x7D1D, ACCELERATOR, None),
    ],
)
def test_identify(vendor, device, class_code, kind):
    found = contract().identify(vendor, device, class_code)
    assert (found.kind if found else None) == kind


def test_node_names_follow_the_address():
    nodes = contract().nodes
    assert nodes.current.name("0000:01:00.0") == "metis-0-1-0"
    assert nodes.legacy.name("0001:c6:1f.0") == "metis-1:c6:1f"
    assert nodes.current.matches("metis-0-1-0")
    assert not nodes.current.matches("metis-0:1:0")
    assert not nodes.current.matches("metis-0-1-0-1")
    with pytest.raises(ValueError, match="not a PCI address"):
        nodes.current.name("01:00.0")


def test_paths_and_log_lines():
    facts = contract()
    assert facts.sysfs.node_of_device.at("0000:01:00.0") == "/sys/bus/pci/devices/0000:01:00.0/metis"
    msi = facts.log.line("msi").regex.search("axl 0000:01:00.0: MSI registered 32 (1)")
    assert msi is not None
    assert (msi["asked"], msi["granted"]) == ("32", "1")
    assert "vmsi-missing" in {line.name for line in facts.log.meaning(LogMeaning.BAD)}
    with pytest.raises(KeyError):
        facts.log.line("nonsense")


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("ids", 0, "vendor"), 0x12345, "less than or equal to 65535"),
        (("ids", 0, "kind"), "metal", "Input should be 'metis'"),
        (("ids", 1, "device"), 0x1100, "same vendor and device"),
        (("module", "sauce"), "x", "Extra inputs are not permitted"),
        (("tools", "axdevice", "lines", 0, "example"), "Device zero", "does not match its own pattern"),
    ],
)
def test_contradictions_are_refused(path, value, complaint):
    data = _as_data()
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValidationError, match=complaint):
        Contract.model_validate(data)


def test_the_contract_cannot_be_changed():
    with pytest.raises(ValidationError):
        contract().module.value = "axdevice"

"""The receipt survives a round trip, and what is not a receipt is refused."""

from __future__ import annotations

import pytest

from metis_provision.model.receipt import Receipt, ReceiptFile, ReceiptUnreadable, read_receipt

RECEIPT = Receipt(files={"/etc/x": ReceiptFile(sha256="a", mode="0644", owner="root", group="root", original="b")})


def test_round_trip() -> None:
    assert read_receipt(RECEIPT.to_bytes().decode()) == RECEIPT


def test_no_receipt_is_an_empty_one() -> None:
    assert read_receipt(None) == Receipt()


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert read_receipt('{"schema_version": 1, "files": {}, "later": 1}') == Receipt()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"files": {"/x": {}}}'])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(ReceiptUnreadable):
        read_receipt(text)

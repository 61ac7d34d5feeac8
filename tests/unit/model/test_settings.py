"""What an inventory may say, and the one sentence each mistake gets."""

from __future__ import annotations

import pytest

from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings, settings_from, settings_mistakes

PINNED = {"metis_driver_version": "1.6.2", "metis_driver_source": "x.tar.gz", "metis_driver_sha256": "a" * 64}


def test_defaults_are_what_a_plain_host_wants() -> None:
    settings = settings_from(PINNED, where="host")
    assert (settings.cards, settings.group, settings.node_mode) == (1, "axelera", "0660")
    assert settings.service_users == ["frigate", "hass"]
    assert not settings.create_users


def test_other_peoples_keys_are_ignored() -> None:
    assert settings_mistakes({**PINNED, "ssh_user": "root", "my_metis_key": 1}) == []


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"metis_carier": "x"}, "metis_carier is not a setting; did you mean metis_carrier?"),
        ({"metis_zzz": 1}, "metis_zzz is not a setting; see docs/settings for the keys there are"),
        ({"metis_cards": "2"}, "metis_cards input should be a valid integer (it is '2')"),
        ({"metis_cards": -1}, "metis_cards input should be greater than or equal to 0 (it is -1)"),
        ({"metis_group": "Axelera"}, "metis_group is not a user or group name"),
        ({"metis_service_users": ["frigate", "no space"]}, "metis_service_users.1 is not a user or group name"),
        ({"metis_node_mode": "0666"}, "metis_node_mode would open the card to every user of the host"),
        ({"metis_node_mode": "rw"}, "metis_node_mode is not an octal mode"),
        ({"metis_driver_sha256": "SKIP"}, "metis_driver_sha256 is SKIP, which would install whatever arrives"),
        ({"metis_driver_sha256": "skip"}, "is SKIP, which would install whatever arrives"),
        ({"metis_driver_sha256": "abc"}, "metis_driver_sha256 is not a sha256"),
        ({"metis_driver_version": "../1"}, "metis_driver_version is not a version"),
        ({"metis_driver_sha256": None}, "metis_driver_sha256 is missing: set version, source and sha256"),
        ({"metis_runtime": "deb"}, "metis_runtime_version is missing"),
        ({"metis_runtime": "rpm"}, "metis_runtime input should be 'deb', 'apt', 'pip', 'container' or 'none'"),
        ({"metis_self_test_model": "relative/x.json"}, "metis_self_test_model is not an absolute path"),
        ({"metis_self_test_model": "/a/../b"}, "metis_self_test_model is not an absolute path"),
        ({"metis_create_users": "yes"}, "metis_create_users input should be a valid boolean"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(data: dict[str, object], sentence: str) -> None:
    mistakes = settings_mistakes({**PINNED, **data})
    assert len(mistakes) == 1
    assert sentence in mistakes[0]


def test_all_mistakes_are_told_at_once_with_the_host() -> None:
    with pytest.raises(UserError) as raised:
        settings_from({**PINNED, "metis_x": 1, "metis_cards": "many"}, where="pi-7")
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("pi-7: metis_") for line in lines)

"""Ways of installing the runtime: what each takes, and the one sentence for what does not belong together."""

from __future__ import annotations

import pytest

from metis_provision.model.runtime_rules import wheel_name
from metis_provision.model.settings import settings_from, settings_mistakes

A, B = "a" * 64, "b" * 64
WHEEL = "wheels/axelera_rt-1.8.0-cp312-cp312-manylinux_2_28_x86_64.whl"
NO_DRIVER = {"metis_driver": "none"}
APT = {
    "metis_runtime": "apt",
    "metis_runtime_version": "1.8.0",
    "metis_runtime_url": "https://apt.example/repo",
    "metis_runtime_key": "axelera.asc",
    "metis_runtime_key_fingerprint": "0123 4567 89AB CDEF 0123  4567 89ab cdef 0123 4567",
}
INDEX = {
    "metis_runtime": "pip",
    "metis_runtime_version": "1.8.0",
    "metis_runtime_url": "https://pip.example/simple",
    "metis_runtime_source": "requirements.txt",
    "metis_runtime_sha256": A,
}
WHEELS = {"metis_runtime": "pip", "metis_runtime_version": "1.8.0", "metis_runtime_wheels": {WHEEL: A}}
PULLED = {
    "metis_runtime": "container",
    "metis_runtime_version": "1.8.0",
    "metis_runtime_image": f"registry.example/axelera/voyager@sha256:{A}",
}
HANDED_OVER = {
    "metis_runtime": "container",
    "metis_runtime_version": "1.8.0",
    "metis_runtime_image": f"sha256:{A}",
    "metis_runtime_source": "voyager.tar",
    "metis_runtime_sha256": B,
}
DEB = {
    "metis_runtime": "deb",
    "metis_runtime_version": "1.8.0",
    "metis_runtime_source": "runtime.deb",
    "metis_runtime_sha256": A,
}
MODEL = {"metis_model_source": "model.json", "metis_model_sha256": A, "metis_model_release": "1.8.0"}


def changed(way: dict[str, object], **changes: object) -> dict[str, object]:
    data = {**NO_DRIVER, **way, **{f"metis_{key}": value for key, value in changes.items()}}
    return {key: value for key, value in data.items() if value is not None}


@pytest.mark.parametrize("way", [APT, INDEX, WHEELS, PULLED, HANDED_OVER, DEB])
@pytest.mark.parametrize("model", [{}, MODEL])
def test_every_way_is_complete_as_shown(way: dict[str, object], model: dict[str, object]) -> None:
    assert settings_mistakes({**NO_DRIVER, **way, **model}) == []


@pytest.mark.parametrize("way", [APT, INDEX, WHEELS, PULLED, HANDED_OVER, DEB])
def test_a_host_may_switch_off_what_its_group_sets_up(way: dict[str, object]) -> None:
    assert settings_mistakes(changed(way, runtime="none")) == []


def test_a_fingerprint_may_have_spaces() -> None:
    settings = settings_from({**NO_DRIVER, **APT}, where="host")
    assert settings.runtime_key_fingerprint == "0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (changed(APT, runtime_key=None), "metis_runtime_key is missing: set version, url, key and key_fingerprint"),
        (changed(APT, runtime_key_fingerprint=None), "metis_runtime_key_fingerprint is missing"),
        (changed(APT, runtime_key_fingerprint="89ABCDEF"), "a short key id proves nothing"),
        (changed(APT, runtime_url="ftp://x"), "metis_runtime_url is not a URL"),
        (changed(APT, runtime_url="https://x/ trusted=yes"), "metis_runtime_url is not a URL"),
        (changed(APT, runtime_suite="a b"), "metis_runtime_suite is not a name of apt's"),
        (changed(APT, runtime_source="x.deb"), "metis_runtime_source is for metis_runtime = 'deb' or 'pip' or"),
        (changed(APT, runtime_image=f"sha256:{A}"), "metis_runtime_image is for metis_runtime = 'container'"),
        (changed(DEB, runtime_suite="ubuntu24"), "metis_runtime_suite is for metis_runtime = 'apt', and this host has"),
        (changed(DEB, runtime_sha256=None), "metis_runtime_sha256 is missing: set version, source and sha256"),
        (changed(INDEX, runtime_sha256="SKIP"), "metis_runtime_sha256 is SKIP"),
        (changed(INDEX, runtime_url=None), "metis_runtime_url is missing: for pip set either metis_runtime_wheels"),
        (changed(INDEX, runtime_url="http://pip.example/simple"), "is http, which pip refuses from other machines"),
        (changed(INDEX, runtime_url="http://10.0.2.2:8000/simple"), "hand the wheels over with metis_runtime_wheels"),
        (changed(INDEX, runtime_sha256=None), "metis_runtime_sha256 is missing: for pip set either"),
        (changed(INDEX, runtime_key="x"), "metis_runtime_key is for metis_runtime = 'apt'"),
        (changed(WHEELS, runtime_url="https://x/simple"), "so metis_runtime_url has no place beside it"),
        (changed(WHEELS, runtime_wheels={}), "metis_runtime_wheels"),
        (changed(WHEELS, runtime_wheels={"axelera.whl": A}), "axelera.whl is not named as a wheel is"),
        (changed(WHEELS, runtime_wheels={WHEEL: "skip"}), "is SKIP"),
        (changed(WHEELS, runtime_version="1.9.0"), "metis_runtime_wheels holds no axelera-rt 1.9.0"),
        (changed(PULLED, runtime_image="voyager:latest"), "names no image by its digest"),
        (changed(PULLED, runtime_image=None), "metis_runtime_image is missing"),
        (changed(PULLED, runtime_image=f"sha256:{A}"), "says not where it is: hand it over"),
        (changed(PULLED, runtime_source="x.tar"), "metis_runtime_sha256 is missing"),
        (changed(PULLED, runtime_source="x.tar", runtime_sha256=A), "names an image to pull"),
        (changed(PULLED, runtime_engine="lxc"), "metis_runtime_engine input should be 'auto', 'podman' or 'docker'"),
        (changed({**DEB, **MODEL}, model_sha256=None), "metis_model_sha256 is missing"),
        (changed({**DEB, **MODEL}, self_test_model="/m.json"), "both name the self-test's model"),
        (changed(DEB, model_operations=8192), "metis_model_source is missing"),
        (
            changed({**DEB, **MODEL}, model_release="1.7.0"),
            "model.json was compiled for release 1.7.0, and the runtime is 1.8.0: a model runs on the release it was "
            "compiled for, so compile it for 1.8.0 or install runtime 1.7.0",
        ),
        (changed({**WHEELS, **MODEL}, model_release="1.7.0"), "was compiled for release 1.7.0"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(data: dict[str, object], sentence: str) -> None:
    (mistake,) = settings_mistakes(data)
    assert sentence in mistake


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (WHEEL, ("axelera-rt", "1.8.0")),
        ("Some_Thing.x-1.0-2-py3-none-any.whl", ("some-thing-x", "1.0")),
        ("axelera_rt-1.8.0.tar.gz", None),
        ("axelera_rt-1.8.0-py3-none.whl", None),
    ],
)
def test_names_of_wheels(path: str, name: tuple[str, str] | None) -> None:
    assert wheel_name(path) == name

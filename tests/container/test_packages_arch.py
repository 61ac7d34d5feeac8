"""The PKGBUILD by real makepkg, and its package in a root by real pacman. Arch's own hooks are not there to be run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from driver_packages import NEW, OLD, both_packages, payload

from metis_provision.model.errors import UserError
from metis_provision.packaging.build import package
from metis_provision.packaging.recipe import Format

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(os.geteuid() != 0, reason="pacman installs into a root as root"),
]

DATABASE = "var/lib/pacman"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return both_packages(Format.ARCH, tmp_path_factory.mktemp("arch"))


def pacman(root: Path, *arguments: object) -> str:
    """What pacman says; ``-dd`` because nothing of Arch is in the root that the package could depend on."""
    (root / DATABASE).mkdir(parents=True, exist_ok=True)
    command = ["pacman", "--noconfirm", "--root", root, "--dbpath", root / DATABASE, "--config", "/dev/null"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listing(root: Path) -> set[str]:
    """Paths below ``root`` but for pacman's own memory."""
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    return {path for path in found if not path.startswith(("var", "etc"))}


def test_install_upgrade_and_removal_without_a_trace(packages: dict[str, Path], tmp_path: Path) -> None:
    before = listing(tmp_path)
    pacman(tmp_path, "-U", "-dd", packages[OLD])
    assert pacman(tmp_path, "-Q") == f"metis-dkms {OLD}-1\n"
    assert "0 altered files" in pacman(tmp_path, "-Qkk", "metis-dkms")
    pacman(tmp_path, "-U", "-dd", packages[NEW])
    assert [path.name for path in (tmp_path / "usr/src").iterdir()] == [f"metis-{NEW}"]
    assert "0 altered files" in pacman(tmp_path, "-Qkk", "metis-dkms")
    for path in ("driver/Makefile", "dkms.conf"):
        assert (tmp_path / f"usr/src/metis-{NEW}" / path).is_file()
    assert f'PACKAGE_VERSION="{NEW}"' in (tmp_path / f"usr/src/metis-{NEW}/dkms.conf").read_text()
    pacman(tmp_path, "-Rdd", "metis-dkms")
    assert listing(tmp_path) == before


def test_what_pacman_s_hooks_ask_for_is_where_they_look(packages: dict[str, Path], tmp_path: Path) -> None:
    """70-dkms-install wants /usr/src/*/dkms.conf, systemd's want sysusers.d and rules.d."""
    pacman(tmp_path, "-U", "-dd", packages[NEW])
    owned = pacman(tmp_path, "-Qlq", "metis-dkms")
    for path in (
        f"usr/src/metis-{NEW}/dkms.conf",
        "usr/lib/sysusers.d/metis-dkms.conf",
        "usr/lib/udev/rules.d/99-axelera-metis.rules",
        "usr/lib/modules-load.d/metis.conf",
    ):
        assert f"{tmp_path}/{path}\n" in owned
    info = pacman(tmp_path, "-Qi", "metis-dkms")
    assert "Install Script  : No" in info
    assert "Depends On      : acl  dkms  kmod" in info


def test_makepkg_refuses_a_source_that_is_not_the_pinned_one(packages: dict[str, Path]) -> None:
    # Not below tmp_path: only root may enter that, and makepkg refuses to be root.
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "arch"
        shutil.copytree(packages[NEW].parent / "arch", made)
        with (made / f"axelera-driver-{NEW}.tar.gz").open("ab") as stream:
            stream.write(b" ")
        subprocess.run(["chown", "-R", "65534:65534", scratch], check=True)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "makepkg", "--nodeps"]
        done = subprocess.run(
            command, cwd=made, env={**os.environ, "HOME": scratch}, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "One or more files did not pass the validity check" in done.stdout + done.stderr


def test_equal_sources_make_equal_contents(packages: dict[str, Path], tmp_path: Path) -> None:
    """But for .BUILDINFO, in which makepkg keeps the directory it worked in, and the list that has its digest."""
    (again,) = package(Format.ARCH, payload(tmp_path / "other", NEW), tmp_path / "out").packages
    contents = []
    for path in (again, packages[NEW]):
        command = ["bsdtar", "-cf", "-", "--format=mtree", "--options=sha256", f"@{path}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        contents.append([line for line in listed if line.startswith("./usr")])
    assert len(contents[0]) > 20
    assert contents[0] == contents[1]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    out = tmp_path / "small"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", out], check=True)
    try:
        with pytest.raises(UserError, match=r"could not be written: No space left on device"):
            package(Format.ARCH, payload(tmp_path / "sources", NEW), out)
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", out], check=True)

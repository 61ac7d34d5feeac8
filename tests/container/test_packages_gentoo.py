"""The ebuilds by real pkgcheck and portage's real ``ebuild``, against stubs of the eclasses they inherit.

Gentoo's repository, with the eclasses themselves, is not on this machine: the stubs have the functions that
linux-mod-r1, udev and acct-group document, and keep what linux-mod-r1 was asked to build.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.lab.standin.source import driver_tarball
from metis_provision.model.artifact import Payload
from metis_provision.packaging.build import package
from metis_provision.packaging.recipe import Format

pytestmark = [pytest.mark.container, pytest.mark.skipif(os.geteuid() != 0, reason="portage works as root")]

BIN = Path(sys.executable).parent
HEAD = """\
# @ECLASS: {name}.eclass
# @MAINTAINER:
# stub <stub@metis-provision.invalid>
# @BLURB: the functions that the eclass documents
# @SUPPORTED_EAPIS: 8
"""
ECLASSES = {
    "linux-mod-r1": """
linux-mod-r1_pkg_setup() { :; }
linux-mod-r1_src_compile() { printf '%s\\n' "${modlist[@]}" "${modargs[@]}" >"${T}"/asked; }
linux-mod-r1_src_install() { :; }
linux-mod-r1_pkg_postinst() { :; }
EXPORT_FUNCTIONS pkg_setup src_compile src_install pkg_postinst
""",
    "udev": """
udev_dorules() { insinto /usr/lib/udev/rules.d; doins "${@}"; }
udev_reload() { :; }
""",
    "acct-group": """
SLOT=0
KEYWORDS="~amd64 ~arm64"
S=${WORKDIR}
""",
}
ACL = 'EAPI=8\nDESCRIPTION="stub"\nHOMEPAGE="https://metis-provision.invalid"\nSLOT=0\nKEYWORDS="~amd64 ~arm64"\n'
MAKE_CONF = """\
DISTDIR="{base}/distfiles"
PORTAGE_TMPDIR="{base}/tmp"
ACCEPT_KEYWORDS="~amd64"
FEATURES="-sandbox -usersandbox -userpriv -userfetch -ipc-sandbox -network-sandbox -pid-sandbox -mount-sandbox"
PORTAGE_USERNAME="root"
PORTAGE_GRPNAME="root"
CHOST="x86_64-pc-linux-gnu"
"""
REPOS = """\
[DEFAULT]
main-repo = metis-provision
[gentoo]
disabled = yes
location = {base}/none
[metis-provision]
location = {base}/repo
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A portage configuration whose one repository holds the recipe and the stubs."""
    source = driver_tarball(tmp_path / "sources", "1.6.2")
    pin = Payload("driver", "1.6.2", str(source), hashlib.sha256(source.read_bytes()).hexdigest())
    repo = tmp_path / "repo"
    shutil.copytree(package(Format.GENTOO, pin, tmp_path / "out").directory, repo)
    (repo / "distfiles").rename(tmp_path / "distfiles")
    layout = repo / "metadata/layout.conf"
    write(layout, layout.read_text().replace("masters = gentoo", "masters ="))
    for name, text in ECLASSES.items():
        write(repo / f"eclass/{name}.eclass", HEAD.format(name=name) + text)
    write(repo / "sys-apps/acl/acl-1.ebuild", ACL)
    write(repo / "licenses/GPL-2", "stub\n")
    write(repo / "profiles/arch.list", "amd64\narm64\n")
    write(repo / "profiles/categories", "acct-group\nsys-apps\nsys-kernel\n")
    write(repo / "profiles/base/eapi", "8\n")
    write(repo / "profiles/base/make.defaults", 'ARCH="amd64"\nACCEPT_KEYWORDS="~amd64"\n')
    write(repo / "profiles/profiles.desc", "amd64 base dev\narm64 base dev\n")
    configuration = tmp_path / "etc/portage"
    write(configuration / "make.conf", MAKE_CONF.format(base=tmp_path))
    write(configuration / "repos.conf/repos.conf", REPOS.format(base=tmp_path))
    (configuration / "make.profile").symlink_to(repo / "profiles/base")
    # Portage asks for GNU's tools by the names they have beside others.
    for tool in ("tar", "make", "sed", "find", "xargs"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / f"bin/g{tool}").symlink_to(shutil.which(tool) or tool)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "root").mkdir()
    return tmp_path


def run(base: Path, *command: object, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(base),
        "PATH": f"{base}/bin:{BIN}:{os.environ['PATH']}",
        "PORTAGE_CONFIGROOT": str(base),
        "ROOT": str(base / "root"),
        "NOCOLOR": "true",
        **more,
    }
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)


def test_pkgcheck_finds_nothing_in_what_is_ours(base: Path) -> None:
    done = run(base, BIN / "pkgcheck", "--config", base / "etc/portage", "scan", "-r", base / "repo", "--color", "n")
    assert done.returncode == 0, done.stderr
    sections = [block.splitlines() for block in done.stdout.split("\n\n")]
    ours = {block[0]: block[1:] for block in sections if block and block[0].startswith(("sys-kernel", "acct-group"))}
    assert ours == {}


def test_pkgcheck_would_have_told(base: Path) -> None:
    (ebuild,) = (base / "repo/sys-kernel/metis").glob("*.ebuild")
    ebuild.write_text(ebuild.read_text().replace('SLOT="0"\n', "").replace("sys-apps/acl", "sys-apps/alc"))
    done = run(base, BIN / "pkgcheck", "--config", base / "etc/portage", "scan", "-r", base / "repo", "--color", "n")
    assert "sys-kernel/metis" in done.stdout


def test_ebuild_unpacks_the_pinned_source_and_installs_the_rules(base: Path) -> None:
    (ebuild,) = (base / "repo/sys-kernel/metis").glob("*.ebuild")
    done = run(base, BIN / "ebuild", ebuild, "clean", "install", KV_OUT_DIR="/usr/src/linux")
    assert done.returncode == 0, done.stdout + done.stderr
    work = base / "tmp/portage/sys-kernel/metis-1.6.2"
    tree = work / "work/axelera-driver-1.6.2/driver"
    assert (work / "temp/asked").read_text().splitlines() == [
        "metis=extra:driver:driver:modules",
        "-C",
        "/usr/src/linux",
        f"M={tree}",
    ]
    assert (tree / "Makefile").is_file()
    installed = sorted(path.name for path in (work / "image").rglob("*") if path.is_file())
    assert installed == ["99-axelera-metis.rules", "metis-card-names", "metis.conf"]


def test_ebuild_refuses_a_source_that_is_not_the_pinned_one(base: Path) -> None:
    (ebuild,) = (base / "repo/sys-kernel/metis").glob("*.ebuild")
    with (base / "distfiles/axelera-driver-1.6.2.tar.gz").open("ab") as stream:
        stream.write(b" ")
    done = run(base, BIN / "ebuild", ebuild, "clean", "unpack")
    assert done.returncode != 0
    assert not list((base / "tmp/portage").glob("*/metis-1.6.2/*/axelera-driver-1.6.2"))

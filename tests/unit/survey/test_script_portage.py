"""Packages on a host whose package manager keeps a directory for each: portage."""

from conftest import HostTree


def gentoo(host: HostTree) -> None:
    host.stub("emerge", "exit 0")
    for entry in ("sys-apps/acl-2.3.2-r1", "sys-apps/acl-extras-1.0", "sys-kernel/dkms-3.0.13", "app-misc/tool-1.0"):
        host.file(f"/var/db/pkg/{entry}/CONTENTS")


def test_a_gentoo_host_answers_for_the_packages_asked_for(host: HostTree):
    gentoo(host)
    survey = host.survey("packages", packages=("sys-apps/acl", "sys-kernel/dkms", "sys-apps/kmod", "acl", "linux-*"))
    assert survey.package_manager == "portage"
    assert survey.packages == {"sys-apps/acl": "2.3.2-r1", "sys-kernel/dkms": "3.0.13"}


def test_other_managers_are_not_asked_for_names_with_a_category(host: HostTree):
    gentoo(host)
    host.file("/var/lib/dpkg/status")
    host.stub("dpkg-query", "case \"$*\" in */*) exit 2 ;; esac\necho 'ii  acl 2.3.2'")
    survey = host.survey("packages", packages=("acl", "sys-apps/acl"))
    assert survey.package_manager == "dpkg"
    assert survey.packages == {"acl": "2.3.2"}

"""What the script recognises of other tools and older hands: files of the Cruiser documents, the vendor's, copies."""

import pytest
from conftest import HostTree

from metis_provision.model.survey import ModuleFile, Past, RuleLine, SourceTree

KERNEL = "6.12.63+deb13-amd64"
DOCUMENTED = (
    '# written by metis-setup.sh\nSUBSYSTEM=="pci", ATTR{vendor}=="0x1f0f", ATTR{device}=="0x0001", \\\n'
    '    GROUP="axelera", MODE="0660", TAG+="systemd"\n'
)


def past(host: HostTree) -> Past:
    found = host.survey("past").past
    assert found is not None
    return found


def test_a_host_without_a_past(host: HostTree):
    host.file("/usr/lib/udev/rules.d/60-block.rules", 'SUBSYSTEM=="block", MODE="0660"\n')
    host.file(f"/lib/modules/{KERNEL}/kernel/fs/ext4.ko")
    host.file("/etc/systemd/system/axelera.service", "[Service]\nExecStart=/bin/true\n[Install]\n")
    assert past(host) == Past()


def test_rules_are_read_as_udev_reads_them(host: HostTree):
    host.file("/etc/udev/rules.d/99-axelera-metis.rules", DOCUMENTED)
    host.file("/usr/lib/udev/rules.d/50-default.rules", 'SUBSYSTEM=="accel", GROUP="render"\nSUBSYSTEM=="tty"\n')
    host.file("/etc/udev/rules.d/72-axelera.rules", 'SUBSYSTEM=="metis", MODE="0666"')
    assert set(past(host).rules) == {
        RuleLine(
            "/etc/udev/rules.d/99-axelera-metis.rules",
            'SUBSYSTEM=="pci", ATTR{vendor}=="0x1f0f", ATTR{device}=="0x0001",     GROUP="axelera", MODE="0660", '
            'TAG+="systemd"',
        ),
        RuleLine("/usr/lib/udev/rules.d/50-default.rules", 'SUBSYSTEM=="accel", GROUP="render"'),
        RuleLine("/etc/udev/rules.d/72-axelera.rules", 'SUBSYSTEM=="metis", MODE="0666"'),
    }


def test_a_directory_seen_through_a_link_is_read_once(host: HostTree):
    host.file("/usr/lib/udev/rules.d/72-a.rules", 'SUBSYSTEM=="metis", MODE="0666"\n')
    host.link("/lib", "usr/lib")
    assert len(past(host).rules) == 1


def test_units_and_dracut_modules_of_the_documents(host: HostTree):
    host.file("/etc/systemd/system/axelera.service", "[Service]\nExecStart=/usr/bin/sh -c true\n")
    setup = "/usr/lib/dracut/modules.d/95rpi-hardware/module-setup.sh"
    host.file(setup, "install() {\n    inst_mods axdevice\n}\n")
    found = past(host)
    assert found.units == ("/etc/systemd/system/axelera.service",)
    assert found.dracut_modules == (setup,)


def test_sources_and_modules_with_their_packages(host: HostTree):
    host.file("/var/lib/dpkg/status")
    host.stub("dpkg-query", 'case "$*" in *1.4.16*) echo "metis-dkms: $2" ;; *) exit 1 ;; esac')
    host.file("/usr/src/metis-1.4.16/dkms.conf")
    host.file("/usr/src/metis-1.5.0/driver/metis.c")
    host.file(f"/lib/modules/{KERNEL}/extra/metis.ko", "x")
    host.file(f"/lib/modules/{KERNEL}/kernel/net/metis.ko.xz", "x")
    host.file(f"/lib/modules/{KERNEL}/modules.dep", "extra/metis.ko:\nkernel/net/metis.ko.xz: kernel/a.ko\n")
    host.link(f"/lib/modules/{KERNEL}/weak-updates/metis.ko", "/elsewhere")
    found = past(host)
    assert found.sources == (
        SourceTree("/usr/src/metis-1.4.16", "1.4.16", True, "metis-dkms"),
        SourceTree("/usr/src/metis-1.5.0", "1.5.0", False, None),
    )
    assert found.modules == (
        ModuleFile(f"/lib/modules/{KERNEL}/extra/metis.ko", KERNEL),
        ModuleFile(f"/lib/modules/{KERNEL}/kernel/net/metis.ko.xz", KERNEL),
    )


@pytest.mark.parametrize(
    ("database", "command", "body"),
    [
        ("/var/lib/rpm/x", "rpm", 'case "$1" in -qf) printf metis-dkms ;; esac'),
        ("/var/lib/pacman/local/x", "pacman", 'case "$1" in -Qqo) echo metis-dkms ;; esac'),
        ("/lib/apk/db/installed", "apk", 'echo "$3 is owned by metis-dkms"'),
    ],
)
def test_every_package_manager_is_asked_in_its_own_way(host: HostTree, database, command, body):
    host.file(database)
    host.stub(command, body)
    host.file("/usr/src/metis-1.5.0/dkms.conf")
    assert past(host).sources == (SourceTree("/usr/src/metis-1.5.0", "1.5.0", True, "metis-dkms"),)


@pytest.mark.parametrize(
    ("database", "command", "body"),
    [
        ("/var/lib/rpm/x", "rpm", 'echo "file $4 is not owned by any package"; exit 1'),
        ("/var/lib/pacman/local/x", "pacman", 'echo "error: No package owns $2" >&2; exit 1'),
        ("/lib/apk/db/installed", "apk", 'echo "ERROR: Could not find owner package" >&2; exit 1'),
        ("/var/lib/dpkg/status", "dpkg-query", 'echo "no path found matching pattern" >&2; exit 1'),
    ],
)
def test_what_belongs_to_no_package_has_no_owner(host: HostTree, database, command, body):
    host.file(database)
    host.stub(command, body)
    host.file("/usr/src/metis-1.5.0/dkms.conf")
    assert past(host).sources[0].owner is None

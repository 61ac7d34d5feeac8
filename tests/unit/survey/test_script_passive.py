"""What the script sees of made-up hosts, section by section, with every shell."""

import fcntl
import gzip
import os
from pathlib import Path

import pytest
from conftest import HostTree, config_space

from metis_provision.model.survey import FileState, JobState, PackageLock, Section, SurveyRequest
from metis_provision.survey.parser import SurveyIncomplete, read_survey

UNSET = "0x0000000000000000 0x0000000000000fff 0x0000000020040200"
NOBODY = ("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def test_an_empty_tree_is_an_empty_host(host: HostTree):
    survey = host.survey("pci", "driver", "nodes", "dkms", "state", "kernels")
    assert survey.pci is None
    assert survey.driver is not None
    assert not survey.driver.loaded
    assert survey.nodes == ()
    assert survey.dkms is None
    assert survey.receipt is None
    assert survey.jobs == {}
    assert survey.complaints == ()


def test_host_of_a_raspberry_pi(host: HostTree):
    host.file("/etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"')
    host.file("/etc/rpi-issue", "Raspberry Pi reference 2025-05-06\n")
    host.file("/proc/device-tree/model", b"Raspberry Pi 5 Model B Rev 1.0\0")
    host.file("/proc/1/comm", "systemd\n")
    host.file("/proc/sys/kernel/random/boot_id", "6d0f1a8e-0000-4000-8000-000000000001\n")
    host.file("/proc/self/smaps", "5500000000-5500020000 r-xp 0 b3:02 1 /usr/bin/dash\nKernelPageSize:       16 kB\n")
    for directory in ("run/systemd/system", "usr", "var", "boot", "tmp"):
        (host.root / directory).mkdir(parents=True)
    seen = host.survey("host").host
    assert seen.os_release["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert seen.os_release["VERSION_ID"] == "12"
    assert seen.rpi_issue
    assert seen.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert seen.init == "systemd"
    assert seen.page_size == 16384
    assert seen.boot_id == "6d0f1a8e-0000-4000-8000-000000000001"
    assert set(seen.free_kib) == {"/", "/usr", "/var", "/boot", "/tmp"}
    assert seen.secure_boot is False
    assert seen.uid == os.geteuid()
    assert seen.container is None


@pytest.mark.parametrize(
    ("mounts", "etc", "var"),
    [
        (("/dev/sda1 / ext4 rw,relatime 0 0",), True, True),
        (("/dev/sda1 / ext4 ro,relatime 0 0",), False, False),
        (("/dev/sda1 / ext4 rw 0 0", "/dev/sda1 /etc ext4 ro,relatime 0 0"), False, True),
        (("/dev/sda1 / ext4 relatime,ro 0 0", "tmpfs /var tmpfs rw 0 0"), False, True),
        (
            ("/dev/sda1 / ext4 rw,errors=remount-ro 0 0", "x /etcet ext4 ro 0 0", "y /var/log ext4 ro 0 0"),
            True,
            True,
        ),
        (("/dev/sda1 / ext4 ro 0 0", "overlay / overlay rw 0 0"), True, True),
    ],
)
def test_where_a_deploy_could_write(host: HostTree, mounts: tuple[str, ...], etc: bool, var: bool):
    host.file("/proc/self/mounts", "".join(f"{line}\n" for line in mounts))
    assert host.survey("host").host.writable == {"/etc": etc, "/var": var}


def test_mounts_that_cannot_be_read_are_not_guessed(host: HostTree):
    seen = host.survey("host").host
    assert seen.writable == {}
    assert seen.package_locks is None


def test_who_holds_the_package_managers_lock(host: HostTree):
    host.file("/proc/locks", "1: POSIX  ADVISORY  WRITE 1 00:01:1 0 EOF\n")
    assert host.survey("host").host.package_locks == ()
    inode = host.file("/var/lib/dpkg/lock-frontend", "").stat().st_ino
    other = host.file("/var/lib/dpkg/lock", "").stat().st_ino
    assert host.survey("host").host.package_locks == ()
    host.file("/proc/812/comm", "apt-get\n")
    locks = [f"1: POSIX  ADVISORY  WRITE 812 fe:00:{inode} 0 EOF", f"2: POSIX  ADVISORY  READ 7 fe:00:{other} 0 EOF"]
    host.file("/proc/locks", "".join(f"{line}\n" for line in locks))
    assert host.survey("host").host.package_locks == (PackageLock("/var/lib/dpkg/lock-frontend", 812, "apt-get"),)


@pytest.mark.parametrize(
    ("files", "links", "init"),
    [
        ({"/run/systemd/system/x": ""}, {}, "systemd"),
        ({"/run/openrc/softlevel": "default"}, {"/sbin/init": "/bin/busybox"}, "openrc"),
        ({"/proc/1/comm": "init\n"}, {"/sbin/init": "/bin/busybox"}, "busybox"),
        ({"/proc/1/comm": "init\n"}, {}, "sysvinit"),
        ({"/proc/1/comm": "sleep\n"}, {}, "unknown"),
        ({}, {}, "unknown"),
    ],
)
def test_init_systems(host: HostTree, files, links, init):
    for path, content in files.items():
        host.file(path, content)
    for path, target in links.items():
        host.link(path, target)
    assert host.survey("host").host.init == init


@pytest.mark.parametrize(
    ("files", "container"),
    [
        ({"/run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        ({"/run/.containerenv": ""}, "podman"),
        ({"/.dockerenv": ""}, "docker"),
        ({"/proc/1/environ": b"A=b\0container=lxc\0PATH=/bin\0"}, "lxc"),
        ({"/proc/1/environ": b"A=container=x\0"}, None),
    ],
)
def test_containers(host: HostTree, files, container):
    for path, content in files.items():
        host.file(path, content)
    assert host.survey("host").host.container == container


@pytest.mark.parametrize(("last", "state"), [(1, True), (0, False)])
def test_secure_boot_is_the_last_octet_of_the_variable(host: HostTree, last, state):
    name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    host.file(f"/sys/firmware/efi/efivars/{name}", bytes([6, 0, 0, 0, last]))
    assert host.survey("host").host.secure_boot is state


def test_secure_boot_is_unknown_without_the_variable(host: HostTree):
    host.file("/sys/firmware/efi/config_table")
    assert host.survey("host").host.secure_boot is None


def test_kernels_their_headers_modules_and_options(host: HostTree):
    host.file("/proc/sys/kernel/osrelease", "6.12.63+deb13-amd64\n")
    host.file("/lib/modules/6.12.63+deb13-amd64/modules.builtin")
    host.file("/lib/modules/6.12.63+deb13-amd64/updates/dkms/metis.ko.xz", "x")
    host.file("/usr/src/headers/Makefile")
    host.link("/lib/modules/6.12.63+deb13-amd64/build", host.root / "usr/src/headers")
    host.file("/boot/config-6.12.63+deb13-amd64", "CONFIG_DMABUF_HEAPS=y\nCONFIG_DMABUF_HEAPS_SYSTEM=y\n")
    host.file("/lib/modules/6.12.48+deb13-amd64/kernel/fs/ext4.ko.xz")
    host.file("/lib/modules/6.12.48+deb13-amd64/config", "# CONFIG_DMABUF_HEAPS_SYSTEM is not set\n")
    host.link("/lib/modules/6.12.48+deb13-amd64/build", "/nowhere")
    host.file("/lib/modules/6.1.0-leftover/updates/dkms/metis.ko")
    host.stub("modinfo", 'printf "filename: %s\\nversion:        1.6.2\\nvermagic:       6.12 SMP mod_unload \\n" "$1"')
    kernels = {kernel.release: kernel for kernel in host.survey("kernels").kernels}
    assert set(kernels) == {"6.12.63+deb13-amd64", "6.12.48+deb13-amd64"}
    running = kernels["6.12.63+deb13-amd64"]
    assert running.running
    assert running.headers
    assert running.module_path == "/lib/modules/6.12.63+deb13-amd64/updates/dkms/metis.ko.xz"
    assert (running.module_version, running.vermagic) == ("1.6.2", "6.12 SMP mod_unload")
    assert running.dmabuf_heaps is True
    other = kernels["6.12.48+deb13-amd64"]
    assert not other.running
    assert not other.headers
    assert other.module_path is None
    assert other.dmabuf_heaps is False


@pytest.mark.parametrize(
    "place", ["extra/metis.ko.xz", "updates/metis.ko.zst", "kernel/extra/metis.ko.gz", "updates/dkms/metis.ko"]
)
def test_a_module_is_found_wherever_a_family_puts_it(host: HostTree, place):
    host.file("/proc/sys/kernel/osrelease", "6.1.0\n")
    host.file(f"/lib/modules/6.1.0/{place}", "x")
    assert host.survey("kernels").kernels[0].module_path == f"/lib/modules/6.1.0/{place}"


def test_a_module_elsewhere_is_found_through_depmod(host: HostTree):
    host.file("/proc/sys/kernel/osrelease", "6.1.0\n")
    host.file("/lib/modules/6.1.0/modules.dep", "kernel/a/notmetis.ko:\nkernel/drivers/misc/metis.ko.xz: kernel/b.ko\n")
    host.file("/lib/modules/6.1.0/kernel/drivers/misc/metis.ko.xz", "x")
    assert host.survey("kernels").kernels[0].module_path == "/lib/modules/6.1.0/kernel/drivers/misc/metis.ko.xz"


def test_a_running_kernel_whose_modules_are_gone_is_still_seen(host: HostTree):
    host.file("/proc/sys/kernel/osrelease", "6.11.6-arch1-1\n")
    host.file("/proc/config.gz", gzip.compress(b"CONFIG_DMABUF_HEAPS_SYSTEM=y\n"))
    host.file("/lib/modules/6.11.7-arch1-1/modules.builtin")
    kernels = {kernel.release: kernel for kernel in host.survey("kernels").kernels}
    assert kernels["6.11.6-arch1-1"].running
    assert not kernels["6.11.6-arch1-1"].headers
    assert kernels["6.11.6-arch1-1"].dmabuf_heaps is True
    assert kernels["6.11.7-arch1-1"].dmabuf_heaps is None


def test_a_card_and_its_root_port(host: HostTree):
    host.card()
    host.pci("0000:00:02.0", ids=("0x8086", "0x1237", "0x020000"))
    port, card = host.survey("pci").pci
    assert (port.bdf, port.class_code, port.driver, port.path) == ("0000:00:01.0", "060400", "pcieport", ())
    assert (card.bdf, card.vendor, card.device, card.class_code) == ("0000:01:00.0", "1f9d", "1100", "120000")
    assert (card.revision, card.driver, card.path) == ("02", "axl", ("0000:00:01.0",))
    assert (card.current_speed, card.current_width, card.max_speed, card.max_width) == (8.0, 4, 8.0, 4)
    assert card.bars == (0x1000, 0, 0x2000000, 0, 0, 0)
    assert (card.max_payload, card.max_read_request, card.config_reads_ff) == (128, 512, False)


def test_the_path_names_every_bridge_and_domains_may_be_long(host: HostTree):
    for hops in (
        ("10000:e0:06.0",),
        ("10000:e0:06.0", "10000:e1:00.0"),
        ("10000:e0:06.0", "10000:e1:00.0", "10000:e2:01.0"),
    ):
        host.pci(*hops, ids=("0x12d8", "0x2304", "0x060400"))
    host.pci("10000:e0:06.0", "10000:e1:00.0", "10000:e2:01.0", "10000:e3:00.0")
    functions = {function.bdf: function for function in host.survey("pci").pci}
    assert functions["10000:e3:00.0"].path == ("10000:e0:06.0", "10000:e1:00.0", "10000:e2:01.0")
    assert functions["10000:e2:01.0"].path == ()
    assert len(functions) == 4


def test_which_functions_are_looked_at(host: HostTree):
    wanted = {
        "0000:01:00.0": ("0x1f9d", "0x11aa", "0x120000"),
        "0000:02:00.0": ("0x1f9d", "0x0001", "0x120000"),
        "0000:03:00.0": ("0x1234", "0x2024", "0x000000"),
        "0000:04:00.0": ("0x1e81", "0x1202", "0x010802"),
        "0000:05:00.0": ("0x1f0f", "0x0001", "0x020000"),
        "0000:06:00.0": ("0x16c3", "0xabcd", "0xff0000"),
        "0000:07:00.0": ("0x1e60", "0x2864", "0x120000"),
        "0000:08:00.0": ("0x8086", "0x7d1d", "0x120000"),
    }
    unwanted = {
        "0000:11:00.0": ("0x1234", "0x1111", "0x030000"),
        "0000:12:00.0": ("0x16c3", "0x1234", "0xff0000"),
        "0000:13:00.0": ("0x8086", "0x1237", "0x020000"),
    }
    for bdf, ids in (wanted | unwanted).items():
        host.pci(bdf, ids=ids)
    assert {function.bdf for function in host.survey("pci").pci} == set(wanted)


def test_a_card_off_the_bus_reads_ff(host: HostTree):
    host.pci("0000:01:00.0", config=b"\xff" * 256, current_link_speed="Unknown", current_link_width="63")
    (card,) = host.survey("pci").pci
    assert card.config_reads_ff
    assert card.current_speed is None
    assert card.max_payload is None


def test_an_unprivileged_look_knows_no_payload_size(host: HostTree):
    host.pci("0000:01:00.0", config=config_space(length=64))
    (card,) = host.survey("pci").pci
    assert (card.max_payload, card.config_reads_ff) == (None, False)


def test_a_bar_without_an_address_has_no_size(host: HostTree):
    host.pci("0000:01:00.0", bars=[UNSET, "0x0 0x0 0x0", "0x00000000fc000000 0x00000000fdffffff 0x40200"])
    assert host.survey("pci").pci[0].bars == (0, 0, 0x2000000, 0, 0, 0)


def test_the_driver_in_memory(host: HostTree):
    host.card()
    host.file("/sys/module/metis/version", "1.6.2\n")
    host.file("/sys/module/metis/parameters/single_msi", "0\n")
    host.file("/sys/module/metis/parameters/odd one", "a\tb\n")
    driver = host.survey("driver").driver
    assert driver.loaded
    assert driver.version == "1.6.2"
    assert driver.bound == ("0000:01:00.0",)
    assert driver.parameters == {"single_msi": "0", "odd one": "a?b"}


def test_the_class_knows_the_version_where_the_module_does_not(host: HostTree):
    host.file("/sys/module/metis/initstate", "live\n")
    host.file("/sys/class/metis/version", "1.5.6\n")
    assert host.survey("driver").driver.version == "1.5.6"


def test_dkms_that_is_not_installed_and_dkms_with_nothing_in_it(host: HostTree):
    assert host.survey("dkms").dkms is None
    host.stub("dkms", "echo asked >&2; echo 'metis/1.6.2: added'")
    (host.root / "var/lib/dkms").mkdir(parents=True)
    assert host.survey("dkms").dkms == ()


@pytest.mark.parametrize("moved", [False, True])
def test_dkms_is_asked_when_its_tree_has_the_module_or_lies_elsewhere(host: HostTree, moved):
    host.stub("dkms", '[ "$*" = "status -m metis" ] && echo "metis/1.6.2, 6.12.63+deb13-amd64, x86_64: installed"')
    if moved:
        (host.root / "var/lib/dkms").mkdir(parents=True)
        host.file("/etc/dkms/framework.conf", '# dkms_tree="/x"\n  dkms_tree="/srv/dkms"\n')
    else:
        (host.root / "var/lib/dkms/metis").mkdir(parents=True)
    (build,) = host.survey("dkms").dkms
    assert (build.version, build.kernel, build.state) == ("1.6.2", "6.12.63+deb13-amd64", "installed")


def test_dkms_that_does_not_answer_is_a_section_missing(host: HostTree):
    (host.root / "var/lib/dkms/metis").mkdir(parents=True)
    host.stub("dkms", "echo metis/1.6.2: added; exit 124")
    with pytest.raises(SurveyIncomplete, match="dkms status did not answer"):
        read_survey(host.output(SurveyRequest(sections=(Section.DKMS,))))


def test_dkms_is_given_what_it_takes_on_a_slow_host_with_two_kernels(host: HostTree):
    (host.root / "var/lib/dkms/metis").mkdir(parents=True)
    host.stub("dkms", "echo metis/1.6.2: added")
    # More than 20 s were measured; the stand-in for timeout cuts off whatever is given less than twice that.
    host.stub("timeout", 'shift 2; [ "$1 $2" != "$1 dkms" ] || [ "$1" -ge 40 ] || exit 124; shift; exec "$@"')
    (build,) = host.survey("dkms").dkms
    assert build.state == "added"


def test_what_dkms_complains_of_is_kept(host: HostTree):
    (host.root / "var/lib/dkms/metis").mkdir(parents=True)
    host.stub("dkms", "echo 'Error! Could not locate dkms.conf file.' >&2; echo metis/1.6.2: broken; exit 4")
    survey = host.survey("dkms")
    assert [build.state for build in survey.dkms] == ["broken"]
    assert survey.complaints == ("status\tError! Could not locate dkms.conf file.",)


def test_a_version_whose_sources_are_gone_is_broken_whatever_dkms_says(host: HostTree):
    # DKMS 3.0.10: silent about a version that was built, and "added" for one that was not.
    host.link("/var/lib/dkms/metis/1.5.6/source", "/usr/src/nowhere")
    host.link("/var/lib/dkms/metis/1.6.1/source", "/usr/src/nowhere")
    host.file("/usr/src/metis-1.6.2/dkms.conf")
    host.link("/var/lib/dkms/metis/1.6.2/source", host.root / "usr/src/metis-1.6.2")
    host.stub("dkms", "echo metis/1.5.6: added; echo metis/1.6.2: added")
    states = [(build.version, build.state) for build in host.survey("dkms").dkms]
    assert states == [("1.6.2", "added"), ("1.5.6", "broken"), ("1.6.1", "broken")]


@pytest.mark.parametrize("older", [False, True])
def test_without_a_timeout_as_we_know_it_the_look_goes_on(host: HostTree, older):
    if older:
        # Busybox before 1.30 had no -k.
        host.stub("timeout", '[ "$1" != -k ] || exit 1; shift; exec "$@"')
    else:
        host.without("timeout")
    (host.root / "var/lib/dkms/metis").mkdir(parents=True)
    host.stub("dkms", "echo metis/1.6.2: added")
    assert [build.state for build in host.survey("dkms").dkms] == ["added"]


def test_without_sha256sum_files_are_a_section_missing(host: HostTree):
    host.without("sha256sum")
    host.file("/etc/a")
    with pytest.raises(SurveyIncomplete, match="there is no sha256sum"):
        read_survey(host.output(SurveyRequest(sections=(Section.FILES,), paths=("/etc/a",))))


def test_accounts(host: HostTree):
    host.file(
        "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nfrigate:x:998:998:Frigate, NVR:/var/lib/frigate:/bin/false\n"
    )
    host.file("/etc/group", "root:x:0:\naxelera:x:997:frigate,hass\nfrigate:x:998:\nvideo:x:44:pi,frigate2\n")
    survey = host.survey("accounts", users=("frigate", "hass"), groups=("video", "nope"), group="axelera")
    assert set(survey.users) == {"frigate"}
    assert survey.users["frigate"].id == 998
    assert set(survey.users["frigate"].groups) == {"frigate", "axelera"}
    assert set(survey.groups) == {"axelera", "video"}
    assert survey.groups["axelera"].members == ("frigate", "hass")


def test_files(host: HostTree):
    host.file("/etc/a b'c\"d", "hello\n", mode=0o640)
    host.file("/etc/empty", "")
    host.link("/etc/link", "/etc/else where")
    (host.root / "etc/dir").mkdir()
    os.mkfifo(host.root / "etc/pipe")
    paths = ("/etc/a b'c\"d", "/etc/empty", "/etc/link", "/etc/dir", "/etc/pipe", "/etc/nothing", "/etc/*")
    files = host.survey("files", paths=paths).files
    assert {path: state.kind for path, state in files.items()} == dict(
        zip(paths, ("file", "file", "link", "directory", "other", "absent", "absent"), strict=True)
    )
    first = files["/etc/a b'c\"d"]
    assert first.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert first.mode == "0640"
    assert files["/etc/link"].target == "/etc/else where"
    assert files["/etc/nothing"] == FileState("/etc/nothing", "absent")
    assert files["/etc/empty"].sha256.startswith("e3b0c442")


def test_a_path_behind_a_closed_directory_is_unknown_not_absent(rooted: HostTree):
    rooted.file("/closed/within")
    (rooted.root / "closed").chmod(0o700)
    survey = rooted.survey("files", paths=("/closed/within", "/open"), identity=NOBODY)
    assert set(survey.files) == {"/open"}
    assert survey.complaints == ("file\t/closed/within\thidden",)


def test_packages_of_dpkg(host: HostTree):
    host.file("/var/lib/dpkg/status", "Package: dkms\n")
    host.stub(
        "dpkg-query",
        "printf 'ii  dkms 3.2.2-1~deb13u1\\nrc  old 1.0\\nhi  held 2:1.0+b1\\nun  virtual \\n'; echo noise >&2; exit 1",
    )
    survey = host.survey("packages", packages=("dkms", "old", "held", "virtual"))
    assert survey.packages == {"dkms": "3.2.2-1~deb13u1", "held": "2:1.0+b1"}
    assert survey.package_manager == "dpkg"


def test_packages_of_rpm_are_found_under_the_name_asked_for(host: HostTree):
    release = "6.16.7-200.fc42"
    (host.root / "var/lib/rpm").mkdir(parents=True)
    host.stub("rpm", f"echo '@kernel-devel {release} x86_64'; echo 'package nope is not installed'; exit 1")
    survey = host.survey("packages", packages=(f"kernel-devel-{release}.x86_64", "nope"))
    assert survey.packages == {f"kernel-devel-{release}.x86_64": release}


def test_packages_of_apk(host: HostTree):
    (host.root / "lib/apk/db").mkdir(parents=True)
    host.stub("apk", "echo linux-lts-dev-6.18.32-r0")
    assert host.survey("packages", packages=("linux-lts-dev",)).packages == {"linux-lts-dev": "6.18.32-r0"}


def test_packages_of_pacman(host: HostTree):
    (host.root / "var/lib/pacman/local").mkdir(parents=True)
    host.stub("pacman", "echo 'linux-headers 6.11.6.arch1-1'")
    assert host.survey("packages", packages=("linux-headers",)).packages == {"linux-headers": "6.11.6.arch1-1"}


def test_a_host_without_a_known_package_manager(host: HostTree):
    survey = host.survey("packages", packages=("dkms",))
    assert survey.packages == {}
    assert survey.package_manager is None


def test_an_account_database_that_cannot_be_read_is_a_section_missing(host: HostTree):
    with pytest.raises(SurveyIncomplete, match="accounts"):
        read_survey(host.output(SurveyRequest(sections=(Section.ACCOUNTS,), users=("frigate",))))


def test_the_receipt_comes_back_as_it_is(host: HostTree):
    receipt = '{\n  "format": 1,\n  "files": ["a\\tb", "-n", "\\\\"]\n}\n'
    host.file("/var/lib/metis-provision/receipt.json", receipt)
    assert host.survey("state").receipt == receipt


def test_a_job_runs_as_long_as_its_lock_is_held(host: HostTree):
    jobs = "/run/metis-provision/jobs"
    for name in ("dkms", "ended", "died"):
        host.file(f"{jobs}/{name}/lock")
        host.file(f"{jobs}/{name}/key", f"{name} 1.6.2\n")
    host.file(f"{jobs}/ended/status", "10\n")
    host.file("/run/metis-provision/lock")
    with (host.root / "run/metis-provision/jobs/dkms/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        survey = host.survey("state")
    assert survey.jobs == {
        "dkms": JobState("dkms", running=True, status=None, key="dkms 1.6.2"),
        "ended": JobState("ended", running=False, status=10, key="ended 1.6.2"),
        "died": JobState("died", running=False, status=None, key="died 1.6.2"),
    }
    assert survey.locked is False


def test_without_a_way_to_ask_the_lock_an_unfinished_job_is_taken_to_run(host: HostTree):
    host.without("flock")
    for name in ("dkms", "ended"):
        host.file(f"/run/metis-provision/jobs/{name}/lock")
    host.file("/run/metis-provision/jobs/ended/status", "0\n")
    host.file("/run/metis-provision/lock")
    survey = host.survey("state")
    assert survey.jobs["dkms"].running
    assert not survey.jobs["ended"].running
    assert survey.locked is None


def test_the_log_keeps_the_lines_about_the_card(host: HostTree):
    host.pci("0001:01:00.0")
    lines = [f"[    1.{n:06d}] usb 1-1: line {n}" for n in range(100)]
    lines += [f"[    2.{n:06d}] axl 0001:01:00.0: line {n}" for n in range(60)]
    lines += ["[    3.000000] pci 0001:01:00.0: BAR 2: no space", "[    4.000000] metis: \xe9\x1b[31mred"]
    host.file("/dmesg.txt", "\n".join(lines) + "\n")
    host.stub("dmesg", f"cat '{host.root}/dmesg.txt'")
    log = host.survey("log").log
    assert len(log) == 40
    assert log[-2:] == ("[    3.000000] pci 0001:01:00.0: BAR 2: no space", "[    4.000000] metis: ???[31mred")


def test_a_log_that_may_not_be_read_is_not_an_empty_log(host: HostTree):
    host.stub("dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1")
    survey = host.survey("log")
    assert survey.log == ()
    assert not survey.log_readable


def test_names_with_newlines_and_tabs_stay_in_their_field(host: HostTree):
    host.file("/proc/sys/kernel/osrelease", "6.1.0\n")
    host.file("/lib/modules/6.1.0\n@end kernels\n\tx/modules.builtin")
    host.file("/sys/module/metis/parameters/a\nloaded", "1\n")
    survey = host.survey("kernels", "driver")
    assert {kernel.release for kernel in survey.kernels} == {"6.1.0", "6.1.0?@end kernels??x"}
    assert survey.driver.parameters == {"a?loaded": "1"}


def test_nothing_is_written_to_the_host(host: HostTree):
    host.card()
    host.file("/etc/os-release", "ID=debian\n")
    host.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    host.file("/etc/group", "root:x:0:\n")
    host.file("/run/metis-provision/jobs/dkms/lock")
    before = _listing(host.root)
    host.survey("host", "kernels", "pci", "driver", "nodes", "accounts", "files", "state", paths=("/etc/os-release",))
    assert _listing(host.root) == before


def _listing(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in root.rglob("*")}

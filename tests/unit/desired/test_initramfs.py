"""What goes into images: by carrier or as asked, by the generator in charge; and when an image must be built anew."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from metis_provision.catalog.carriers import carriers
from metis_provision.desired import driver, initramfs
from metis_provision.desired.difference import DriverChange, difference
from metis_provision.model.artifact import Concern, DesiredState, DkmsModule, File, ImageContent, Initramfs, Payload
from metis_provision.model.receipt import Receipt, ReceiptFile
from metis_provision.model.settings import Settings, settings_mistakes
from metis_provision.model.survey import FileState, Generator, Host, InitramfsImage, InitramfsState, Kernel, Survey

KERNEL, OTHER = "6.12.63+deb13-amd64", "6.12.57+deb13-amd64"
HOOKS = {
    Generator.DRACUT: initramfs.DRACUT_MODULE,
    Generator.INITRAMFS_TOOLS: initramfs.INITRAMFS_TOOLS_HOOK,
    Generator.MKINITCPIO: initramfs.MKINITCPIO_HOOK,
    Generator.MKINITFS: initramfs.MKINITFS_MODULES,
}


def asked(choice: str = "auto", **changes: object) -> Settings:
    return Settings.model_validate({"driver": "none", "initramfs": choice, **changes})


def host(generator: Generator | None, *images: InitramfsImage, architecture: str = "x86_64") -> Survey:
    return Survey(host=Host(architecture=architecture), initramfs=InitramfsState(generator, images))


def content(files: tuple[File, ...], path: str) -> str:
    return next(file.content.decode() for file in files if file.path == path)


def image(kernel: str = KERNEL, *, inputs: str | None = "d1", record: tuple[str, str] | None = ("d1", "9 1")):
    return InitramfsImage(kernel, f"/boot/initrd.img-{kernel}", "9 1", inputs, record)


def test_an_unknown_choice_is_one_sentence():
    (mistake,) = settings_mistakes({"metis_driver": "none", "metis_initramfs": "both"})
    assert mistake == "metis_initramfs input should be 'auto', 'driver', 'files' or 'none' (it is 'both')"


@pytest.mark.parametrize("name", carriers())
def test_every_carrier_says_why(name):
    wanted = carriers()[name].initramfs
    assert wanted.reason.endswith(".")
    found = initramfs.initramfs(asked(carrier=name))
    assert (found.content if found else ImageContent.NONE) == wanted.content


def test_a_plain_host_is_not_touched_and_the_documented_carrier_gets_its_files():
    assert initramfs.initramfs(asked()) is None
    assert initramfs.initramfs(asked(carrier="x86-slot")) is None
    assert initramfs.files(asked(), host(Generator.DRACUT)) == ()
    wanted = initramfs.initramfs(asked(carrier="exaviz-cruiser"))
    assert wanted is not None
    assert (wanted.content, wanted.inputs) == (ImageContent.FILES, ())
    assert initramfs.initramfs(asked("none", carrier="exaviz-cruiser")) is None


def test_a_host_without_a_generator_gets_no_hook():
    assert initramfs.files(asked("driver"), host(None)) == ()
    assert initramfs.files(asked("driver"), Survey()) == ()


@pytest.mark.parametrize("generator", Generator)
def test_each_generator_gets_its_own_hook_and_nobody_elses(generator):
    files = initramfs.files(asked("driver"), host(generator))
    paths = {file.path for file in files}
    assert {initramfs.INPUTS, HOOKS[generator]} <= paths
    assert (initramfs.RULES in paths) == (generator is not Generator.MKINITFS)
    assert not paths & (set(HOOKS.values()) - {HOOKS[generator]})
    assert paths <= set(initramfs.PATHS)
    assert {file.concern for file in files} == {Concern.INITRAMFS}


def test_the_dracut_module_is_taken_in_as_documented_or_where_it_was_asked_for():
    def machines(settings: Settings, architecture: str) -> str:
        text = content(
            initramfs.files(settings, host(Generator.DRACUT, architecture=architecture)), initramfs.DRACUT_MODULE
        )
        return next(line for line in text.splitlines() if "for machine in" in line).strip()

    assert machines(asked(carrier="exaviz-cruiser"), "x86_64") == "for machine in aarch64; do"
    assert machines(asked("files"), "x86_64") == "for machine in aarch64 x86_64; do"
    assert machines(asked("driver"), "aarch64") == "for machine in aarch64; do"


def test_modules_go_in_only_with_the_driver():
    for generator in (Generator.DRACUT, Generator.MKINITFS):
        with_driver = initramfs.files(asked("driver"), host(generator))
        alone = initramfs.files(asked("files"), host(generator))
        path = initramfs.INPUTS if generator is Generator.DRACUT else initramfs.MKINITFS_MODULES
        assert "rp1_uart" in content(with_driver, path)
        assert "rp1_uart" not in content(alone, path)


def test_overlays_are_the_carriers_and_those_asked_for():
    settings = asked("files", carrier="exaviz-cruiser", runtime_overlays=["mine", "/opt/board/odd.dtbo"])
    text = content(initramfs.files(settings, host(Generator.INITRAMFS_TOOLS)), initramfs.INPUTS)
    for name in ("exaviz-cruiser.dtbo", "axelera-metis.dtbo", "mine.dtbo", "/opt/board/odd.dtbo"):
        assert name in text


def scripts() -> list[tuple[str, bytes]]:
    every = [
        (f"{generator}-{choice}-{file.path.rpartition('/')[2]}", file.content)
        for generator in Generator
        for choice in ("driver", "files")
        for carrier in ("generic", "exaviz-cruiser")
        for file in initramfs.files(asked(choice, carrier=carrier), host(generator))
    ]
    return [(name, text) for name, text in every if text.startswith(b"#!")]


@pytest.mark.parametrize("text", dict.fromkeys(text for _, text in scripts()))
def test_hooks_pass_shellcheck(text, shellcheck):
    # The functions it sources are the generator's.
    assert shellcheck("-e", "SC1091", text=text.decode()) == ""


# ---- what an image must hold, asked of made-up hosts


@pytest.fixture(params=["dash", "busybox sh"])
def inputs_of(request, tmp_path):
    """A function that writes files below a root and returns what the program prints for the kernel."""
    root = tmp_path / "root"
    program = tmp_path / "initramfs-inputs"

    def run(*arguments: str, choice: str = "driver", **files: str) -> list[str]:
        rendered = initramfs.files(asked(choice, runtime_overlays=["mine"]), host(Generator.INITRAMFS_TOOLS))
        program.write_text(content(rendered, initramfs.INPUTS))
        for path, text in files.items():
            target = root / path.replace("__", "/").lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        done = subprocess.run(
            [*request.param.split(), str(program), *arguments],
            env={"METIS_ROOT": str(root), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    run.bin = tmp_path / "bin"
    run.bin.mkdir()
    return run


DEPENDENCIES = "kernel/other/notmetis.ko.xz:\nupdates/dkms/metis.ko.xz: kernel/x.ko\nkernel/tty/rp1-uart.ko:\n"


def kernel_files(module: str = "m") -> dict[str, str]:
    base = "/lib/modules/6.6"
    return {
        f"{base}/modules.dep": DEPENDENCIES,
        f"{base}/updates/dkms/metis.ko.xz": module,
        f"{base}/kernel/tty/rp1-uart.ko": "u",
    }


def test_modules_the_kernel_has_and_overlays_the_host_has_are_named(inputs_of):
    lines = inputs_of("6.6", **kernel_files(), **{"/boot/firmware/overlays/mine.dtbo": "o"})
    assert lines[:3] == [
        "module metis /lib/modules/6.6/updates/dkms/metis.ko.xz",
        "module rp1_uart /lib/modules/6.6/kernel/tty/rp1-uart.ko",
        "file /boot/firmware/overlays/mine.dtbo /boot/firmware/overlays/mine.dtbo",
    ]
    assert len(lines) == 4
    assert lines[3].startswith("inputs ")


def test_a_host_that_has_nothing_still_has_a_digest(inputs_of):
    (line,) = inputs_of("6.6")
    assert len(line.removeprefix("inputs ")) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"/lib/modules/6.6/updates/dkms/metis.ko.xz": "newer"},
        {"/boot/overlays/mine.dtbo": "o"},
        {initramfs.RULES: "# rules"},
        {driver.MODPROBE: "options metis single_msi=1"},
        {initramfs.INITRAMFS_TOOLS_HOOK: "# hook"},
    ],
)
def test_the_digest_follows_every_input(inputs_of, change):
    before = inputs_of("6.6", **kernel_files())[-1]
    assert inputs_of("6.6")[-1] == before
    assert inputs_of("6.6", **{"/lib/modules/6.6/kernel/tty/other.ko": "x"})[-1] == before
    assert inputs_of("6.6", **change)[-1] != before


def test_an_image_is_asked_for_each_of_them(inputs_of, tmp_path):
    lister = inputs_of.bin / "lsinitramfs"
    (digest,) = [line.split()[1] for line in inputs_of("6.6", **kernel_files()) if line.startswith("inputs")]

    def found(*paths: str) -> list[str]:
        listing = "".join(f"echo {path}\n" for path in paths)
        lister.write_text(f"#!/bin/sh\n{listing}")
        lister.chmod(0o755)
        return inputs_of("6.6", str(tmp_path / "image"))

    held = found(
        "lib/modules/6.6/metis.ko", "lib/modules/6.6/rp1-uart.ko.zst", f"usr/lib/metis-provision/inputs-{digest}"
    )
    assert held == ["holds metis", "holds rp1_uart", f"holds inputs {digest}"]
    lacking = found("early/metis.korea", "lib/modules/6.6/notmetis.ko", "usr/lib/metis-provision/inputs-0123")
    assert lacking == ["lacks metis", "lacks rp1_uart", f"lacks inputs {digest}"]
    lister.write_text("#!/bin/sh\necho 'cpio: premature end' >&2\nexit 2\n")
    assert inputs_of("6.6", str(tmp_path / "image")) == ["unreadable"]


# ---- when an image is built anew


WANTED = DesiredState(initramfs=Initramfs(ImageContent.DRIVER, "asked for", (driver.MODPROBE,)))


def change(desired: DesiredState, survey: Survey, receipt: Receipt | None = None):
    return difference(asked("driver"), desired, survey, receipt or Receipt()).initramfs


def kernels(found) -> list[str]:
    return [image.kernel for image in found.images]


def test_a_current_image_is_left_alone():
    assert change(WANTED, host(Generator.DRACUT, image())) is None
    assert change(WANTED, host(None, image(record=None))) is None
    assert change(WANTED, Survey()) is None


@pytest.mark.parametrize(
    "stale",
    [
        image(OTHER, record=None),
        image(OTHER, inputs="d2"),
        image(OTHER, inputs=None),
        image(OTHER, record=("d1", "9 2")),
        image(OTHER, record=("-", "-")),
    ],
)
def test_only_a_stale_image_is_built_anew(stale):
    found = change(WANTED, host(Generator.DRACUT, image(), stale))
    assert found is not None
    assert kernels(found) == [OTHER]
    assert found.reasons == (f"build the initramfs of {OTHER} anew",)


def test_the_driver_comes_first_and_takes_its_kernels_images_along():
    survey = replace(
        host(Generator.DRACUT, image(), image(OTHER)), kernels=(Kernel(KERNEL, running=True, headers=True),)
    )
    tree = DkmsModule("metis", "1.6.2", Payload("driver", "1.6.2", "x.tar.gz", "0" * 64), b"")
    building = replace(WANTED, dkms=tree)
    found = difference(asked("driver"), building, survey, Receipt())
    assert isinstance(found.driver, DriverChange)
    assert found.initramfs is not None
    assert kernels(found.initramfs) == [KERNEL]
    files_only = replace(building, initramfs=Initramfs(ImageContent.FILES, "by carrier"))
    assert change(files_only, survey) is None


def test_options_of_the_driver_are_part_of_every_image():
    options = File(driver.MODPROBE, b"options metis single_msi=1\n")
    survey = host(Generator.DRACUT, image(), image(OTHER))
    found = change(replace(WANTED, files=(options,)), survey)
    assert found is not None
    assert kernels(found) == [KERNEL, OTHER]
    state = FileState(options.path, "file", options.sha256, options.mode, options.owner, options.group)
    assert change(replace(WANTED, files=(options,)), replace(survey, files={options.path: state})) is None


def test_a_hook_that_changes_takes_every_image_along():
    hook = File(initramfs.DRACUT_MODULE, b"#", concern=Concern.INITRAMFS)
    found = change(replace(WANTED, files=(hook,)), host(Generator.DRACUT, image(), image(OTHER)))
    assert found is not None
    assert kernels(found) == [KERNEL, OTHER]


def test_what_was_ours_is_taken_out_again_and_foreign_images_are_left():
    nothing = DesiredState()
    assert change(nothing, host(Generator.DRACUT, image(inputs=None, record=None))) is None
    found = change(nothing, host(Generator.DRACUT, image(inputs=None), image(OTHER, inputs=None, record=None)))
    assert found is not None
    assert (kernels(found), found.wanted) == ([KERNEL], False)
    assert found.reasons == (f"build the initramfs of {KERNEL} anew without our parts",)
    written = ReceiptFile(sha256="0", mode="0755", owner="root", group="root", concern=Concern.INITRAMFS)
    receipt = Receipt(files={initramfs.DRACUT_MODULE: written})
    found = change(nothing, host(Generator.DRACUT, image(record=None)), receipt)
    assert found is not None
    assert kernels(found) == [KERNEL]

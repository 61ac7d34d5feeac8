"""Checks of what is in the initramfs of each kernel: looked for in the image itself, not in what we did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from metis_provision.checks.evidence import Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.settings import InitramfsChoice
from metis_provision.model.survey import InitramfsImage, Section

checks = Checks()

_MARK = "inputs "
_LIST_IT = "List the image on the host with its generator's own tool (lsinitramfs, lsinitrd, lsinitcpio) and read why."


@checks.answers("METIS-620")
def running_image_holds_everything(evidence: Evidence) -> Iterator[Outcome]:
    """The image that is loaded with the running kernel holds module, rules and overlays."""
    if (why := _nothing_wanted(evidence)) is not None:
        yield skipped(why)
        return
    running = evidence.running_kernel.release
    image = _images(evidence).get(running)
    if image is None:
        yield _no_image(evidence, running)
    else:
        yield _contents(evidence, image)


@checks.answers("METIS-621")
def running_image_is_current(evidence: Evidence) -> Iterator[Outcome]:
    """The image that is loaded with the running kernel was built from what should go in now."""
    if (why := _nothing_wanted(evidence)) is not None:
        yield skipped(why)
        return
    image = _images(evidence).get(evidence.running_kernel.release)
    if image is None:
        yield skipped("the running kernel has no image (METIS-620)")
    elif None in (marks := _held(evidence, image, mark=True).values()):
        yield unknown(f"{image.path} could not be listed", _LIST_IT)
    elif marks and all(marks):
        yield passed(f"{image.path} was built from what goes in now.")
    else:
        yield failed(path=image.path)


@checks.answers("METIS-622")
def other_images(evidence: Evidence) -> Iterator[Outcome]:
    """The images of the other kernels hold everything and are current."""
    if (why := _nothing_wanted(evidence)) is not None:
        yield skipped(why)
        return
    running = evidence.running_kernel.release
    following = evidence.survey.next_boot.release if evidence.survey.next_boot else None
    others = [image for kernel, image in _images(evidence).items() if kernel not in (running, following)]
    if not others:
        yield skipped("no other kernel has an image")
    for image in others:
        yield _whole(evidence, image, warned)


@checks.answers("METIS-623")
def next_image(evidence: Evidence) -> Iterator[Outcome]:
    """The image of the kernel that boots next, where that is another than the running one, holds everything."""
    if (why := _nothing_wanted(evidence)) is not None:
        yield skipped(why)
        return
    kernel = evidence.survey.next_kernel
    if kernel is None:
        yield skipped("which kernel boots next is not known (METIS-230)")
    elif kernel.running:
        yield skipped("the running kernel boots next (METIS-620)")
    elif (image := _images(evidence).get(kernel.release)) is None:
        yield _no_image(evidence, kernel.release)
    else:
        yield _whole(evidence, image, failed)


def _nothing_wanted(evidence: Evidence) -> str | None:
    """Why there is nothing to look for in an image of this host; None if there is."""
    wanted = evidence.desired.initramfs
    if wanted is None:
        return "the deploy wants nothing in the initramfs of this host"
    if evidence.host.container is not None:
        return "the kernel of a container is its host's"
    evidence.need(Section.INITRAMFS)
    state = evidence.survey.initramfs
    if evidence.settings.initramfs is InitramfsChoice.AUTO and (state is None or state.generator is None):
        return "nothing known to us makes an initramfs here, and the carrier can do without"
    return None


def _images(evidence: Evidence) -> Mapping[str, InitramfsImage]:
    state = evidence.survey.initramfs
    return {image.kernel: image for image in state.images} if state else {}


def _no_image(evidence: Evidence, kernel: str) -> Outcome:
    if evidence.settings.initramfs is InitramfsChoice.AUTO:
        return skipped(f"{kernel} is booted without an image")
    return failed(path=f"kernel {kernel}", what="is booted without an image, or with one that was not found")


def _contents(evidence: Evidence, image: InitramfsImage) -> Outcome:
    found = _held(evidence, image, mark=False)
    if None in found.values():
        return unknown(f"{image.path} could not be listed", _LIST_IT)
    if found and all(found.values()):
        return passed(f"{image.path} holds {', '.join(found)}.")
    if not found and image.inputs is not None and _held(evidence, image, mark=True):
        return passed(f"This host has nothing to put into {image.path}.")
    return failed(path=image.path, what=_what_is_missing(found))


def _whole(evidence: Evidence, image: InitramfsImage, otherwise: Callable[..., Outcome]) -> Outcome:
    """Whether an image of another kernel than the running one is as it should be; ``otherwise`` if not."""
    found = {**_held(evidence, image, mark=False), **_held(evidence, image, mark=True)}
    if None in found.values():
        return unknown(f"{image.path} could not be listed", _LIST_IT, subject=image.kernel)
    if found and all(found.values()):
        return passed(f"{image.path} holds everything and is current.", subject=image.kernel)
    return otherwise(about=image.kernel, path=image.path, what=_what_is_missing(found))


def _held(evidence: Evidence, image: InitramfsImage, *, mark: bool) -> Mapping[str, bool | None]:
    """What should be in an image and whether it is: the mark of its inputs, or everything else."""
    evidence.need(Section.IMAGES)
    return {
        item.name: item.held
        for item in evidence.survey.image_items
        if item.kernel == image.kernel and (item.held is None or item.name.startswith(_MARK) == mark)
    }


def _what_is_missing(found: Mapping[str, bool | None]) -> str:
    missing = [name for name, held in found.items() if not held and not name.startswith(_MARK)]
    if missing:
        return f"lacks {', '.join(missing)}"
    return (
        "was built from something else than what goes in now"
        if found
        else "was never looked into: nothing of ours is on the host"
    )

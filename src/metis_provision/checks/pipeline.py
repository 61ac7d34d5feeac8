"""Check of what helps with the frames around an inference, for who starts ``inference.py``."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, passed, skipped, warned
from metis_provision.model.settings import RuntimeSource
from metis_provision.model.survey import Pipeline, Section

checks = Checks()


@checks.answers("METIS-340")
def helpers_usable(evidence: Evidence) -> Iterator[Outcome]:
    """Service users may open every render node; what is there decides the flags of ``inference.py``."""
    if evidence.settings.runtime is RuntimeSource.NONE:
        yield skipped("no runtime is wanted on this host (metis_runtime = 'none')")
        return
    evidence.need(Section.NODES)
    pipeline = evidence.survey.pipeline
    if pipeline is None:
        raise CannotLook("the survey does not say what helps with frames")
    told = _told(pipeline)
    refused = {
        (attempt.who, attempt.node)
        for attempt in evidence.attempts
        if attempt.node in pipeline.render_nodes and attempt.result == "denied"
    }
    for user, node in sorted(refused):
        yield warned(about=user, short="render node", user=user, node=node, found=told)
    if not refused:
        yield passed(told)


def _told(pipeline: Pipeline) -> str:
    has = {
        "vaapi": bool(pipeline.render_nodes and pipeline.vaapi),
        "opencl": bool(pipeline.opencl),
        "opengl": bool(pipeline.render_nodes),
    }
    flags = " ".join(f"--{'enable' if there else 'disable'}-{name}" for name, there in has.items())
    parts = (
        ", ".join(pipeline.render_nodes) or "no render node",
        f"VA-API {', '.join(pipeline.vaapi)}" if pipeline.vaapi else "no VA-API driver",
        f"OpenCL {', '.join(pipeline.opencl)}" if pipeline.opencl else "no OpenCL platform",
    )
    return f"{'; '.join(parts)}: inference.py {flags}."

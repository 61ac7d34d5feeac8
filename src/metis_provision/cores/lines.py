"""A core plan in the words of the SDK: the compiler's and pipeline's YAML, and the lines of an .axnet."""

from __future__ import annotations

import yaml

from metis_provision.cores.plan import CorePlan


def yaml_text(plan: CorePlan, model: str) -> str:
    """The parts of a model's YAML that hold the plan, to be merged into it."""
    compiled = {"aipu_cores_used": plan.aipu_cores_used, "resources_used": plan.resources_used}
    models = {"models": {model: {"extra_kwargs": {"compilation_config": compiled}}}}
    return (
        "# what the model is compiled with\n"
        f"{yaml.safe_dump(models, sort_keys=False)}"
        "# what it runs on: in the model's entry of the pipeline\n"
        f"aipu_cores: {plan.busy_cores}\n"
    )


def axnet_text(plan: CorePlan) -> str:
    """The line of an .axnet that starts as many instances as planned."""
    return f"num_children={plan.instances}\n"

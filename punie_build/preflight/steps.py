"""The steps that check the rows of a dataset for a base, and a training before it starts."""

from __future__ import annotations

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.preflight import preview
from punie_build.preflight.result import PreflightJob, SuitePrompts, run
from punie_build.preflight.spec import Preflight
from punie_build.training.spec import Adapter


def preflight(work: Work[Preflight]) -> StepResult:
    """Check the rows as the base reads them, once for all adapters that are trained on them."""
    [data, *_] = work.inputs()
    job = PreflightJob(
        base=str(work.external("base")),
        name=work.spec.base,
        chat_template_args=work.spec.chat_template_args,
        data=str(data),
        where=work.task.inputs[0],
        suites={name: SuitePrompts(suite.system, suite.prompts()) for name, suite in work.task.uses.items()},
        pairs=work.spec.pairs,
        mixed=next(iter(work.task.needs)).startswith("mix:"),
        out=str(work.out),
    )
    result = run(job, work.logs)
    facts = msgspec.structs.asdict(result.facts)
    counts = {f"{level}s": sum(finding.level == level for finding in result.findings) for level in ("error", "warning")}
    lines = [f"{finding.level}: {finding}" for finding in result.findings]
    numbers = ", ".join(f"{count} {level}" for level, count in counts.items()) if result.findings else "no problems"
    return StepResult("\n   ".join([*lines, f"{result.facts.rows} rows checked: {numbers}"]), facts | counts)


def check_training(work: Work[Adapter]) -> None:
    """Raise PreflightError with the errors that the checks of a training find."""
    preview.check_training(work.root, work.task, work.external("base"), work.say)

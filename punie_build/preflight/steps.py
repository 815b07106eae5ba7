"""The steps that check the rows of a dataset for a base, and a training before it starts."""

from __future__ import annotations

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.preflight import preview
from punie_build.preflight.spec import Preflight
from punie_build.runtime import child
from punie_build.training.spec import Adapter


def preflight(work: Work[Preflight]) -> StepResult:
    """Check the rows as the base reads them, once for all adapters that are trained on them."""
    [data, *_] = work.inputs()
    job = {
        "base": str(work.external("base")),
        "name": work.spec.base,
        "data": str(data),
        "where": work.task.inputs[0],
        "suites": {
            name: {"system": suite.system, "prompts": suite.prompts()} for name, suite in work.task.uses.items()
        },
        "mixed": next(iter(work.task.needs)).startswith("mix:"),
        "out": str(work.out),
    }
    path = work.logs / "job.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(job))
    child.run("punie_build.preflight.process", [str(path)], work.logs / "looking.log")
    result = msgspec.json.decode((work.out / "findings.json").read_bytes())
    findings = preview.findings(work.out / "findings.json")
    counts = {f"{level}s": sum(each.level == level for each in findings) for level in ("error", "warning")}
    lines = [f"{each.level}: {each}" for each in findings]
    facts = result["facts"]
    summary = f"{facts['rows']} rows checked: " + (
        ", ".join(f"{count} {level}" for level, count in counts.items()) if findings else "no problems"
    )
    return StepResult("\n   ".join([*lines, summary]), facts | counts)


def check_training(work: Work[Adapter]) -> None:
    """Raise PreflightError for what would go wrong with a training."""
    preview.check(work.root, work.task, work.external("base"), work.say)

"""Evaluation results in the files that the Hub shows beside a benchmark: `.eval_results/SUITE.yaml` of a repository.

The Hub lists results of data sets that it has, so a suite says which one it is of (`dataset`). Suites without one are
in the model card only.
"""

from __future__ import annotations

from pathlib import Path

from punie_build.evaluation.spec import SuiteFile
from punie_build.project import Project
from punie_build.reports.pages.adapter import EvalResult

FOLDER = ".eval_results"


def write(project: Project, results: tuple[EvalResult, ...], out: Path) -> None:
    """Write a file for each suite that is of a data set of the Hub, and read it back."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries

    for result in results:
        entry = project.recipe.find("suite", result.suite)
        suite = entry.spec if entry else None
        if not isinstance(suite, SuiteFile) or not suite.dataset:
            continue
        low, high = result.interval
        notes = (
            f"{result.passed} of {result.cases} cases of the suite {result.suite} pass, 95 % interval {low:.1%} to "
            f"{high:.1%}; suite digest {result.suite_digest[:12]}, weights {result.canary}"
        )
        entries = [
            EvalResultEntry(
                dataset_id=suite.dataset,
                task_id=suite.dataset_task,
                value=round(100 * result.pass_rate, 2),
                notes=notes,
            )
        ]
        text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        assert parse_eval_result_entries(yaml.safe_load(text)) == entries, "YAML gives back what was written"
        path = out / FOLDER / f"{result.suite}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

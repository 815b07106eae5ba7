"""Pages of models: size, fidelity to the adapter, and the results of their evals.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import adapter, data, standard_sections
from punie_build.reports.pages.adapter import ComparisonLink, EvalResult
from punie_build.reports.pages.data import UpstreamData
from punie_build.reports.section import ArtifactPage, Section


class ModelPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a model: the upstream data of its adapter, and the results of its evals."""

    upstream: tuple[UpstreamData, ...]
    results: tuple[EvalResult, ...]
    comparisons: tuple[ComparisonLink, ...] = ()


def load(project: Project, task: AnyTask, **common: Any) -> ModelPage:
    """Load the page of a model."""
    upstream = data.upstream_data(project, task.label)
    return ModelPage(
        task=task,
        upstream=upstream,
        results=adapter.eval_results(project, task.name),
        comparisons=adapter.comparisons(project, task.name),
        **common,
    )


def held_out_tokens(metrics: dict[str, float]) -> str:
    """Return how many tokens a model was compared with its adapter on."""
    return f"{metrics.get('tokens', 0):,.0f} held-out tokens"


def metrics(page: ModelPage) -> Section:
    """Show the size, and how well the model reproduces its adapter."""
    values = page.lock.metrics
    size = values.get("bytes", 0.0)
    held_out = held_out_tokens(values)
    cards = [
        {
            "name": "size on disk",
            "value": f"{size / 2**30:.2f} GiB" if size > 2**29 else f"{size / 2**20:,.0f} MiB",
            "note": f"{values.get('bits_per_weight', 0):.2f} bits per weight",
        }
    ]
    if "gain_retained" in values:
        note = f"of the loss reduction of {page.task.spec.adapter}, on {held_out}"
        cards.append({"name": "gain retained", "value": f"{values['gain_retained']:.1%}", "note": note})
    if "agreement" in values:
        note = f"of {held_out} have the same top-1 token as {page.task.spec.adapter}"
        cards.append({"name": "agreement", "value": f"{values['agreement']:.1%}", "note": note})
    if values.get("unquantised"):
        cards.append({"name": "layers", "value": f"{values['unquantised']:.0f}", "note": "not quantized"})
    return Section("cards", "", {"cards": cards})


SECTIONS = (metrics, standard_sections.gates, adapter.evals, data.funnel, *standard_sections.CLOSING)

MODEL_PAGE = PageKind(load=load, sections=SECTIONS, card=True, terminal="punie_build.reports.terminal:model_lines")

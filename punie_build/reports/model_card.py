"""Model cards: the README.md of an adapter or a model, in the format of the Hugging Face Hub.

A card is a view: it is in no digest, and is rendered again when its contents change. Text that people write between its
two marks stays (`card_notes`). To add a part: write a function from the page data to Markdown, and insert it into
`PARTS`.
"""

from __future__ import annotations

from punie_build.engine import card_notes
from punie_build.models.origin import Origin
from punie_build.models.spec import Base
from punie_build.reports.html import visible
from punie_build.reports.pages.adapter import AdapterPage
from punie_build.reports.pages.adopted import ORIGIN, AdoptedPage
from punie_build.reports.pages.model import ModelPage, held_out_tokens
from punie_build.reports.section import recipe_fields

CardPage = AdapterPage | AdoptedPage | ModelPage


def card(page: CardPage, notes: str, datasets: tuple[str, ...] = (), origin: Origin | None = None) -> str:
    """Return the card. `notes` are the notes of people; `datasets` the Hub names of the datasets it was trained on;
    `origin` is that of its base."""
    from huggingface_hub import ModelCard

    body = "\n\n".join(part for make in PARTS if (part := make(page)))
    metadata = _metadata(page, datasets, origin or Origin())
    text = f"---\n{metadata}\n---\n\n{card_notes.DRAWN}\n\n{body}\n\n{card_notes.framed(notes)}"
    return str(ModelCard(text))


def _metadata(page: CardPage, datasets: tuple[str, ...], origin: Origin) -> str:
    """Return the YAML front matter."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=result.suite,
            dataset_name=f"suite {result.suite}",
            dataset_revision=result.suite_digest or None,
            metric_type="pass_rate",
            metric_name="pass rate",
            metric_value=round(result.pass_rate, 4),
        )
        for result in page.results
    ]
    method = getattr(page.task.spec, "fine_tune_type", "")
    data = ModelCardData(
        library_name="mlx",
        pipeline_tag="text-generation",
        base_model=origin.base_model or None,
        base_model_relation=_relation(page) if origin.base_model else None,
        license=origin.license or None,
        datasets=[*datasets] or None,
        tags=["mlx", "punie-build", *([method] if method else [])],
        model_name=page.task.name if results else None,
        eval_results=results or None,
    )
    return str(data)


def _base(page: CardPage) -> Base | None:
    base = page.task.external.get("base")
    return base if isinstance(base, Base) else None


def _is_adapter(page: CardPage) -> bool:
    return "trained" in page.task.kind.roles


def _relation(page: CardPage) -> str:
    if _is_adapter(page):
        return "adapter"
    return "finetune" if page.task.spec.adapter else "quantized"


def _base_name(base: Base | None) -> str:
    if base is None:
        return "unknown"
    if base.hub:
        return f"[{base.hub}](https://huggingface.co/{base.hub}) at `{base.revision}`"
    return "nano, the base that ships with punie-build" if base.embedded else f"`{base.name}`, a local model"


def heading(page: CardPage) -> str:
    """Name the artifact and its base."""
    kind = "Adapter" if _is_adapter(page) else "Model"
    mlx = "[MLX](https://github.com/ml-explore/mlx)"
    return f"# {page.task.name}\n\n{kind} for {mlx}: {page.task.doc}. Base: {_base_name(_base(page))}."


def usage(page: CardPage) -> str:
    """Show how to run it with mlx-lm."""
    base, is_adapter = _base(page), _is_adapter(page)
    model = (base.hub if base and base.hub else "PATH/TO/BASE") if is_adapter else "."
    options = f"--model {model}" + (" --adapter-path ." if is_adapter else "")
    lines = ["pip install mlx-lm", f'mlx_lm.generate {options} --prompt "Hello"', f"mlx_lm.server {options}"]
    text = "## Usage\n\nIn this folder:\n\n```sh\n" + "\n".join(lines) + "\n```"
    if is_adapter:
        text += "\n\n`mlx_lm.server` applies the adapter only to requests whose `model` is `default_model`."
    return text


def results(page: CardPage) -> str:
    """Show the pass rates of evals with intervals."""
    if not page.results:
        return "## Results\n\nNot evaluated."
    rows = [
        f"| {result.suite} | {result.passed} | {result.cases} | {result.pass_rate:.1%} "
        f"| {result.interval[0]:.1%} to {result.interval[1]:.1%} | `{result.suite_digest[:12]}` |"
        for result in page.results
    ]
    canaries = ", ".join(f"`{canary}`" for canary in dict.fromkeys(result.canary for result in page.results))
    text = f"A case passes if it passes every check. Fingerprint of the evaluated weights: {canaries}."
    head = "| suite | passed | cases | pass rate | 95 % interval | suite digest |\n|---|---|---|---|---|---|"
    return "\n".join(["## Results\n", f"{text}\n", head, *rows])


def training(page: CardPage) -> str:
    """Show the losses of the training, or how well a model reproduces its adapter; and the recipe."""
    if isinstance(page, AdapterPage):
        start, end = page.history.start, page.history.end
        before = f"{page.history.initial.loss:.3f} before training"
        loss = f"Validation loss {before}, {end.valid_loss:.3f} after {end.iteration} batches (nats per token)"
        rows = f"{start.rows['train']:,} training rows, {start.rows['valid']:,} validation rows"
        return f"## Training\n\n{loss}; {rows}, {end.epochs:.1f} epochs.\n\n{_recipe(page)}"
    if isinstance(page, AdoptedPage):
        facts = [f"| {name} | `{_cell(value)}` |" for name, value in page.record.facts.items()]
        lines = [f"From {page.record.format}: {ORIGIN}. Its rows are unknown.", *page.record.notes]
        table = "\n".join(["| its original config | |\n|---|---|", *facts])
        return "\n\n".join(["## Training", *lines, table, _recipe(page)])
    values = page.lock.metrics
    facts = [f"{values['bits_per_weight']:.2f} bits per weight"] if "bits_per_weight" in values else []
    for name, label in (
        ("gain_retained", "of its adapter's loss reduction retained"),
        ("agreement", "top-1 agreement with its adapter"),
    ):
        if name in values:
            facts.append(f"{values[name]:.1%} {label} on {held_out_tokens(values)}")
    return "\n\n".join(["## Export", *([f"{'; '.join(facts)}."] if facts else []), _recipe(page)])


def _recipe(page: CardPage) -> str:
    fields = (field for field in recipe_fields(page.task.spec) if not field.is_default)
    return "\n".join(["| recipe | |\n|---|---|", *(f"| `{field.name}` | {_cell(field.value)} |" for field in fields)])


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|").replace("\n", " ")


def data(page: CardPage) -> str:
    """Show the upstream data, and the rows that were dropped, by reason."""
    if not page.upstream:
        return ""
    rows = []
    for upstream in page.upstream:
        total = upstream.stats.total
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in total.dropped.items()) or "none"
        rows.append(f"| {upstream.label} | {total.seen:,} | {total.kept:,} | {_cell(reasons)} |")
    return "\n".join(["## Training data\n", "| data | in | kept | dropped |\n|---|---|---|---|", *rows])


def provenance(page: CardPage) -> str:
    """Show the key, the digests of all inputs, and the versions of tools."""
    facts = page.lock.key_inputs
    digests = {"key": page.lock.key, **{f"from `{name}`": value for name, value in facts.inputs.items()}, **facts.tools}
    rows = [f"| {name} | `{_cell(value)}` |" for name, value in digests.items()]
    return "\n".join(["## Provenance\n", "| | |\n|---|---|", *rows])


PARTS = (heading, usage, results, training, data, provenance)

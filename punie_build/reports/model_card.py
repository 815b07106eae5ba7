"""Model cards: the README.md of an adapter or a model, as the Hugging Face Hub reads it. A view, like pages: in no digest, drawn anew
when what it says changes. What people write between its two marks stays (`notes`).

To say more: a function from the material to Markdown in `PARTS`.
"""

from __future__ import annotations

from punie_build.engine import card_notes
from punie_build.models.spec import Base
from punie_build.reports.html import visible
from punie_build.reports.pages.adapter import Adapter
from punie_build.reports.pages.model import Model
from punie_build.reports.section import asked

Material = Adapter | Model


def card(m: Material, written: str, datasets: tuple[str, ...] = ()) -> str:
    """The whole card. `written` are the notes of people; `datasets` the Hub's names of what it was trained on."""
    from huggingface_hub import ModelCard

    body = "\n\n".join(part for make in PARTS if (part := make(m)))
    text = f"---\n{_data(m, datasets)}\n---\n\n{card_notes.DRAWN}\n\n{body}\n\n{card_notes.framed(written)}"
    return str(ModelCard(text))


def _data(m: Material, datasets: tuple[str, ...]) -> str:
    """The front matter."""
    from huggingface_hub import EvalResult, ModelCardData

    base = _base(m)
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=each.suite,
            dataset_name=f"suite {each.suite}",
            dataset_revision=each.digest or None,
            metric_type="pass_rate",
            metric_name="share of cases passed",
            metric_value=round(each.share, 4),
        )
        for each in m.results
    ]
    trained = getattr(m.task.spec, "fine_tune_type", "")
    data = ModelCardData(
        library_name="mlx",
        pipeline_tag="text-generation",
        base_model=base.hub if base else None,
        base_model_relation=_relation(m) if base and base.hub else None,
        datasets=[*datasets] or None,
        tags=["mlx", "punie-build", *([trained] if trained else [])],
        model_name=m.task.name if results else None,
        eval_results=results or None,
    )
    return str(data)


def _base(m: Material) -> Base | None:
    base = m.task.external.get("base")
    return base if isinstance(base, Base) else None


def _is_adapter(m: Material) -> bool:
    return "trained" in m.task.kind.roles


def _relation(m: Material) -> str:
    if _is_adapter(m):
        return "adapter"
    return "finetune" if m.task.spec.adapter else "quantized"


def _named(base: Base | None) -> str:
    if base is None:
        return "its base"
    if base.hub:
        return f"[{base.hub}](https://huggingface.co/{base.hub}) at `{base.revision}`"
    return "nano, the base that ships with punie-build" if base.embedded else f"`{base.path}`, a model of its project"


def heading(m: Material) -> str:
    what = "An adapter" if _is_adapter(m) else "A model"
    said = f"{what} for [MLX](https://github.com/ml-explore/mlx): {m.task.doc}. Its base is {_named(_base(m))}."
    return f"# {m.task.name}\n\n{said}"


def use(m: Material) -> str:
    """How to run it with mlx-lm."""
    base = _base(m)
    model = (base.hub if base and base.hub else "PATH/TO/BASE") if _is_adapter(m) else "."
    adapter = " --adapter-path ." if _is_adapter(m) else ""
    lines = [
        "pip install mlx-lm",
        f'mlx_lm.generate --model {model}{adapter} --prompt "Hello"',
        f"mlx_lm.server --model {model}{adapter}",
    ]
    text = "## Use\n\nIn this folder:\n\n```sh\n" + "\n".join(lines) + "\n```"
    if _is_adapter(m):
        text += "\n\n`mlx_lm.server` applies the adapter to requests whose `model` is `default_model`, and to no other."
    return text


def results(m: Material) -> str:
    """What evals say, with intervals."""
    if not m.results:
        return "## Results\n\nNo eval has asked it: nothing is known of what it can do."
    rows = [
        f"| {each.suite} | {each.passed} | {each.n} | {each.share:.1%} | {each.interval[0]:.1%} to {each.interval[1]:.1%} | `{each.digest[:12]}` |"
        for each in m.results
    ]
    said = "Cases that pass every check, of all cases of a suite. Canary of the weights that answered: "
    canaries = ", ".join(f"`{name}`" for name in dict.fromkeys(each.canary for each in m.results))
    head = "| suite | passed | of cases | share | 95 % interval | suite's digest |\n|---|---|---|---|---|---|"
    return "\n".join(["## Results\n", f"{said}{canaries}.\n", head, *rows])


def training(m: Material) -> str:
    """How training went, or how alike the model is to its adapter."""
    if isinstance(m, Adapter):
        start, end = m.history.start, m.history.end
        loss = (
            f"Validation loss {m.history.initial.loss:.3f} before, {end.valid_loss:.3f} after {end.iteration} batches"
        )
        rows = (
            f"{start.rows['train']:,} training rows, {end.epochs:.1f} epochs, {start.rows['valid']:,} validation rows"
        )
        return f"## Training\n\n{loss} (nats a token); {rows}.\n\n{_recipe(m)}"
    told = m.lock.metrics
    alike = [f"{told['bits_per_weight']:.2f} bits a weight"] if "bits_per_weight" in told else []
    for name, words in (
        ("gain_retained", "of its adapter's gain retained"),
        ("agreement", "agreement with its adapter"),
    ):
        if name in told:
            alike.append(f"{told[name]:.1%} {words} on {told.get('tokens', 0):,.0f} held-back tokens")
    return f"## How it was made\n\n{'; '.join(alike) or 'As its recipe says'}.\n\n{_recipe(m)}"


def _recipe(m: Material) -> str:
    rows = [f"| `{each.name}` | {_cell(each.value)} |" for each in asked(m.task.spec) if not each.default]
    return "\n".join(["| recipe | |\n|---|---|", *rows])


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|").replace("\n", " ")


def data(m: Material) -> str:
    """Where the training data came from, and what was dropped on the way."""
    if not m.way:
        return ""
    rows = []
    for step in m.way:
        total = step.stats.total
        why = ", ".join(f"{reason} {count:,}" for reason, count in total.dropped.items()) or "nothing"
        rows.append(f"| {step.label} | {total.seen:,} | {total.kept:,} | {_cell(why)} |")
    return "\n".join(["## Training data\n", "| data | in | kept | dropped |\n|---|---|---|---|", *rows])


def proof(m: Material) -> str:
    """What decides its bytes."""
    facts = m.lock.key_inputs
    some = {"key": m.lock.key, **{f"from `{name}`": value for name, value in facts.inputs.items()}, **facts.tools}
    rows = [f"| {name} | `{_cell(value)}` |" for name, value in some.items()]
    return "\n".join(["## Provenance\n", "| | |\n|---|---|", *rows])


PARTS = (heading, use, results, training, data, proof)

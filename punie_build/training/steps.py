"""Steps of training: tokens, preflights and adapters."""

from __future__ import annotations

import msgspec

from punie_build.artifacts.inputs import Suites
from punie_build.engine.build import Made, Work
from punie_build.preflight import preview
from punie_build.runtime import blas, child
from punie_build.storage import paths
from punie_build.training import history, launch
from punie_build.training.token_file import TokenStats


def tokens(work: Work) -> Made:
    """Rendering and tokenising, in a process of its own: mlx-lm's tokenizers import mlx."""
    data = work.root / work.task.inputs[0]
    return Made(*tokens_said(launch.tokenize(work.base(), data, work.task.spec, work.out, work.logs)))


def tokens_said(stats: TokenStats) -> tuple[str, dict[str, float]]:
    """One line of what a dataset is in tokens, and numbers for gates: of the training split, by default."""
    train = stats.train
    said = f"{train.rows} rows, {train.tokens:,} tokens, {train.trained_tokens:,} of them learnt"
    for name, words in (("truncated", "cut off"), ("dropped", "too long"), ("fully_masked", "with nothing to learn")):
        if count := sum(getattr(counts, name) for counts in stats.splits):
            said += f"; {count} {words}"
    return said, {name: float(value) for name, value in msgspec.to_builtins(train).items()}


def preflight(suites: Suites, work: Work) -> Made:
    """A look at the rows as the base reads them; what is odd is said here, once for all that are trained on them."""
    asked = {
        name: {"system": suites[name].system, "prompts": suites[name].prompts()} for name in work.task.config["suites"]
    }
    job = {
        "base": str(work.base()),
        "name": work.task.spec.base,
        "data": str(work.root / work.task.inputs[0]),
        "where": work.task.inputs[0],
        "suites": asked,
        "mixed": work.task.needs[0].startswith("mix:"),
        "out": str(work.out),
    }
    place = work.logs / "job.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(msgspec.json.encode(job))
    child.run("punie_build.preflight.process", [str(place)], work.logs / "looking.log")
    told = msgspec.json.decode((work.out / "findings.json").read_bytes())
    found = preview.findings(work.out / "findings.json")
    counts = {f"{level}s": sum(each.level == level for each in found) for level in ("error", "warning")}
    lines = [f"{each.level}: {each}" for each in found]
    facts = told["facts"]
    said = f"{facts['rows']} rows looked at: " + (
        ", ".join(f"{n} {word}" for word, n in counts.items()) if found else "nothing odd"
    )
    return Made("\n   ".join([*lines, said]), facts | counts)


def ready(work: Work) -> None:
    """Raise what would go wrong with an adapter's training."""
    preview.check(work.root, work.task, work.base(), work.say)


def adapter(work: Work) -> Made:
    assert work.facts is not None
    tokens, spec = work.root / work.task.inputs[0], work.task.spec
    count = launch.rows(tokens)
    if count < launch.FEWEST:
        work.say(f"only {count} training examples - fewer than {launch.FEWEST} are mostly learnt by heart")
    if advice := blas.advice():
        work.say(advice)
    done = launch.train(
        launch.Training(
            root=work.root,
            base=work.base(),
            tokens=tokens,
            spec=spec,
            out=work.out,
            kept=work.root / paths.checkpoints(launch.identity(work.facts, spec)),
            log=work.logs / "training.log",
        ),
        work.say,
    )
    resumed = f"; went on after {done}" if done else ""
    return Made(history.summary(work.out) + resumed, history.metrics(work.out) | {"went_on_after": done})

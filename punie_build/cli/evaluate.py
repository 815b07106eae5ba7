"""Arms by hand: from a name of the recipes, or folders, to what is served. `punie-build serve` and `eval`; recipes go through the graph.

punie-build serve ARM                                       to talk to it with any OpenAI client, until Ctrl-C
punie-build eval --model M --adapter A --output FOLDER      a suite's answers and scores, without a recipe
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from msgspec import Struct

from punie_build.artifacts.evaluation import TRAINED
from punie_build.artifacts.graph import Task
from punie_build.cli.options import Command, Options
from punie_build.engine import fingerprint
from punie_build.errors import ModelError, UseError, did_you_mean
from punie_build.evaluation import runner, suite_file
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation import server as serving
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import Scored
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import Eval, Sampling, SuiteFile, generation_spec
from punie_build.evaluation.suite import Suite
from punie_build.models import locate
from punie_build.models.spec import Base
from punie_build.recipes.loader import load
from punie_build.recipes.recipe import ADAPTERS, ARMS, BASES, Described, Recipe
from punie_build.runtime import blas, versions
from punie_build.schema.spec import digest
from punie_build.storage import digests, paths
from punie_build.storage.locks import Facts, Lock

USUAL = ("baseline", "tool-calling")  # the suites that are asked where none is named: the first there is


class Arm(Struct, frozen=True, kw_only=True):
    """Who answers: `identity` changes when the weights do."""

    name: str
    model: Path
    adapter: Path | None = None
    identity: tuple[str, ...] = ()


def serve(root: Path, options: Options) -> int:
    """Serve a base, an adapter or a model of the recipes to any OpenAI client, until Ctrl-C."""
    arm = find(root, options.arm, None)
    served = ServedModel(model=arm.model, adapter=arm.adapter, max_tokens=options.max_tokens, port=options.port)
    try:
        asyncio.run(_serve(root, arm, served))
    except KeyboardInterrupt:
        print(f"{arm.name} is served no more")
    return 0


async def _serve(root: Path, arm: Arm, served: ServedModel) -> None:
    log = root / paths.STATE / "logs" / "by-hand" / f"serve-{arm.name.replace('/', '-')}.log"
    print(f"loading {arm.name} ...", flush=True)
    async with serving.serve(served, log, blas.environment(root)) as server:
        print(settings(arm.name, server.url, log.relative_to(root).as_posix()), flush=True)
        await asyncio.to_thread(server.child.process.wait)
        raise ModelError(server.child.failure("the model server"))


def settings(name: str, url: str, log: str) -> str:
    """What a person puts into a client."""
    hello = '{"model": "default_model", "messages": [{"role": "user", "content": "Hello"}]}'
    return "\n".join(
        [
            f"{name} answers at {url}/v1 until Ctrl-C; its log is {log}",
            f"    base_url  {url}/v1",
            "    api_key   none         any text: nobody looks at it",
            "    model     default_model   any other name is answered without the adapter, or by another model",
            f"    curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{hello}'",
        ]
    )


def eval_(root: Path, options: Options) -> int:
    """Ask a model a suite and score its answers, without a recipe; what was asked before is not asked again."""
    arm, (name, suite) = find(root, options.model, options.adapter), _suite(root, options.suite)
    spec = Eval(
        arm=arm.name,
        suite=name,
        max_tokens=options.max_tokens,
        engine="batch" if options.no_server else "server",
        sampling=Sampling(temperature=options.temperature),
        concurrency=options.concurrency,
    )
    asked, out, warm = generation_spec(spec), root / options.output, WarmServer()
    out.mkdir(parents=True, exist_ok=True)
    job = runner.EvalRun(
        root=root,
        served=ServedModel(model=arm.model, adapter=arm.adapter, port=options.port),
        spec=asked,
        suite=suite,
        weights=digest([fingerprint.code("answers", asked), sorted(arm.identity), versions.for_kind("answers", asked)]),
        logs=root / paths.STATE / "logs" / "by-hand" / "eval",
    )
    try:
        _, put = runner.collect_answers(job, warm, out)
    finally:
        warm.release()
    scores = evaluating.evaluate(spec, suite, out, out)
    (out / "report.html").write_text(_page(spec, suite, scores, out), encoding="utf-8")
    print(f"{arm.name} on {name}: {scores.passed} of {len(scores.cases)} cases passed (canary {scores.canary})")
    print(table(scores.cases))
    print(f"{put} questions asked; {options.output}/report.html shows them, scores.json is for programs")
    return 0


def _page(spec: Eval, suite: Suite, scores: Scores, out: Path) -> str:
    """The page of an eval that no recipe asked for: without how it was made."""
    from punie_build.reports import html
    from punie_build.reports.pages import arms as sides
    from punie_build.reports.pages import evaluation

    task = Task(kind="eval", name=spec.name, doc="", target=out.name, spec=spec, config={})
    facts = Facts(kind="eval", recipe={}, code="", inputs={}, tools={})
    lock = Lock(key=facts.key, facts=facts, outputs={}, seconds=0.0)
    arms = (sides.Arm(scores, evaluating.given(out)),)
    shown = sides.Evals(task=task, lock=lock, suite=suite, arms=arms)
    sections = tuple(section for make in evaluation.ALONE if (section := make(shown)))
    numbers = (out / "scores.json").read_bytes()
    return html.render(html.Page(title=spec.name, kicker="eval", sections=sections, facts=numbers, up=False))


def table(cases: tuple[Scored, ...]) -> str:
    """A line for each category: what passed, and what went wrong."""
    lines = []
    for category in dict.fromkeys(case.category for case in cases):
        some = [case for case in cases if case.category == category]
        failed = [case.failure for case in some if case.failure]
        why = ", ".join(f"{failed.count(name)} {name}" for name in dict.fromkeys(failed))
        lines.append(f"    {category:<24} {sum(case.passed for case in some):>3} of {len(some):<3} {why}".rstrip())
    return "\n".join(lines)


def find(root: Path, name: str, adapter: str | None) -> Arm:
    """The arm of a name of the recipes, or of a model's folder, with an adapter (a name or a folder) on it. Raises UseError."""
    recipe = load(root) if any((root / "recipes").glob("*.toml")) else None
    described = _named(recipe, name)
    if described is None and (root / name / "config.json").exists():
        described = Described("base", name, Base(path=name), "")
    if described is None and name == "nano":
        described = Described("base", name, Base(embedded="nano"), "")
    if described is None:
        known = {each.name for kind in ARMS for each in recipe.of(kind)} if recipe else {"nano"}
        raise UseError(f"{name}: nothing to serve is called so, and it is no model's folder{did_you_mean(name, known)}")
    whole = _arm(root, recipe, described)
    if adapter is None:
        return whole
    over = _named(recipe, adapter)
    place = root / paths.target(over.kind, over.name) if over and over.kind in ADAPTERS else root / adapter
    return _over(whole, adapter, place)


def _named(recipe: Recipe | None, name: str) -> Described | None:
    kinds = [kind for kind in ARMS if recipe and (kind, name) in recipe.artifacts]
    return recipe.find(tuple(kinds), name) if recipe and kinds else None


def _arm(root: Path, recipe: Recipe | None, described: Described) -> Arm:
    name, spec = described.name, described.spec
    if described.kind == "base":
        return Arm(name=name, model=locate.locate(root, spec), identity=(locate.identity(root, spec),))
    place = root / paths.target(described.kind, name)
    if not place.is_dir():
        raise UseError(f"{described.label}: not made yet - `doit {described.label}`")
    if described.kind in ADAPTERS and recipe:
        return _over(_arm(root, recipe, recipe.find(BASES, spec.base)), name, place)
    return Arm(name=name, model=place, identity=(digests.of_tree(place, ()),))


def _over(base: Arm, name: str, place: Path) -> Arm:
    """A base with an adapter on it."""
    if missing := [file for file in TRAINED if not (place / file).is_file()]:
        raise UseError(f"{name}: no adapter there, {', '.join(missing)} missing - `doit adapter:{Path(name).name}`")
    learnt = digests.of_tree(place, TRAINED)
    return Arm(name=Path(name).name, model=base.model, adapter=place, identity=(*base.identity, learnt))


def _suite(root: Path, wanted: str | None) -> tuple[str, Suite]:
    """A suite of the recipes, one that is built in, or a file. Raises UseError."""
    recipe = load(root) if any((root / "recipes").glob("*.toml")) else None
    there = [name for name in USUAL if suite_file.builtin_path(name).exists()]
    name = wanted or there[0]
    if recipe and ("suite", name) in recipe.artifacts:
        spec = recipe.artifacts["suite", name].spec
    elif (root / name).is_file():
        spec, name = SuiteFile(file=name), Path(name).stem
    elif name in there:
        spec = SuiteFile(embedded=name)  # type: ignore[arg-type]
    else:
        raise UseError(f"--suite {name}: no suite is called so, and no file{did_you_mean(name, there)}")
    suite, problems = suite_file.read_suite(spec, root, "--suite")
    if suite is None or problems:
        raise UseError("\n".join(problems))
    return name, suite


def _serve_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("arm", metavar="ARM", help="a base, adapter or model of the recipes, or a model's folder")
    command.add_argument("--port", type=int, help="default: any free one")
    command.add_argument("--max-tokens", type=int, default=512, help="of an answer, where a client does not say (512)")


def _eval_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="nano", help="a name of the recipes, or a model's folder (nano)")
    command.add_argument("--adapter", help="on the model: a name of the recipes, or a folder")
    command.add_argument("--suite", help="a name of the recipes or a file; default: the built-in baseline")
    command.add_argument("--output", metavar="DIR", required=True, help="where answers.jsonl and scores.json go")
    command.add_argument("--port", type=int, help="of the server; default: any free one")
    command.add_argument("--no-server", action="store_true", help="load the weights in a process, without a server")
    command.add_argument("--max-tokens", type=int, default=256, help="of an answer (256)")
    command.add_argument("--temperature", type=float, default=0.0, help="0, the default, is greedy")
    command.add_argument("--concurrency", type=int, default=4, help="questions at a time (4)")


COMMANDS: dict[str, Command] = {
    "serve": (serve, _serve_options),
    "eval": (eval_, _eval_options),
}

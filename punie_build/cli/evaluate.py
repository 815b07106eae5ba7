"""Arms by hand: from a name of the recipes, or folders, to what is served. `punie-build serve` and `eval`; recipes go through the graph.

punie-build serve ARM                                       to talk to it with any OpenAI client, until Ctrl-C
punie-build eval --model M --adapter A --output FOLDER      a suite's answers and scores, without a recipe
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.artifacts.evaluation import ADAPTER_FILES, ANSWERS, EVAL
from punie_build.artifacts.model import BASE
from punie_build.cli.options import Command, Options
from punie_build.engine import fingerprint
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.state import tools
from punie_build.engine.task import Task
from punie_build.errors import ModelError, UseError, did_you_mean
from punie_build.evaluation import runner, suite_file
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation import server as serving
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import Eval, Sampling, SuiteFile, generation_spec
from punie_build.evaluation.suite import Suite
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.runtime import blas
from punie_build.schema.spec import digest
from punie_build.storage import digests, paths
from punie_build.storage.locks import KeyInputs, Lock

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
        weights=digest([fingerprint.code(ANSWERS, asked), sorted(arm.identity), tools(ANSWERS, asked)]),
        logs=root / paths.STATE / "logs" / "by-hand" / "eval",
    )
    try:
        _, put = runner.collect_answers(job, warm, out)
    finally:
        warm.release()
    scores = evaluating.write_scores(spec, suite, out, out)
    (out / "report.html").write_text(_page(spec, suite, scores, out), encoding="utf-8")
    print(f"{arm.name} on {name}: {scores.passed} of {len(scores.cases)} cases passed (canary {scores.canary})")
    print(table(scores.cases))
    print(f"{put} questions asked; {options.output}/report.html shows them, scores.json is for programs")
    return 0


def _page(spec: Eval, suite: Suite, scores: Scores, out: Path) -> str:
    """The page of an eval that no recipe asked for: without how it was made."""
    from punie_build.reports import html
    from punie_build.reports.pages import evaluation
    from punie_build.reports.pages.arms import ArmResults, EvaluationPage

    task = Task(kind=EVAL, name=spec.name, spec=spec)
    facts = KeyInputs(kind=EVAL.name, recipe={}, code="", inputs={}, tools={})
    lock = Lock(key=facts.key, key_inputs=facts, outputs={}, seconds=0.0)
    arms = (ArmResults(scores, evaluating.answers_by_case(out)),)
    shown = EvaluationPage(task=task, lock=lock, suite=suite, arms=arms)
    sections = tuple(section for make in evaluation.STANDALONE_SECTIONS if (section := make(shown)))
    numbers = (out / "scores.json").read_bytes()
    return html.render(html.Page(title=spec.name, label="eval", sections=sections, facts=numbers, up=False))


def table(cases: tuple[CaseScore, ...]) -> str:
    """A line for each category: what passed, and what went wrong."""
    lines = []
    for category in dict.fromkeys(case.category for case in cases):
        some = [case for case in cases if case.category == category]
        failed = [case.failure for case in some if case.failure]
        why = ", ".join(f"{failed.count(name)} {name}" for name in dict.fromkeys(failed))
        lines.append(f"    {category:<24} {sum(case.passed for case in some):>3} of {len(some):<3} {why}".rstrip())
    return "\n".join(lines)


def find(root: Path, name: str, adapter: str | None) -> Arm:
    """Return the arm of a name of the recipes, or of a model's folder, with an adapter (a name or a folder) on it. Raises UseError."""
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    entry = recipe.find("arm", name) if recipe else None
    if entry is None and (root / name / "config.json").exists():
        entry = Entry(BASE, name, Base(path=name), "")
    if entry is None and name == "nano":
        entry = Entry(BASE, name, Base(embedded="nano"), "")
    if entry is None:
        known = {each.name for each in recipe.of_role("arm")} if recipe else {"nano"}
        raise UseError(
            f"{name}: no base, adapter or model of the recipes, and no model's folder{did_you_mean(name, known)}"
        )
    arm = _arm(root, recipe, entry)
    if adapter is None:
        return arm
    trained = recipe.find("trained", adapter) if recipe else None
    return _with_adapter(arm, adapter, root / (trained.target if trained else adapter))


def _arm(root: Path, recipe: Recipe | None, entry: Entry[Any]) -> Arm:
    name, spec = entry.name, entry.spec
    if not entry.kind.is_built:
        return Arm(name=name, model=spec.locate(root), identity=(spec.identity(root),))
    folder = root / entry.target
    if not folder.is_dir():
        raise UseError(f"{entry.label}: not built - `doit {entry.label}`")
    if "trained" in entry.kind.roles and recipe:
        return _with_adapter(_arm(root, recipe, recipe.resolve("any-base", spec.base)), name, folder)
    return Arm(name=name, model=folder, identity=(digests.of_tree(folder, ()),))


def _with_adapter(base: Arm, name: str, folder: Path) -> Arm:
    """Return a base with an adapter on it."""
    if missing := [file for file in ADAPTER_FILES if not (folder / file).is_file()]:
        raise UseError(f"{name}: no adapter there, {', '.join(missing)} missing - `doit adapter:{Path(name).name}`")
    digest_ = digests.of_tree(folder, ADAPTER_FILES)
    return Arm(name=Path(name).name, model=base.model, adapter=folder, identity=(*base.identity, digest_))


def _suite(root: Path, wanted: str | None) -> tuple[str, Suite]:
    """Return a suite of the recipes, a built-in one, or a file. Raises UseError."""
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    builtin = [name for name in USUAL if suite_file.builtin_path(name).exists()]
    name = wanted or builtin[0]
    if recipe and (entry := recipe.find("suite", name)):
        spec = entry.spec
    elif (root / name).is_file():
        spec, name = SuiteFile(file=name), Path(name).stem
    elif name in builtin:
        spec = SuiteFile(embedded=name)  # type: ignore[arg-type]
    else:
        raise UseError(f"--suite {name}: no suite of this name, and no file{did_you_mean(name, builtin)}")
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

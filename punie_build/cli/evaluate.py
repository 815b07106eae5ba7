"""The commands `serve` and `eval`: serve or evaluate a model without a recipe for it.

A model is a base, an adapter or a model of the recipes, or a folder.

    punie-build serve MODEL                                     serve it to any OpenAI client, until Ctrl-C
    punie-build eval --model M --adapter A --output FOLDER      write the answers to a suite and their scores
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from punie_build.artifacts.answers import ADAPTER_FILES, ANSWERS
from punie_build.artifacts.arms import trained_arguments
from punie_build.artifacts.base import BASE
from punie_build.artifacts.evaluation import EVAL, SUITE
from punie_build.artifacts.training import ADAPTER
from punie_build.cli.adapter_folder import base_of_adapter, loadable
from punie_build.cli.hub_commit import REPOSITORY, with_commit
from punie_build.cli.options import LOGS, Command, Options, json_option, print_json
from punie_build.engine import fingerprint
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.state import tools
from punie_build.engine.task import Task
from punie_build.errors import ModelError, UseError, did_you_mean
from punie_build.evaluation import runner, suite_file
from punie_build.evaluation import scores as score_files
from punie_build.evaluation import server as model_server
from punie_build.evaluation.arm_spec import Endpoint, RecordedAnswers, Variant
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import Eval, Sampling, Serving, SuiteFile, generation_spec
from punie_build.evaluation.steps import pass_counts
from punie_build.evaluation.suite import Suite
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.runtime import blas
from punie_build.runtime.console import format_count
from punie_build.runtime.program import build_command
from punie_build.schema.spec import classes, digest
from punie_build.storage import digests
from punie_build.storage.locks import KeyInputs, Lock
from punie_build.training.adapter_formats import is_adapter

BUILTIN_SUITES = ("baseline", "tool-calling")  # the first that exists is the default


class ModelUnderTest(Struct, frozen=True, kw_only=True):
    """The folders of a model and its adapter. `identity` has the digests of their weights.

    `chat_template_args` are those of the training, or of a variant, which may also have a `system` prompt and
    `sampling`.
    """

    name: str
    model: Path
    adapter: Path | None = None
    identity: tuple[str, ...] = ()
    chat_template_args: dict[str, Any] = {}
    system: str | None = None
    sampling: Sampling = Sampling()


def serve(root: Path, options: Options) -> int:
    """Serve a base, an adapter or a model of the recipes to any OpenAI client, until Ctrl-C."""
    model = find_model(root, options.model, options.name) if options.model else find_model(root, options.name)
    served = named_model(model, options.max_tokens, options.port, tuple(options.allow_origin))
    try:
        asyncio.run(_serve(root, model.name, served))
    except KeyboardInterrupt:
        print(f"{model.name}: the server has stopped")
    return 0


def named_model(model: ModelUnderTest, max_tokens: int, port: int | None, origins: tuple[str, ...] = ()) -> ServedModel:
    """Return a model to serve under its own name, to local programs and to pages of these origins."""
    return ServedModel(
        model=model.model,
        adapter=model.adapter,
        serving=Serving(chat_template_args=model.chat_template_args),
        sampling=model.sampling,
        max_tokens=max_tokens,
        port=port,
        program=("punie_build.evaluation.named_server", model.name, *origins, "--"),
    )


async def _serve(root: Path, name: str, served: ServedModel) -> None:
    log = root / LOGS / f"serve-{name.replace('/', '-')}.log"
    print(f"loading {name} ...", flush=True)
    async with model_server.serve(served, log, blas.environment(root)) as server:
        print(client_settings(name, server.url, log.relative_to(root).as_posix()), flush=True)
        await asyncio.to_thread(server.child.process.wait)
        raise ModelError(server.child.failure("the model server"))


def client_settings(name: str, url: str, log: str) -> str:
    """Return the settings of an OpenAI client, and an example with curl."""
    body = {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
    hello = json.dumps(body, ensure_ascii=False)
    return "\n".join(
        [
            f"{name} is served at {url}/v1 until Ctrl-C; its log is {log}",
            f"    base_url  {url}/v1",
            "    api_key   none            any text: it is not checked",
            f"    model     {name}   other names are refused",
            f"    curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{hello}'",
        ]
    )


def eval_(root: Path, options: Options) -> int:
    """Run a suite on a model and score its answers, without a recipe. No request is sent twice."""
    requested = with_commit(root, options.model) if options.model else None
    model, (suite_name, suite) = find_model(root, requested, options.adapter), find_suite(root, options.suite)
    suite = suite if model.system is None else suite.with_system(model.system)
    spec = Eval(
        arm=model.name,
        suite=suite_name,
        max_tokens=options.max_tokens,
        engine="batch" if options.no_server else "server",
        sampling=Sampling(temperature=options.temperature) if options.temperature else model.sampling,
        serving=Serving(chat_template_args=model.chat_template_args),
        concurrency=options.concurrency,
    )
    output = options.output or f"eval-{model.name}"
    generation, out, server = generation_spec(spec), root / output, WarmServer()
    _refuse_other_results(out, output, spec)
    out.mkdir(parents=True, exist_ok=True)
    run = runner.EvalRun(
        root=root,
        served=ServedModel(model=model.model, adapter=model.adapter, port=options.port),
        spec=generation,
        suite=suite,
        weights=digest(
            [fingerprint.code(ANSWERS, frozenset()), sorted(model.identity), tools(ANSWERS, classes(generation))]
        ),
        logs=root / LOGS / EVAL.name,
        notify=partial(print, file=sys.stderr) if options.json else print,
        is_current=lambda: find_model(root, requested, options.adapter).identity == model.identity,
    )
    try:
        _, sent = runner.collect_answers(run, server, out)
    finally:
        server.release()
    scores = score_files.write_scores(spec, suite, out, out)
    (out / "report.html").write_text(_page(spec, suite, scores, out), encoding="utf-8")
    if options.json:
        print_json(scores)
        return 0
    print(f"{model.name} on {suite_name}: {pass_counts(scores)}")
    print(category_table(scores.cases))
    requests = format_count(sent, "request")
    print(f"{requests} sent; {output}/report.html shows the answers, scores.json is for programs")
    return 0


def _refuse_other_results(out: Path, name: str, spec: Eval) -> None:
    """Raise UseError if a folder has the scores of another model or suite."""
    if (path := out / "scores.json").exists():
        scores = json.loads(path.read_bytes())
        before, now = (scores.get("arm"), scores.get("suite")), (spec.arm, spec.suite)
        if before != now:
            raise UseError(
                f"{name}: has the results of {before[0]} on {before[1]}, not of {now[0]} on {now[1]} "
                "- choose another --output, or remove the folder"
            )


def _page(spec: Eval, suite: Suite, scores: Scores, out: Path) -> str:
    """Return the page of an eval without a recipe. It has no section on provenance."""
    from punie_build.reports import html
    from punie_build.reports.pages import evaluation
    from punie_build.reports.pages.arms import ArmResults, EvaluationPage

    task = Task(kind=EVAL, name=spec.name, spec=spec)
    key_inputs = KeyInputs(kind=EVAL.name, recipe={}, code="", inputs={}, tools={})
    lock = Lock(key=key_inputs.key, key_inputs=key_inputs, outputs={}, seconds=0.0)
    arms = (ArmResults(scores, score_files.answers_by_case(out)),)
    page = EvaluationPage(task=task, lock=lock, suite=suite, arms=arms)
    sections = tuple(section for make in evaluation.STANDALONE_SECTIONS if (section := make(page)))
    facts = (out / "scores.json").read_bytes()
    return html.render(html.Page(title=spec.name, label=EVAL.name, sections=sections, facts=facts, up=False))


def category_table(cases: tuple[CaseScore, ...]) -> str:
    """Return a line for each category: the cases that passed, and the counts of failures by reason."""
    lines = []
    for category in dict.fromkeys(case.category for case in cases):
        members = [case for case in cases if case.category == category]
        failures = Counter(case.failure for case in members if case.failure)
        reasons = ", ".join(f"{count} {failure}" for failure, count in failures.items())
        passed = sum(case.passed for case in members)
        lines.append(f"    {category:<24} {passed:>3} of {len(members):<3} {reasons}".rstrip())
    return "\n".join(lines)


def find_model(root: Path, name: str | None, adapter: str | None = None) -> ModelUnderTest:
    """Return the model of a name in the recipes, or of a folder, with an adapter if one is named.

    The folder of an adapter is served on the base that it was trained on. Raises UseError.
    """
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    if adapter and name is None:
        trained = _entry(recipe, "trained", adapter) if recipe else None
        if trained is not None:
            name = trained.spec.base if hasattr(trained.spec, "base") else trained.name
        else:
            name = base_of_adapter(root, recipe, adapter) if is_adapter(root / adapter) else "nano"
    name = name or "nano"
    known = entry = _entry(recipe, "arm", name) if recipe else None
    if known is None and not adapter and is_adapter(root / name):
        return find_model(root, base_of_adapter(root, recipe, name), name)
    if entry is None:
        entry = _base_without_recipe(root, name)
    if entry is None:
        names = {model.name for model in recipe.of_role("arm")} if recipe else {"nano"}
        hint = did_you_mean(name, names)
        raise UseError(
            f"{name}: no base, adapter or model of the recipes, and no folder with a model or an adapter{hint}"
        )
    if recipe and isinstance(entry.spec, Variant):
        return _variant(find_model(root, entry.spec.arm, adapter), entry.name, entry.spec)
    model = _model_of_entry(root, recipe, entry)
    trained = _entry(recipe, "trained", adapter) if recipe and adapter else None
    arm = trained or known
    if recipe and arm:
        model = structs.replace(model, chat_template_args=trained_arguments(recipe, arm.name))
    if adapter is None:
        return model
    folder = root / trained.target if trained else loadable(root, adapter, model.model)
    return _with_adapter(model, trained.name if trained else adapter, folder)


def endpoint_of(root: Path, name: str) -> tuple[Endpoint, Variant | None] | None:
    """Return the endpoint of a name in the recipes, and the variant that names it; None for other arms."""
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    entry = _entry(recipe, "arm", name) if recipe else None
    variant = entry.spec if entry and isinstance(entry.spec, Variant) else None
    if recipe and variant:
        entry = _entry(recipe, "arm", variant.arm)
    return (entry.spec, variant) if entry and isinstance(entry.spec, Endpoint) else None


def _base_without_recipe(root: Path, name: str) -> Entry[Any] | None:
    """Return the base of a folder, the embedded one, or one of the Hub, by its latest commit if none is named."""
    if (root / name / "config.json").exists():
        return Entry(BASE, name, Base(path=name), "")
    if name == "nano":
        return Entry(BASE, name, Base(embedded="nano"), "")
    if (match := REPOSITORY.fullmatch(with_commit(root, name))) and match[2]:
        repo, _, commit = match[0].partition("@")
        return Entry(BASE, repo.rpartition("/")[2], Base(hub=repo, revision=commit), "")
    return None


def _entry(recipe: Recipe, role: str, name: str) -> Entry[Any] | None:
    """Return the entry of a name or a label. A grid stands for its best adapter, as in recipes."""
    best = f"{name.rpartition(':')[2]}@1"
    return recipe.find(role, name) or recipe.find(role, best)


def _variant(model: ModelUnderTest, name: str, variant: Variant) -> ModelUnderTest:
    """Return a model with the settings of a variant."""
    return structs.replace(
        model,
        name=name,
        chat_template_args=variant.chat_template_args or model.chat_template_args,
        system=variant.system,
        sampling=variant.sampling or model.sampling,
    )


def _model_of_entry(root: Path, recipe: Recipe | None, entry: Entry[Any]) -> ModelUnderTest:
    name, spec = entry.name, entry.spec
    if isinstance(spec, Endpoint | RecordedAnswers):
        raise UseError(f"{entry.label}: no weights that could be loaded - write an eval or a comparison of it")
    if not entry.kind.is_built:
        return ModelUnderTest(name=name, model=spec.locate(root), identity=(spec.identity(root),))
    folder = root / entry.target
    if not folder.is_dir():
        raise UseError(f"{entry.label}: not built - `{build_command()} {entry.label}`")
    if "trained" in entry.kind.roles and recipe:
        return _with_adapter(_model_of_entry(root, recipe, recipe.resolve("any-base", spec.base)), name, folder)
    return ModelUnderTest(name=name, model=folder, identity=(digests.of_tree(folder, ()),))


def _with_adapter(base: ModelUnderTest, name: str, folder: Path) -> ModelUnderTest:
    """Return a base with an adapter. Raises UseError if the folder has no adapter."""
    if missing := [file for file in ADAPTER_FILES if not (folder / file).is_file()]:
        label = f"{ADAPTER.name}:{Path(name).name}"
        raise UseError(f"{name}: no adapter in this folder, {', '.join(missing)} missing - `{build_command()} {label}`")
    identity = (*base.identity, digests.of_tree(folder, ADAPTER_FILES))
    return structs.replace(base, name=Path(name).name, adapter=folder, identity=identity)


def find_suite(root: Path, requested: str | None) -> tuple[str, Suite]:
    """Return the name and the cases of a suite of the recipes, a built-in one, or a file. Raises UseError."""
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    builtin = [name for name in BUILTIN_SUITES if suite_file.builtin_path(name).exists()]
    name = (requested or builtin[0]).removeprefix(f"{SUITE.name}:")
    if recipe and (entry := recipe.find(SUITE.name, name)):
        spec = entry.spec
    elif (root / name).is_file():
        spec, name = SuiteFile(file=name), Path(name).stem
    elif name in builtin:
        spec = SuiteFile(embedded=name)  # type: ignore[arg-type]
    else:
        raise UseError(
            f"--suite {name}: no suite of this name, and no file{did_you_mean(name, _suite_names(recipe, builtin))}"
        )
    suite, problems = suite_file.read_suite(spec, root, "--suite")
    if suite is None or problems:
        raise UseError("\n".join(problems))
    return name, suite


def _suite_names(recipe: Recipe | None, builtin: Iterable[str]) -> set[str]:
    return {*builtin, *(entry.name for entry in (recipe.of_kind(SUITE.name) if recipe else ()))}


def model_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a command that serves a model."""
    command.add_argument(
        "name", metavar="MODEL", help="a base, adapter or model of the recipes, or a folder with a model or an adapter"
    )
    command.add_argument(
        "--model", metavar="BASE", help="the base of a folder with an adapter; default: as its config says"
    )
    command.add_argument(
        "--max-tokens", type=int, default=512, metavar="N", help="tokens of a completion if a client sets none (512)"
    )


def _serve_options(command: argparse.ArgumentParser) -> None:
    model_options(command)
    command.add_argument("--port", type=int, metavar="N", help="default: a free port")
    command.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="let pages of this origin ask; default: none"
    )


def _eval_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        help="a name in the recipes, a folder with a model, or org/name; default: the base of the adapter, or nano",
    )
    command.add_argument("--adapter", help="apply this adapter: a name in the recipes, or a folder")
    command.add_argument("--suite", help="a name in the recipes, or a file; default: the built-in suite `baseline`")
    command.add_argument("--output", "-o", metavar="DIR", help="the folder to write; default: eval-NAME")
    command.add_argument("--port", type=int, metavar="N", help="port of the server; default: a free port")
    command.add_argument("--no-server", action="store_true", help="generate in a process, without a server")
    command.add_argument("--max-tokens", type=int, default=256, metavar="N", help="tokens of a completion (256)")
    command.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0, the default, is greedy")
    command.add_argument("--concurrency", type=int, default=4, metavar="N", help="parallel requests (4)")
    json_option(command)


COMMANDS: dict[str, Command] = {
    "serve": (serve, _serve_options),
    EVAL.name: (eval_, _eval_options),
}

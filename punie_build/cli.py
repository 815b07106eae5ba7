"""punie-build: what is not a task of doit.

    punie-build check              is everything still what its lock says? for CI: needs neither data nor mlx
    punie-build plan [TARGET ...]  what would `doit` do, and for how long?
    punie-build why TARGET         what would be built for a target, and what changed, value by value
    punie-build report [TARGET]    draw the pages in reports/ anew, whatever was drawn before
    punie-build serve ARM          talk to a base, an adapter or a model with any OpenAI client
    punie-build eval               ask a model a suite and score it, without a recipe
    punie-build show TARGET        what is known of an artifact, in a dozen lines
    punie-build publish TARGET     make a folder of the Hub of an adapter or a model, and upload it
    punie-build provenance TARGET  how it was made, for those who ask for in-toto and SLSA
    punie-build store gc           remove from the store what no lock names and nobody used for a while
    punie-build store verify       read every blob of the store
    punie-build store push         give the shared store all that the locks name
    punie-build suite ...          check a suite, import one (`by_hand_suites`)
    punie-build dataset ...        the steps of recipes on any folder, without a recipe (`by_hand`)
    punie-build train, benchmark, metrics, search    the same of trainings (`by_hand_training`)

Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes.
To add a command: a function `(root, options) -> exit code`, and its row in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from punie_build import digests, layout, locks, viewing
from punie_build.errors import PunieError, RecipeError, UseError
from punie_build.graph import Task, tasks
from punie_build.loading import load
from punie_build.locks import Lock
from punie_build.planning import named
from punie_build.screen import size

Options = argparse.Namespace


def check(root: Path, options: Options) -> int:
    """Hold recipes against locks; with more options, files against locks, contents against recipes, metrics against gates."""
    from punie_build import checking, formats

    wanted = [level for level in checking.LEVELS if level == "recipes" or getattr(options, level)]
    found = checking.check(root, list(tasks(load(root))), wanted)
    shown = _for_people()
    said = formats.FORMATS[options.format or shown](root, found)
    if options.into:
        Path(options.into).write_text(said + "\n", encoding="utf-8")
        said = formats.FORMATS[shown](root, found)
    print(said)
    return {"stale": 1, "broken": 2}.get(checking.worst(found), 0)


def plan(root: Path, options: Options) -> int:
    """What a build would do, in its order, about how long it would take, and what would go wrong. Builds nothing."""
    from punie_build import planning
    from punie_build.preflight import before
    from punie_build.steps import steps

    planned = planning.plan(root, _chosen(root, options.targets))
    seen = before.outlook(root, planned, steps(load(root))["preflight"])
    for each in planned:
        if each.how != "current":
            print(f"{each.task.label:<36} {each.forecast}")
            if line := seen.lines.get(each.task.label):
                print(f"{'':<36} {line}")
    print(planning.total(planned))
    print("".join(f"{line}\n" for line in _said(seen)), end="")
    if any(finding.level == "error" for finding in seen.findings):
        return 2
    return 0 if all(each.how == "current" for each in planned) else 1


def _said(seen: Any) -> Iterator[str]:
    """What an outlook found, for people: each with the name that a recipe may allow it by."""
    if seen.findings:
        yield ""
        yield from (f"{finding.level}[{finding.look}] {finding}" for finding in seen.findings)
        errors = sum(finding.level == "error" for finding in seen.findings)
        counts = [
            f"{n} {word}{'s' if n > 1 else ''}"
            for word, n in (("error", errors), ("warning", len(seen.findings) - errors))
            if n
        ]
        yield ", ".join(counts) + (
            ": an error stops what needs it; an adapter may `allow` a look by its name" if errors else ""
        )
    if seen.unseen:
        yield f"not looked at, because not here yet: {', '.join(seen.unseen)}"


def why(root: Path, options: Options) -> int:
    """Why a target would be built: itself and all it needs, value by value. Builds nothing."""
    from punie_build import planning

    lines = []
    for each in planning.plan(root, _chosen(root, [options.target])):
        if each.how != "current":
            lines.append(f"{each.task.label}: {MEANING[each.state]} - {each.forecast}")
            lines += [f"    {reason}" for reason in each.reasons]
    print("\n".join(lines) or f"{options.target} and all it needs are current")
    return 1 if lines else 0


MEANING = {
    "absent": "not there",
    "stale": "made from something else",
    "edited": "its files are not those that were made",
    "forgotten": "forgotten",
    "spent": "temporary, and needed no more",
    "waits": "may be made from something else",
}


def serve(root: Path, options: Options) -> int:
    """Serve a base, an adapter or a model to any OpenAI client, until Ctrl-C; its settings are printed."""
    from punie_build import arms

    return arms.serve(root, options)


def eval_(root: Path, options: Options) -> int:
    """Ask a model a suite and score its answers, without a recipe; nothing is asked twice."""
    from punie_build import arms

    return arms.eval_(root, options)


def provenance(root: Path, options: Options) -> int:
    """Print the target's in-toto statement, made from its lock."""
    import json

    from punie_build.provenance import statement

    [task] = named(list(tasks(load(root))), [options.target])
    lock = locks.read(root / layout.lock(task.target))
    if lock is None:
        raise UseError(f"{layout.lock(task.target)}: no lock that can be read - `doit {task.label}`")
    print(json.dumps(statement(task, lock), indent=1))
    return 0


def store_gc(root: Path, options: Options) -> int:
    """Remove what no lock names, in this tree or on any branch of git, and nobody used for `--days` days."""
    from punie_build import branches, store

    swept = store.gc(root, _all_locks(root, branches.locks(root)), options.days, options.dry_run)
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {swept.removed} files, {size(swept.freed)}; kept {swept.kept}, {size(swept.held)}")
    return 0


def store_verify(root: Path, _options: Options) -> int:
    """Read every blob and compare it with its name."""
    from punie_build import store

    lines = list(store.verify(root))
    print("\n".join(lines) or "every file in the store is what its name says")
    return 2 if lines else 0


def store_push(root: Path, _options: Options) -> int:
    """Send what the locks of this tree name and the shared store lacks."""
    from punie_build import shared, store

    remote = shared.of(root)
    if remote is None:
        raise UseError('no shared store - set `store = "s3://..."` under [tool.punie-build] in pyproject.toml')
    here = [lock for lock in _all_locks(root) if store.find(root, lock.key, lock)]
    sent = sum(store.push(root, lock) for lock in here)
    print(f"{sent} files sent, for {len(here)} artifacts")
    return 2 if remote.lost else 0


def _all_locks(root: Path, more: Iterable[Lock] = ()) -> Iterator[Lock]:
    yield from (lock for path in locks.present(root) if (lock := locks.read(path)))
    yield from more


def _chosen(root: Path, wanted: Sequence[str]) -> list[Task]:
    """The tasks of these labels and all they need; all tasks for none."""
    from punie_build.planning import needed

    found = list(tasks(load(root)))
    digests.remember(root)
    return needed(found, [task.label for task in named(found, wanted)]) if wanted else found


EXITS = "Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes."
TARGET = "a name as `doit list` shows it, such as adapter:quickstart"


def _check_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--outputs", action="store_true", help="are the files that are here the ones the locks name?")
    command.add_argument(
        "--conformance", action="store_true", help="are rank, layers, bits and rows in the files as asked?"
    )
    command.add_argument("--gate", dest="gates", action="store_true", help="do the metrics pass the recipes' gates?")
    formats = ("text", "json", "junit", "github")
    command.add_argument("--format", choices=formats, help="default: text; github where GITHUB_ACTIONS is true")
    command.add_argument("--into", metavar="FILE", help="write the format there, and print what people read")


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


def _for_people() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


def _gc_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--days", type=float, default=30.0, help="keep what was used in the last so many days (30)")
    command.add_argument("--dry-run", action="store_true", help="say what would be removed")


def _target(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help=TARGET)


def _targets(command: argparse.ArgumentParser) -> None:
    command.add_argument("targets", nargs="*", metavar="TARGET", help=f"{TARGET}; none: everything")


def _nothing(_command: argparse.ArgumentParser) -> None:
    """A command without options."""


COMMANDS: dict[str, tuple[Callable[[Path, Options], int], Callable[[argparse.ArgumentParser], None]]] = {
    "check": (check, _check_options),
    "plan": (plan, _targets),
    "why": (why, _target),
    "report": (viewing.report, _targets),
    "show": (viewing.show, _target),
    "publish": (viewing.publish, viewing.publish_options),
    "serve": (serve, _serve_options),
    "eval": (eval_, _eval_options),
    "provenance": (provenance, _target),
    "store gc": (store_gc, _gc_options),
    "store verify": (store_verify, _nothing),
    "store push": (store_push, _nothing),
}


BESIDE = {  # first word of a command -> the module that has it, and what it is
    "dataset": ("by_hand", "by hand, on any folder: download, validate, stats, filter, merge, audit, head"),
    "suite": ("by_hand_suites", "suites: check that one can judge, import what others wrote"),
    "train": ("by_hand_training", "an adapter from a folder of conversations, without a recipe"),
    "benchmark": ("by_hand_training", "how fast a base trains here, and in how much memory"),
    "metrics": ("by_hand_training", "what mlx-lm printed while it trained, as events"),
    "search": ("by_hand_training", "let a search of the recipes try more settings"),
}


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    commands = dict(COMMANDS)
    asked = BESIDE.get(arguments[0]) if arguments else None
    if asked:  # what reads data or trains is imported for those who do
        commands |= import_module(f"punie_build.{asked[0]}").COMMANDS
    parser = argparse.ArgumentParser(
        prog="punie-build",
        description="Commands beside doit. `doit` builds, `doit list` shows what there is.",
        epilog=EXITS,
    )
    groups = {"": parser.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for word, (module, says) in BESIDE.items():
        if not asked or module != asked[0]:
            groups[""].add_parser(word, help=says)
    for name, (function, options) in commands.items():
        group, _, short = name.rpartition(" ")
        if group not in groups:
            over = groups[""].add_parser(
                group, help=f"the {group}: " + ", ".join(n.split()[1] for n in commands if n.startswith(f"{group} "))
            )
            groups[group] = over.add_subparsers(required=True, metavar="COMMAND")
        says = (function.__doc__ or "").splitlines()[0]
        command = groups[group].add_parser(short, help=says, description=says, epilog=EXITS)
        command.set_defaults(run=function)
        options(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words).parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign shows its number
    try:
        code = options.run(Path.cwd(), options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except RecipeError as error:
        print(error, file=sys.stderr)
        code = 3
    except PunieError as error:
        print(error, file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        code = 2
    sys.exit(code)

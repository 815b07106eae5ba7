"""Suites by hand: `punie-build suite ...`.

punie-build suite check NAME                       can a suite tell right answers from wrong ones? a name, or a file
punie-build suite import FILE --output suites/x.toml     a suite that others wrote: EvalPrompts, BFCL, promptfoo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from punie_build.cli.options import Command, Options
from punie_build.errors import RecipeError, UseError
from punie_build.evaluation import suite as suites
from punie_build.evaluation import suite_file, suite_validation
from punie_build.evaluation.importers import registry
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.project import Project
from punie_build.recipes.loader import escapes


def check(root: Path, options: Options) -> int:
    """Whether a suite can tell right answers from wrong ones, what it can see, and what it cannot."""
    suite = _suite(root, options.name)
    found = suite_validation.validate_suite(suite)
    print(f"{'category':<28}{'cases':>6}{'select':>8}{'confirm':>9}   finds gains from")
    for name, each in found.categories.items():
        print(f"{name:<28}{each.cases:>6}{each.select:>8}{each.confirm:>9}   {each.detectable:.0%}")
    for name, share in found.baselines.items():
        print(f"a baseline that {BASELINES[name]} passes {share:.1%}")
    for line in found.warnings:
        print(f"warning: {line}")
    for line in found.problems:
        print(f"problem: {line}")
    print("the suite may gate" if found.sound else f"{len(found.problems)} problems: the suite may gate nothing")
    return 0 if found.sound else 2


BASELINES = {"empty": "is empty", "prose": "only writes prose", "caller": "always calls a tool"}


def _suite(root: Path, name: str) -> Suite:
    """Raises UseError if there is none, RecipeError if it has mistakes."""
    if name in suite_file.builtin_names():
        spec = msgspec.convert({"embedded": name}, SuiteFile)
    elif Path(root, name).is_file():
        if problem := escapes(name):
            raise UseError(f"{name}: {problem}")
        spec = SuiteFile(file=name)
    else:
        recipe = Project.load(root).recipe
        entry = recipe.find("suite", name)
        if entry is None:
            raise UseError(f"{name}: no suite of a recipe, no built-in suite, and no file")
        content: Suite = recipe.content(entry)
        return content
    suite, problems = suite_file.read_suite(spec, root, name)
    if suite is None or problems:
        raise RecipeError(problems)
    return suite


def import_(_root: Path, options: Options) -> int:
    """Write a suite that others wrote as one of ours, and tell what of it could not be said."""
    source = registry.ImportSource(
        path=Path(options.file), answers=Path(options.answers) if options.answers else None, strict=options.strict
    )
    for path in (source.path, source.answers):
        if path and not path.is_file():
            raise UseError(f"{path}: no such file")
    form = options.form or registry.detect_format(source)
    made = registry.FORMATS[form](source)
    output = Path(options.output)
    if output.exists() and not options.force:
        raise UseError(f"{output}: is there already - choose another name, or --force")
    output.parent.mkdir(parents=True, exist_ok=True)
    about = f"Imported from {source.path.name} ({form}{', strict' if source.strict else ''})."
    output.write_text(registry.suite_to_toml(made.suite, about), encoding="utf-8")
    print(f"{len(made.suite.cases)} cases written to {output}")
    for note in [*made.notes, *suites.problems(made.suite)]:
        print(f"note: {note}")
    return 0


def _check_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="a suite of a recipe, one that is built in, or a file")


def _import_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", help="the file to import")
    command.add_argument("--output", "-o", required=True, help="the TOML file to write")
    command.add_argument("--form", choices=tuple(registry.FORMATS), help="what the file is; by default it is looked at")
    command.add_argument("--answers", help="the file of possible answers, for bfcl")
    command.add_argument("--strict", action="store_true", help="judge calls strictly, not as the older evaluator did")
    command.add_argument("--force", action="store_true", help="write over a file that is there")


COMMANDS: dict[str, Command] = {
    "suite check": (check, _check_options),
    "suite import": (import_, _import_options),
}

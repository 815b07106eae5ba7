"""The commands `suite ...`: validate a suite, and import the suites of other tools.

punie-build suite check NAME                           validate a suite of a recipe, a built-in one, or a file
punie-build suite import FILE --output suites/x.toml   convert EvalPrompts, BFCL or promptfoo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from punie_build.artifacts.evaluation import SUITE
from punie_build.cli.options import Command, Options, json_option, print_json
from punie_build.errors import RecipeError, UseError, did_you_mean, printable
from punie_build.evaluation import suite as suites
from punie_build.evaluation import suite_file, suite_validation
from punie_build.evaluation.importers import registry
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.project import Project
from punie_build.recipes.loader import escapes
from punie_build.runtime.console import format_count


def check(root: Path, options: Options) -> int:
    """Validate a suite: reference answers must pass, trivial ones must fail. Print the gains that it can detect."""
    result = suite_validation.validate_suite(_suite(root, options.name))
    if options.json:
        print_json({"sound": result.sound, "result": result})
        return 0 if result.sound else 2
    print(f"{'category':<28}{'cases':>6}{'select':>8}{'confirm':>9}   detects gains from")
    for name, sizes in result.categories.items():
        print(f"{name:<28}{sizes.cases:>6}{sizes.select:>8}{sizes.confirm:>9}   {sizes.detectable:.0%}")
    for name, rate in result.baselines.items():
        print(f"a baseline that {BASELINES[name]} passes {rate:.1%}")
    for line in result.warnings:
        print(printable(f"warning: {line}"))
    for line in result.problems:
        print(printable(f"problem: {line}"))
    count = len(result.problems)
    verdict = f"{format_count(count, 'problem')}: the suite cannot be used for gates"
    print("the suite can be used for gates" if result.sound else verdict)
    return 0 if result.sound else 2


BASELINES = {"empty": "gives no answer", "prose": "only writes prose", "caller": "always calls a tool"}


def _suite(root: Path, name: str) -> Suite:
    """Return the cases of a suite. Raises UseError if there is none, RecipeError if it has mistakes."""
    name = name.removeprefix(f"{SUITE.name}:")
    if name in suite_file.builtin_names():
        spec = msgspec.convert({"embedded": name}, SuiteFile)
    elif Path(root, name).is_file():
        if problem := escapes(name):
            raise UseError(f"{name}: {problem}")
        spec = SuiteFile(file=name)
    else:
        recipe = Project.load(root).recipe
        entry = recipe.find(SUITE.name, name)
        if entry is None:
            names = {*suite_file.builtin_names(), *(suite.name for suite in recipe.of_kind(SUITE.name))}
            raise UseError(f"{name}: no suite of this name, and no file{did_you_mean(name, names)}")
        content: Suite = recipe.content(entry)
        return content
    suite, problems = suite_file.read_suite(spec, root, name)
    if suite is None or problems:
        raise RecipeError(problems)
    return suite


def import_(_root: Path, options: Options) -> int:
    """Convert the suite of another tool to TOML, and report parts that cannot be expressed."""
    source = registry.ImportSource(
        path=Path(options.file), answers=Path(options.answers) if options.answers else None, strict=options.strict
    )
    for path in (source.path, source.answers):
        if path and not path.is_file():
            raise UseError(f"{path}: no such file - correct the path")
    form = options.form or registry.detect_format(source)
    imported = registry.FORMATS[form](source)
    output = Path(options.output)
    if output.exists() and not options.force:
        raise UseError(f"{output}: the file exists - choose another name, or add --force")
    output.parent.mkdir(parents=True, exist_ok=True)
    about = f"Imported from {source.path.name} ({form}{', strict' if source.strict else ''})."
    output.write_text(registry.suite_to_toml(imported.suite, about), encoding="utf-8")
    print(f"{format_count(len(imported.suite.cases), 'case')} written to {output}")
    for note in [*imported.notes, *suites.problems(imported.suite)]:
        print(printable(f"note: {note}"))
    return 0


def _check_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="a suite of a recipe, a built-in one, or a file")
    json_option(command)


def _import_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the file to convert")
    command.add_argument("--output", "-o", metavar="FILE", required=True, help="the TOML file to write")
    command.add_argument("--form", choices=tuple(registry.FORMATS), help="format of the file; default: detect it")
    command.add_argument("--answers", metavar="FILE", help="the file of possible answers, for bfcl")
    command.add_argument("--strict", action="store_true", help="check calls more strictly than the original evaluator")
    command.add_argument("--force", action="store_true", help="overwrite an existing file")


COMMANDS: dict[str, Command] = {
    f"{SUITE.name} check": (check, _check_options),
    f"{SUITE.name} import": (import_, _import_options),
}

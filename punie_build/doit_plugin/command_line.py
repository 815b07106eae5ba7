"""The command line of doit, checked as soon as the artifacts are known: doit itself ends some mistakes with a
traceback, and all with the exit code of mistakes in recipes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePath

from punie_build.errors import did_you_mean

NAMING = {
    "clean": "--clean-all",
    "forget": "--all",
    "info": "",
    "ignore": "",
}  # command -> its option for all artifacts
SHORT_FOR_ALL = "-a"
OTHERS = ("run", "list")
WITHOUT_BUILD = (*NAMING, "list", "help", "tabcompletion", "dumpdb")
WITHOUT_MEANING = ("reset-dep", "strace")  # locks are the database, and inputs are declared
OUTPUT = ("-o", "--output-file")
WITH_VALUE = ("-f", "--file", "-d", "--dir", "--backend", "--db-file", "--dep-file")


def is_doit(argv: Sequence[str]) -> bool:
    """Return whether a process was started as `doit` or `python -m doit`."""
    path = PurePath(argv[0]) if argv else PurePath()
    return path.stem == "doit" or path.parts[-2:] == ("doit", "__main__.py")


def has_own_tasks(config: object) -> bool:
    """Return whether the dodo.py with this DOIT_CONFIG has tasks besides the artifacts."""
    modules = [module for module in [*sys.modules.values()] if getattr(module, "DOIT_CONFIG", None) is config]
    return any(sum(name.startswith("task_") for name in vars(module)) > 1 for module in modules)


def may_name(words: Sequence[str], names: Collection[str]) -> bool:
    """Return whether `doit WORD ...` builds, or is about, tasks of these names: any other command than a build is."""
    return bool(words) and (
        words[0] in WITHOUT_BUILD or any(word.rstrip("/") in names or "*" in word for word in words)
    )


def problem(words: Sequence[str], known: Collection[str], targets: Collection[str]) -> str | None:
    """Return the mistake in the words after `doit`, or None. Options and their values are left to doit."""
    command = words[0] if words else ""
    if command in WITHOUT_MEANING:
        return f"doit {command}: has no meaning here, where locks tell what is built - see `punie-build why TARGET`"
    if command in ("help", "tabcompletion") or "--help" in words:
        return None
    if mistake := _value_problem(words):
        return mistake
    is_command = command in NAMING or command in OTHERS
    names = [*_names(words[is_command:], command in NAMING)]
    unknown = [name for name in names if name not in known and name.rstrip("/") not in targets]
    if unknown:
        return "\n".join(f"{name}: no such artifact{_hint(name, known)}" for name in unknown)
    if command in NAMING and not names and not {SHORT_FOR_ALL, NAMING[command]} & {*words} and "*" not in str(words):
        every = f", or {NAMING[command]} for all" if NAMING[command] else ""
        return f"doit {command}: no artifact is named - name those that `doit list --all` shows{every}"
    return None


def _hint(name: str, known: Collection[str]) -> str:
    """Return the artifacts of this name with their kinds, or the names that are near."""
    same = sorted(label for label in known if label.partition(":")[2] == name)
    return f" - name it with its kind: {' or '.join(same)}" if same else did_you_mean(name, known)


def _value_problem(words: Sequence[str]) -> str | None:
    """Return the mistake in the value of an option that doit uses unchecked."""
    for option, value in _values(words):
        if option in OUTPUT and not Path(value).parent.is_dir():
            return f"{value}: its folder does not exist - create it, or name another file"
        if option in OUTPUT and Path(value).is_dir():
            return f"{value}: a folder, not a file - name the file for the output"
        if option == "--template":
            try:
                value.format(name="", doc="", status="")
            except (LookupError, ValueError, AttributeError) as error:
                return f"{value}: not a template ({error}) - it may hold {{name}}, {{doc}} and {{status}}"
    return None


def _values(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options with their values: `--template X`, `--template=X`, `-o X`."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            yield option, value if equals else after


def _names(words: Sequence[str], is_naming: bool) -> Iterator[str]:
    """Yield the words that are no option, no value of one, no pattern and no variable."""
    for before, word in zip(["", *words], words, strict=False):
        is_value = before in WITH_VALUE if is_naming else before.startswith("-")
        if not word.startswith("-") and not is_value and not {"*", "="} & {*word}:
            yield word

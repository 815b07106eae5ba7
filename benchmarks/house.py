"""Figures of the code itself, one per line: structure, words, prose, size. `tests/unit/test_house.py` has budgets.

    python benchmarks/house.py

How each figure is counted:

- *first-level entries*: files and folders directly below `punie_build/`.
- *files that name KIND*: modules of `punie_build/` in which a string literal is the kind's name, or begins a label
  (`"eval:"`, `"adapter."`). Every literal counts, except at a position whose syntax proves that it is another word:
  1. a display with a string that names no kind and no role: a table of kinds holds kinds only. Such a display is a
     dict, a set, or another display that is searched (`in`), iterated, starred or an argument of `frozenset` or
     `fromkeys`. A tuple elsewhere may be a pair of a kind and a value: it counts;
  2. a name of a field: the second argument of `getattr` and `hasattr`, `field(name=...)`, a key of `references={}`;
  3. `Literal[...]` with another string, a `tag` of a union, and `KEYWORDS`: arguments with another vocabulary.
- *everyday words*: of all bindings (assigned names, and parameters), those that are one of `EVERYDAY`, per 1,000.
- *riddles*: share of sentences in docstrings that have one of `RIDDLES` as a noun.
- *verb first*: share of docstrings whose first word is one of `VERBS`, in its base form or third person ("Return",
  "Returns"), and is not used as a noun: no punctuation behind it, and no word of `AFTER_NOUN` ("Name of ..."). The
  list is closed, so the figure is a lower bound: a verb that is not listed does not count.
- *wide lines*: longer than 120 columns. In Markdown, tables and blocks of JSON are excepted: their lines cannot
  break.
- *gerund modules*: names ending in "-ing" that are not the field's own term (`TERMS`).
- *recipe keys*: the keys of every Struct that a table of a recipe can hold, each Struct counted once.
- *lines*: of `punie_build/`; *lines of code* are those without comments, docstrings and blank lines.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "punie_build"
WIDTH = 120
KINDS = (
    *("dataset", "stage", "mix", "tokens", "preflight", "adapter", "choice", "grid", "model"),
    *("answers", "eval", "comparison", "endpoint", "variant"),
)
ROLES = frozenset("data any-data base any-base arm trained suite search".split())
LABEL = re.compile(r"(?:: )?([a-z]+)(?::|\.|:[\w@*-]+)")  # `eval:`, `eval:NAME`, `: adapter.`
KEYWORDS = frozenset(("tag", "batching", "unit", "repo_type"))  # the last one of huggingface_hub
EVERYDAY = frozenset(
    """said told found some each held made place shown given kept asked wanted left taken here there whole more odd
    now gone fresh it of""".split()
)
RIDDLES = re.compile(r"\b(what|whoever|whatever|nobody|nothing|somebody|anybody)\b", re.IGNORECASE)
TERMS = frozenset(
    "tokenizing packing batching serving training testing scoring sampling finding ranking meaning".split()
)
AFTER_NOUN = frozenset("of is are was were that which who has have and or".split())
VERBS = frozenset(
    """accept add adjust align allow answer append apply assign assert ask attach average balance begin bind block bound
    break bring build cache calculate call capture carry change check choose clean clear clone close collapse collate
    collect combine compare complete compute configure connect consume convert copy correct count create cut declare
    decode decompress define delete delegate deny derive describe detect determine digest discard display divide do
    download drain draw drop duplicate emit enable encode end ensure enter enumerate erase escape estimate evaluate
    exclude execute exit expand export express extend extract fail fetch fill filter find finish fit fix flatten flush
    follow fold force forget format forward fuse gate gather generate get give group guard guess handle hash hide hold
    identify ignore implement import include index infer initialize inline insert install intersect iterate join judge
    keep kill label launch learn let limit link list listen load locate lock log look lower make map mark mask match
    measure merge minimize mirror mix move name need normalize note notify number obtain open order override pack pad
    pair parse partition pass patch pause perform pick place plan plot point poll pop predict prefix prepare present
    preserve print produce promise propose protect prove provide publish pull push put quantize query quote raise rank
    reach read rebuild receive recognize record redact reduce refer refuse register reject release remember remove
    rename render repair repeat replace reply report request require rescale reserve reset resolve respond restore
    restrict resume retry return reuse reverse rewrite round run sample save say scale scan schedule score search select
    send separate serialize serve set share shift show shrink shuffle shut sign simulate skip slice smooth sort spawn
    spell split spread start state stop store stream strip style subtract suggest sum summarize supply suspend swap
    switch take tell terminate test throw time tokenize touch track train transform translate traverse trim truncate try
    turn unify unpack update upload use validate verify visit wait walk warn watch weigh wrap write yield""".split()
)


class House(Struct):
    """All figures. Ratios are per 1,000 or in percent, as their line says."""

    entries: int
    files_of_kind: dict[str, int]
    everyday: float
    riddles: float
    verb_first: float
    duplicate_classes: list[str]
    wide_sources: int
    wide_docs: int
    gerunds: list[str]
    recipe_keys: int
    lines: int
    code: int


@cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax tree of every module of the package."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def entries() -> int:
    return sum(1 for path in PACKAGE.iterdir() if path.name != "__pycache__")


@cache
def nodes() -> dict[Path, list[ast.AST]]:
    """Return all nodes of every module's tree."""
    return {path: list(ast.walk(tree)) for path, tree in trees().items()}


def is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_other_vocabulary(parts: Iterable[ast.AST | None]) -> bool:
    """Return whether a string among the parts of a display names no kind and no role."""
    return any(
        part.value not in ROLES.union(KINDS) for part in parts if isinstance(part, ast.Constant) and is_text(part)
    )


def other_words(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yield the parts of a node that are strings and cannot mean a kind, by the rules above."""
    match node:
        case ast.Dict(keys) if is_other_vocabulary(keys):
            yield from keys
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Tuple(parts) | ast.List(parts)]):
            yield from parts if is_other_vocabulary(parts) else ()
        case ast.For(iter=part) | ast.comprehension(iter=part) | ast.Starred(value=part):
            yield from iterated(part)
        case ast.Call(ast.Name("getattr" | "hasattr"), [_, part, *_]):
            yield part
        case ast.Call(ast.Name("frozenset" | "set") | ast.Attribute(attr="fromkeys"), [part, *_]):
            yield from iterated(part)
        case ast.Call(ast.Name("field") | ast.Attribute(attr="field")):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "name")
        case ast.keyword("references", ast.Dict(keys)):
            yield from keys
        case ast.keyword(arg, part) if arg in KEYWORDS:
            yield part
        case ast.Set(parts) | ast.Subscript(ast.Name("Literal"), ast.Tuple(parts)) if is_other_vocabulary(parts):
            yield from parts


def iterated(part: ast.AST) -> Iterator[ast.AST]:
    """Yield the elements of a display, or of both branches of a conditional one, that holds other words."""
    if isinstance(part, ast.IfExp):
        yield from (element for branch in (part.body, part.orelse) for element in iterated(branch))
    elif isinstance(part, ast.Tuple | ast.List) and is_other_vocabulary(part.elts):
        yield from part.elts


def strings_of(module: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the literals that may mean a kind, a label without its name and place."""
    module = list(module)
    others = {id(part) for node in module for part in other_words(node)}
    for node in module:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in others:
            found = LABEL.fullmatch(node.value)
            yield found[1] if found else node.value


@cache
def literals() -> dict[Path, frozenset[str]]:
    """Return the strings of each module that may mean a kind."""
    return {path: frozenset(strings_of(module)) for path, module in nodes().items()}


def files_of_kind(kind: str) -> int:
    """Count the modules that name a kind. An `__all__` names modules, not kinds."""
    return sum(kind in strings for path, strings in literals().items() if path.name != "__init__.py")


def bindings() -> Iterator[str]:
    """Yield every name that is assigned, and every parameter."""
    for module in nodes().values():
        for node in module:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg


def everyday() -> float:
    """Compute the everyday words per 1,000 bindings."""
    names = list(bindings())
    return 1000 * sum(name in EVERYDAY for name in names) / len(names)


@cache
def docstrings() -> list[str]:
    """Return the docstrings of all modules, classes and functions."""
    texts = []
    for module in nodes().values():
        for node in module:
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    texts.append(text)
    return texts


def sentences(docstring: str) -> list[str]:
    """Split a docstring into sentences of three words and more. Indented blocks, such as examples, are left out."""
    text = re.sub(r"\n\s{4,}[^\n]*", "", docstring).replace("\n", " ")
    return [sentence for sentence in re.split(r"(?<=[.!?:;])\s+", text) if len(sentence.split()) > 2]


def riddles() -> float:
    """Compute the percentage of sentences with a pronoun as a noun."""
    texts = [sentence for docstring in docstrings() for sentence in sentences(docstring)]
    return 100 * sum(bool(RIDDLES.search(text)) for text in texts) / len(texts)


def begins_with_verb(text: str) -> bool:
    """Return whether the first word is a listed verb, in its base form or third person, and not used as a noun."""
    word, _, rest = text.partition(" ")
    word = word.lower()
    if rest.split(maxsplit=1)[:1] and rest.split(maxsplit=1)[0] in AFTER_NOUN:
        return False
    stems = {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
    return not VERBS.isdisjoint(stems)


def verb_first() -> float:
    """Compute the percentage of docstrings that begin with a verb."""
    texts = docstrings()
    return 100 * sum(map(begins_with_verb, texts)) / len(texts)


def duplicate_classes() -> list[str]:
    """Return the names of public classes that more than one module defines."""
    modules: dict[str, set[Path]] = defaultdict(set)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].add(path)
    return sorted(name for name, paths in modules.items() if len(paths) > 1)


def wide_lines(path: Path) -> list[int]:
    """Return the numbers of the lines above 120 columns. Tables and JSON of Markdown are excepted."""
    numbers, block = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if path.suffix == ".md" and line.startswith("```"):
            block = "" if block else line
        excepted = path.suffix == ".md" and (line.startswith("|") or block == "```json")
        if len(line) > WIDTH and not excepted:
            numbers.append(number)
    return numbers


def sources() -> list[Path]:
    """Return all Python files; the corpus of nano is a table of sentences, a line each, and is left out."""
    folders = ("punie_build", "tests", "benchmarks", "models/nano")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if path.name != "corpus.py"]


def documents() -> list[Path]:
    folders = (ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "models" / "nano")
    return [path for folder in folders for path in sorted(folder.glob("*.md"))]


def gerunds() -> list[str]:
    paths = [path for path in trees() if path.stem.endswith("ing") and path.stem.rpartition("_")[2] not in TERMS]
    return [path.relative_to(ROOT).as_posix() for path in paths]


def structs_of(annotation: Any, seen: set[type]) -> None:
    """Add every Struct that a value of this type may hold to `seen`."""
    for part in typing.get_args(annotation):
        structs_of(part, seen)
    if isinstance(annotation, type) and issubclass(annotation, Struct) and annotation not in seen:
        seen.add(annotation)
        for hint in typing.get_type_hints(annotation, include_extras=True).values():
            structs_of(hint, seen)


def recipe_structs() -> set[type]:
    """Return every Struct that a table of a recipe can hold."""
    from punie_build.artifacts.registry import KINDS as KINDS_BY_NAME

    seen: set[type] = set()
    for kind in KINDS_BY_NAME.values():
        for each in (kind, *kind.variants.values()):
            structs_of(each.spec, seen)
    return seen


def recipe_keys() -> int:
    """Count the keys that the tables of all kinds can have."""
    return sum(len({field.encode_name for field in msgspec.structs.fields(struct)}) for struct in recipe_structs())


def code_lines(path: Path) -> int:
    """Count the lines that hold code: no comments, docstrings or blank lines."""
    text = path.read_text(encoding="utf-8")
    comments = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in comments:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in nodes()[path]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def house() -> House:
    """Compute all figures."""
    return House(
        entries=entries(),
        files_of_kind={kind: files_of_kind(kind) for kind in KINDS},
        everyday=everyday(),
        riddles=riddles(),
        verb_first=verb_first(),
        duplicate_classes=duplicate_classes(),
        wide_sources=sum(len(wide_lines(path)) for path in sources()),
        wide_docs=sum(len(wide_lines(path)) for path in documents()),
        gerunds=gerunds(),
        recipe_keys=recipe_keys(),
        lines=sum(len(path.read_text(encoding="utf-8").splitlines()) for path in trees()),
        code=sum(code_lines(path) for path in trees()),
    )


def main() -> None:
    figures = house()
    lines = {
        "first-level entries of punie_build/": f"{figures.entries}",
        **{f"files that name {kind}": f"{count}" for kind, count in figures.files_of_kind.items()},
        "everyday words per 1,000 bindings": f"{figures.everyday:.1f}",
        "docstring sentences with a pronoun as noun": f"{figures.riddles:.1f} %",
        "docstrings that begin with a verb": f"{figures.verb_first:.1f} %",
        "class names defined twice": f"{len(figures.duplicate_classes)}  {' '.join(figures.duplicate_classes)}",
        "lines above 120 columns, Python": f"{figures.wide_sources}",
        "lines above 120 columns, Markdown": f"{figures.wide_docs}",
        "gerund modules": f"{len(figures.gerunds)}  {' '.join(figures.gerunds)}",
        "recipe keys": f"{figures.recipe_keys}",
        "lines": f"{figures.lines:,}",
        "lines of code": f"{figures.code:,}",
    }
    for name, figure in lines.items():
        print(f"{name:<44}{figure}".rstrip())


if __name__ == "__main__":
    main()

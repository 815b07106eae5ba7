"""Importer of the multi-turn questions of the Berkeley leaderboard, whose tools are classes of the package bfcl-eval.

The expected calls of each turn are part of the initial state: `punie_build/evaluation/bfcl_world.py` makes them beside
those of the model, and compares states and results after each turn, as the leaderboard does. A conversation ends with a
call that cannot be read, which the leaderboard skips.
"""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from punie_build.data.example import Message
from punie_build.errors import DataError
from punie_build.evaluation import suite as suites
from punie_build.evaluation.checks.matchers import ExactValue
from punie_build.evaluation.checks.union import EndState, ExpectedCall
from punie_build.evaluation.importers.bfcl_schema import declaration
from punie_build.evaluation.importers.imported import ImportedSuite, build_suite
from punie_build.evaluation.suite import Case, ReferenceAnswer, Suite, UserTurn
from punie_build.evaluation.tool_state import StateClass, install_command

PACKAGE, MODULE = "bfcl-eval", "bfcl_eval"
WORLD = "punie_build.evaluation.bfcl_world:World"
CONSTANTS = f"{MODULE}.constants"
Call = tuple[str, dict[str, Any]]


def import_conversations(path: Path, rows: Sequence[dict[str, Any]], truths: dict[str, Any]) -> ImportedSuite:
    """Import questions with a state, and their expected calls by id. Raise DataError without the package."""
    if util.find_spec(MODULE) is None:
        raise DataError(f"{path.name}: its tools are those of the package {PACKAGE} - {install_command(PACKAGE)}")
    declarations, prompts = _declarations(), importlib.import_module(f"{CONSTANTS}.default_prompts")
    cases, notes, used = list[Case](), list[str](), dict[str, None]()
    for number, row in enumerate(rows, 1):
        name = str(row.get("id"))
        try:
            case = _case(name, row, truths.get(name, row.get("ground_truth")), declarations, prompts)
        except (TypeError, AttributeError, LookupError, ValueError, SyntaxError) as error:
            notes.append(f"{name}, row {number}: not imported: {error}")
            continue
        cases.append(case)
        used |= dict.fromkeys(row["involved_classes"])
    tools = tuple(tool for name in declarations if name in used for tool in declarations[name].values())
    state = StateClass(name=WORLD, package=PACKAGE, max_turns=prompts.MAXIMUM_STEP_LIMIT + 1)
    for index, case in enumerate(cases):
        if problems := suites.problems(Suite(cases=(case,), tools=tools, state=state)):
            notes.append(f"{case.id} has no reference answer: {'; '.join(problems)}")
            cases[index] = structs.replace(case, oracle=None)
    return build_suite(path, cases, notes, system="", tools=tools, state=state)


def _declarations() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the declared tools of each class of the package, by name."""
    backends = importlib.import_module(f"{CONSTANTS}.executable_backend_config")
    folder = Path(str(importlib.import_module(MODULE).__path__[0])) / "data" / "multi_turn_func_doc"
    declarations = {}
    for name, file in backends.MULTI_TURN_FUNC_DOC_FILE_MAPPING.items():
        if name == "WebSearchAPI" or name.startswith("MemoryAPI"):  # they need the network or folders
            continue
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
        functions = [json.loads(line) for line in lines if line.strip()]
        declarations[name] = {
            function["name"]: declaration({key: value for key, value in function.items() if key != "response"})
            for function in functions
        }
    return declarations


def _case(name: str, row: dict[str, Any], truth: Any, declarations: dict[str, Any], prompts: Any) -> Case:
    """Return the case of a row. Raise an error of the shape of the row that says what is wrong."""
    classes = row["involved_classes"]
    if unknown := [group for group in classes if group not in declarations]:
        raise ValueError(f"tools of {', '.join(unknown)} need the network or files")
    if not isinstance(truth, list) or len(truth) != len(row["question"]):
        raise ValueError("no expected calls for each turn - set --answers to the file of answers")
    tools = {tool: table for group in classes for tool, table in declarations[group].items()}
    expected = [[_call(text, tools) for text in turn] for turn in truth]
    missing = {int(turn): names for turn, names in (row.get("missed_function") or {}).items()}
    first, *later = row["question"]
    messages = msgspec.convert(first, tuple[Message, ...])
    is_prompt = len(messages) == 1 and messages[0].role == "user"
    late = [tool for names in missing.values() for tool in names]
    added = prompts.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC
    size = {"long_context": True} if "long_context" in name else {}
    return Case(
        id=name,
        category=name.rstrip("0123456789").rstrip("_") or "all",
        prompt=messages[0].content if is_prompt else None,
        messages=None if is_prompt else messages,
        tools=tuple(tool for tool in tools if tool not in late),
        user_turns=tuple(_turn(turn, tuple(missing.get(index, ())), added) for index, turn in enumerate(later, 1)),
        initial=json.loads(
            json.dumps({"classes": classes, "scenario": row["initial_config"], "expected": expected} | size)
        ),
        checks=(EndState(value={"turns": ["right"] * len(truth)}),),
        oracle=ReferenceAnswer(turns=tuple(tuple(map(_reference, turn)) for turn in expected)),
    )


def _turn(messages: list[dict[str, Any]], tools: tuple[str, ...], added: str) -> str | UserTurn:
    """Return a further message of the user; tools that come later come with a message of the leaderboard."""
    if tools:
        return UserTurn(content=added, tools=tools)
    if len(messages) != 1 or messages[0].get("role") != "user":
        raise ValueError(f"a turn of {len(messages)} messages, where one of the user is expected")
    return str(messages[0]["content"])


def _call(text: str, tools: dict[str, dict[str, Any]]) -> Call:
    """Return the name and the arguments of an expected call, which is Python. Raise ValueError."""
    [statement] = ast.parse(text).body
    node = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in tools:
        raise ValueError(f"{text[:80]} is no call of a tool")
    names = list(tools[node.func.id]["function"]["parameters"].get("properties", {}))
    arguments = dict(zip(names, node.args, strict=False)) | {
        keyword.arg or "**": keyword.value for keyword in node.keywords
    }
    if len(node.args) > len(names):
        raise ValueError(f"{text[:80]} has more arguments than the tool")
    return node.func.id, {name: ast.literal_eval(value) for name, value in arguments.items()}


def _reference(call: Call) -> ExpectedCall:
    name, arguments = call
    return ExpectedCall(name=name, arguments={key: ExactValue(value=value) for key, value in arguments.items()})

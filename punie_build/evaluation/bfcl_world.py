"""Tools of the multi-turn questions of the Berkeley leaderboard, judged turn by turn with functions of its checker.

This file is the source of a class of tools: it runs alone in the process of `tool_state.py`, which has the package
bfcl-eval and not this one.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

FORBIDDEN = ("kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run")  # of the leaderboard
CHECKER = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"
BACKENDS = "bfcl_eval.constants.executable_backend_config"


class World:
    """The objects that a model calls, beside equal ones that get the expected calls.

    `classes`: names of the leaderboard's classes; `scenario`: the initial state of each. `expected`: for each message
    of the user, calls as [name, arguments]. The state is `turns`: for each message "right", or what differs.
    """

    def __init__(
        self,
        classes: Sequence[str],
        scenario: dict[str, Any],
        expected: Sequence[Sequence[tuple[str, dict[str, Any]]]],
        long_context: bool = False,
    ) -> None:
        self._objects, self._others = (_objects(classes, scenario, long_context) for _ in range(2))
        self._methods, self._other_methods = _methods(self._objects), _methods(self._others)
        self._expected, self._verdicts = list(expected), list[str]()
        self._results, self._calls, self._over = list[str](), 0, False

    def __getattr__(self, name: str) -> Callable[..., str]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(**arguments: Any) -> str:
            self._calls += 1
            self._results.append(_result(self._methods, name, arguments))
            return self._results[-1]

        return call

    def next_turn(self) -> None:
        """Compare the objects at the end of a turn, after the expected calls were made."""
        if len(self._verdicts) < len(self._expected):
            self._verdicts.append(self._verdict(self._expected[len(self._verdicts)]))
        self._calls = 0

    def state(self) -> dict[str, list[str]]:
        """Return the verdict of each turn; the last one ends with the conversation."""
        if not self._over:
            self.next_turn()
            self._over = True
        return {"turns": self._verdicts}

    def _verdict(self, expected: Sequence[tuple[str, dict[str, Any]]]) -> str:
        results = [_result(self._other_methods, name, arguments) for name, arguments in expected]
        if not expected:  # the leaderboard does not judge such a turn
            return "right"
        if not self._calls:
            return "no call"
        checker = importlib.import_module(CHECKER)
        state = checker.state_checker(self._objects, self._others)
        if not state["valid"]:
            return f"wrong state: {', '.join(sorted(state['details']['differences']))}"
        response = checker.response_checker(self._results, results, len(self._verdicts))
        missing = [] if response["valid"] else response["details"]["missing_items"]
        return f"{len(missing)} of {len(results)} expected results missing" if missing else "right"


def _objects(classes: Sequence[str], scenario: dict[str, Any], long_context: bool) -> dict[str, Any]:
    """Return an object of each class in its initial state."""
    backends, objects = importlib.import_module(BACKENDS), dict[str, Any]()
    for name in classes:
        objects[name] = getattr(importlib.import_module(backends.CLASS_FILE_PATH_MAPPING[name]), name)()
        if name not in backends.STATELESS_CLASSES:
            objects[name]._load_scenario(copy.deepcopy(scenario.get(name, {})), long_context=long_context)
    return objects


def _methods(objects: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Return all methods of objects by name."""
    return {name: method for item in objects.values() for name, method in inspect.getmembers(item, inspect.ismethod)}


def _result(methods: dict[str, Callable[..., Any]], name: str, arguments: dict[str, Any]) -> str:
    """Return the result of a call as the leaderboard shows it to models, or the error of the call."""
    try:
        if name in FORBIDDEN:
            raise ValueError(f"Function call {name} is not allowed.")
        if name not in methods:
            raise NameError(f"name '{name}' is not defined")
        value = methods[name](**copy.deepcopy(arguments))
    except Exception as error:
        return f"Error during execution: {error}"
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except (TypeError, ValueError):
            return str(value)
    return value if isinstance(value, str) else str(value)

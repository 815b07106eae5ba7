"""Tools with a state: a class of the project whose methods are the tools, run in a process with limits.

A conversation is replayed from its beginning after each turn, so that no process waits for a model: the class must give
the same results for the same calls. Random numbers have a fixed seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from punie_build.data.example import ToolCall
from punie_build.runtime.limited_function import LimitedFunction
from punie_build.schema.spec import Spec

SECONDS = 10.0  # for all calls of a conversation
REPLAY = """

def _replay_of_a_conversation(request):
    import json, math, random, re

    def plain(value):
        if isinstance(value, dict):
            return {{str(key): plain(item) for key, item in value.items()}}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return sorted((plain(item) for item in value), key=json.dumps)
        if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return re.sub(r" at 0x[0-9a-f]+", "", str(value))  # an address differs in each process

    def call(tool, arguments):
        method = None if tool.startswith("_") or tool in hooks else getattr(world, tool, None)
        try:
            value = method(**arguments) if callable(method) else f"Error: there is no tool {{tool}}"
        except BaseException as error:
            value = f"Error: {{type(error).__name__}}: {{error}}"
        return value if isinstance(value, str) else json.dumps(plain(value))

    random.seed(0)
    world = {name}(**request["initial"])
    hooks = ("next_turn", "state") if hasattr({name}, "next_turn") else ()  # no tools
    results = []
    for index, turn in enumerate(request["turns"]):
        if index and hooks:
            world.next_turn()
        results += [call(tool, arguments) for tool, arguments in turn]
    state = world.state() if callable(getattr(world, "state", None)) else getattr(world, "__dict__", {{}})
    return {{"results": results, "state": plain(state)}}
"""


INSTALL = {"bfcl-eval": "--no-deps bfcl-eval mpmath==1.3.0"}  # of all that it requires, its tools use only mpmath


class StateClass(Spec, frozen=True, kw_only=True):
    """The class of stateful tools: `class = "suites.world:World"` in the project.

    `package`: an installed package that the class imports; its version is part of the suite. `max_turns`: the turns of
    the model after each message of the user. `source` is the text of the file, set when the suite is read.
    """

    name: str = msgspec.field(name="class")
    source: str = ""
    package: str | UnsetType = UNSET
    max_turns: Annotated[int, Meta(ge=1)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        module, _, name = self.name.partition(":")
        if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"class {self.name!r} - write module:class, such as suites.world:World")


class Replay(Struct, frozen=True):
    """The results of all calls of a conversation, as text, and the state after them."""

    results: tuple[str, ...]
    state: Any


def install_command(package: str) -> str:
    """Return the command that installs a package for a class of tools."""
    return f"pip install {INSTALL.get(package, package)}"


def replay(tools: StateClass, initial: dict[str, Any], turns: Sequence[Sequence[ToolCall]]) -> Replay:
    """Return the results of the calls after each message of the user, in a new world with these `initial` arguments.
    Between two messages the method `next_turn` of the class is called, if it has one. Raises FunctionError if the
    class itself fails."""
    request = {"initial": initial, "turns": [[(call.name, call.arguments) for call in turn] for turn in turns]}
    return msgspec.convert(_function(tools)(json.dumps(request).encode()), Replay)


@lru_cache(maxsize=16)
def _function(tools: StateClass) -> LimitedFunction:
    module, _, name = tools.name.partition(":")
    source = tools.source + REPLAY.format(name=name)
    return LimitedFunction(source, module.replace(".", "/") + ".py", "_replay_of_a_conversation", SECONDS)

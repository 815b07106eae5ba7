"""Conversations of several user turns with stateful tools, and few-shot examples: requests, end state, mistakes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from msgspec import convert

from punie_build.data.example import ToolCall
from punie_build.evaluation import suite_file, suite_validation
from punie_build.evaluation.checks.union import score_answer
from punie_build.evaluation.completion import Completion
from punie_build.evaluation.conversation import Conversation
from punie_build.evaluation.spec import GenerationSpec, SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.evaluation.tool_state import StateClass, replay

WORLD = """
import random

class Account:
    def __init__(self, balance=0):
        self.balance = balance

    def pay(self, amount):
        if amount > self.balance:
            raise ValueError("not enough")
        self.balance -= amount
        return {"balance": self.balance, "receipt": random.randint(0, 999)}

    def _steal(self):
        self.balance = 0
"""
SUITE = """
tools = [{ type = "function", function = { name = "pay", parameters = { properties = { amount = {} } } } }]
state = { class = "world:Account" }
few_shot = [{ role = "user", content = "Hi" }, { role = "assistant", content = "Hello." }]

[[case]]
id = "pay"
prompt = "Pay 30."
user_turns = ["And 20 more."]
initial = { balance = 60 }
checks = [{ type = "state", value = { balance = 10 } }]
oracle = { calls = [{ name = "pay", arguments = { amount = 30 } }, { name = "pay", arguments = { amount = 20 } }] }
"""


def read(root: Path, text: str = SUITE, world: str = WORLD) -> tuple[Suite | None, list[str]]:
    (root / "world.py").write_text(world)
    (root / "s.toml").write_text(text)
    return suite_file.read_suite(SuiteFile(file="s.toml"), root, "suite.s")


def call(amount: object) -> Completion:
    arguments = f'{{"amount": {amount}}}'
    return Completion(token_ids=[], logprobs=[], calls=[("pay", arguments)], finish="tool_calls")


def text(content: str) -> Completion:
    return Completion(token_ids=[], logprobs=[], content=content)


def test_user_turns_and_calls_change_a_state_that_is_checked(tmp_path):
    suite, problems = read(tmp_path)
    assert not problems
    [case] = suite.cases
    conversation = Conversation(GenerationSpec(arm="a", suite="s"), suite, case, 0, lambda _: "raw")
    for completion in (call(30), text("Done."), call(99), call(20), text("Done, too.")):
        assert conversation.next_request() is not None
        conversation.add(completion)
    assert conversation.next_request() is None
    roles = [message["role"] for message in conversation.messages]
    first, second = ["user", "assistant", "tool", "assistant"], ["user", *["assistant", "tool"] * 2]
    assert roles == ["user", "assistant", *first, *second]
    assert conversation.messages[4]["content"].startswith('{"balance": 30')
    assert conversation.messages[8]["content"] == "Error: ValueError: not enough"
    answer = conversation.answer
    assert (answer.state, answer.turns, len(answer.calls)) == ({"balance": 10}, 5, 3)
    assert score_answer(case.checks, answer).passed


def test_an_answer_without_calls_has_the_initial_state(tmp_path):
    suite, _ = read(tmp_path)
    conversation = Conversation(GenerationSpec(arm="a", suite="s"), suite, suite.cases[0], 0, lambda _: "raw")
    conversation.add(text("No."))
    conversation.add(text("No."))
    assert conversation.answer.state == {"balance": 60}
    assert score_answer(suite.cases[0].checks, conversation.answer).failure == "wrong state"


def test_a_conversation_is_replayed_to_the_same_results(tmp_path):
    tools = StateClass(name="world:Account", source=WORLD)
    calls = [ToolCall("pay", {"amount": 1})] * 2
    assert replay(tools, {"balance": 5}, [calls]) == replay(tools, {"balance": 5}, [calls])
    assert replay(tools, {"balance": 5}, [calls]) == replay(tools, {"balance": 5}, [calls[:1], [], calls[1:]])
    assert replay(tools, {"balance": 5}, [calls[:1]]).results == replay(tools, {"balance": 5}, [calls]).results[:1]
    odd = [ToolCall("_steal", {}), ToolCall("none", {}), ToolCall("pay", {"sum": 1}), ToolCall("next_turn", {})]
    results = replay(tools, {"balance": 5}, [odd]).results
    assert [line.partition(":")[0] for line in results] == ["Error"] * 4
    assert replay(tools, {"balance": 5}, [odd]).state == {"balance": 5}


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("self.x = float('nan')", {"x": "nan"}),
        ("self.x = {1: 2, (1, 2): {3, 1, 2}}", {"x": {"1": 2, "(1, 2)": [1, 2, 3]}}),
        ("self.x = {'b', 'a', 'c'}", {"x": ["a", "b", "c"]}),
        ("self.x = self", {"x": "<user_function.A object>"}),
        ("self.x = 10**400", {"x": 10**400}),
    ],
)
def test_any_state_is_plain_and_the_same_in_each_process(body, state):
    source = f"class A:\n    def __init__(self):\n        {body}\n    def leave(self): raise SystemExit(3)\n"
    outcome = replay(StateClass(name="w:A", source=source), {}, [[ToolCall("leave", {})]])
    assert (outcome.results, outcome.state) == (("Error: SystemExit: 3",), state)


def test_a_class_that_fails_is_an_error_of_the_answer(tmp_path):
    suite, _ = read(tmp_path, world=WORLD.replace("self.balance = balance", "self.balance = balance / 0", 1))
    conversation = Conversation(GenerationSpec(arm="a", suite="s"), suite, suite.cases[0], 0, lambda _: "raw")
    conversation.add(text("No."))
    assert "the class of the tools raised ZeroDivisionError" in conversation.answer.error


def test_the_suite_is_validated_with_the_state_of_its_reference_answers(tmp_path):
    suite, _ = read(tmp_path)
    assert suite_validation.validate_suite(suite).sound
    reached, _ = read(tmp_path, SUITE.replace("balance = 10", "balance = 60"))
    problems = "\n".join(suite_validation.validate_suite(reached).problems)
    assert "its own reference answer fails: wrong state" in problems
    assert "an empty answer passes" in problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("world:Account", "world:Bank", "world.py has no class 'Bank'"),
        ("world:Account", "earth:Account", "no readable file earth.py"),
        ("world:Account", "world", "module:class"),
        ('state = { class = "world:Account" }', "", "has `initial`, and the suite has no `state`"),
        ('state = { class = "world:Account" }', "", "checks the state of tools, and the suite has no `state`"),
        ("initial = {", 'results = { pay = "x" }\ninitial = {', "has `results`, and its tools have a state"),
        ('"And 20 more."', '" "', "has an empty text in `user_turns`"),
        ('"And 20 more."', '{ content = " " }', "has an empty text in `user_turns`"),
        ('"And 20 more."', '{ content = "x", tools = ["get"] }', "names the tool 'get', which the suite does not"),
        ('prompt = "Pay 30."', 'prompt = "Pay."\ntools = ["get", "pay"]', "names the tool 'get', which the suite does"),
        (
            '"world:Account"',
            '"world:Account", package = "no-such-thing"',
            "no-such-thing is not installed - pip install",
        ),
        ("oracle = { calls", "oracle = { turns = [[{ name = 'pay' }]], calls", "either 'calls' or 'turns'"),
        ("world:Account", "punie_build.evaluation.suite:World", "suite.py has no class 'World'"),
    ],
)
def test_mistakes_of_stateful_suites_are_named(tmp_path, old, new, problem):
    assert problem in "\n".join(read(tmp_path, SUITE.replace(old, new))[1])


TURNS = """
class World:
    def __init__(self):
        self.turns = [[]]

    def next_turn(self):
        self.turns.append([])

    def note(self, text):
        self.turns[-1].append(text)

    def erase(self):
        self.turns[-1].clear()
"""
NOTES = """
state = { class = "world:World", max_turns = 2, package = "msgspec" }

[[tools]]
function = { name = "note", parameters = { properties = { text = {} } } }

[[tools]]
function = { name = "erase", parameters = { properties = {} } }

[[case]]
id = "a"
prompt = "Note a."
tools = ["note"]
user_turns = ["Thanks.", { content = "Now you can erase. Note b.", tools = ["erase"] }]
checks = [{ type = "state", value = { turns = [["a"], [], ["b"]] } }]
[case.oracle]
turns = [[{ name = "note", arguments = { text = "a" } }], [], [{ name = "note", arguments = { text = "b" } }]]
"""


def note(content: str) -> Completion:
    calls = [("note", f'{{"text": "{content}"}}')]
    return Completion(token_ids=[], logprobs=[], calls=calls, finish="tool_calls")


def test_tools_come_with_a_message_and_the_class_learns_of_each_message(tmp_path):
    suite, problems = read(tmp_path, NOTES, TURNS)
    assert not problems
    assert f"# msgspec {metadata.version('msgspec')}" in suite.state.source
    conversation = Conversation(GenerationSpec(arm="a", suite="s"), suite, suite.cases[0], 0, lambda _: "raw")
    n_tools = []
    for completion in (note("a"), text("Done."), text("Welcome."), note("b"), text("Done.")):
        n_tools.append(len(conversation.next_request()["tools"]))
        conversation.add(completion)
    assert n_tools == [1, 1, 1, 2, 2]
    assert conversation.answer.state == {"turns": [["a"], [], ["b"]]}
    assert score_answer(suite.cases[0].checks, conversation.answer).passed
    assert suite_validation.validate_suite(suite).sound
    late, _ = read(tmp_path, NOTES.replace('[["a"], [], ["b"]]', '[["a"], ["b"], []]'), TURNS)
    assert "its own reference answer fails: wrong state" in suite_validation.validate_suite(late).problems[0]


def test_what_the_class_learns_of_messages_by_is_no_tool():
    tools = StateClass(name="world:World", source=TURNS)
    calls = [ToolCall("note", {"text": "a"}), ToolCall("next_turn", {}), ToolCall("state", {})]
    outcome = replay(tools, {}, [calls, []])
    assert outcome.state == {"turns": [["a"], []]}
    assert outcome.results[1:] == ("Error: there is no tool next_turn", "Error: there is no tool state")
    free = StateClass(name="w:A", source="class A:\n    def __getattr__(self, name):\n        return lambda: name\n")
    assert replay(free, {}, [[ToolCall("any", {})], [ToolCall("next_turn", {})]]).results == ("any", "next_turn")


def test_a_conversation_ends_after_the_turns_of_the_class(tmp_path):
    suite, _ = read(tmp_path, NOTES, TURNS)
    conversation = Conversation(GenerationSpec(arm="a", suite="s"), suite, suite.cases[0], 0, lambda _: "raw")
    for content in ("a", "b"):
        assert conversation.answer is None
        conversation.add(note(content))
    assert (conversation.answer.finish, conversation.answer.state) == ("turns", {"turns": [["a", "b"]]})


def test_parts_declare_the_tools_that_their_cases_name(tmp_path):
    alone, _ = read(tmp_path, NOTES, TURNS)
    suite, problems = suite_file.read_suite(convert({"parts": [{"file": "s.toml"}]}, SuiteFile), tmp_path, "suite.b")
    assert not problems
    assert suite.model_input(suite.cases[0]) == alone.model_input(alone.cases[0])


def test_parts_keep_their_state_and_examples(tmp_path):
    alone, _ = read(tmp_path)
    parts = {"parts": [{"file": "s.toml"}, {"embedded": "baseline"}]}
    suite, problems = suite_file.read_suite(convert(parts, SuiteFile), tmp_path, "suite.b")
    assert not problems
    assert suite.model_input(suite.cases[0]) == alone.model_input(alone.cases[0])
    assert "state" not in suite.model_input(suite.cases[1])

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from punie_build.data.synthetic.editor_tools import TOOLS
from punie_build.data.synthetic.generator import sample
from punie_build.data.synthetic.hand_authored import conversations
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import reference_answer
from punie_build.evaluation.suite_file import read_suite

PYTHON_TYPES = {"string": str, "integer": int}


def calls(example: dict) -> list[dict]:
    return [call["function"] for message in example["messages"] for call in message.get("tool_calls", ())]


@pytest.mark.parametrize("example", [*conversations(), *(sample(3, n) for n in range(300))])
def test_calls_match_their_declarations_and_results_their_calls(example: dict):
    declared = {tool["function"]["name"]: tool["function"]["parameters"] for tool in example.get("tools", ())}
    for call in calls(example):
        schema, arguments = declared[call["name"]], json.loads(call["arguments"])
        assert set(schema["required"]) <= set(arguments) <= set(schema["properties"])
        assert all(type(value) is PYTHON_TYPES[schema["properties"][name]["type"]] for name, value in arguments.items())
    ids = [call["id"] for message in example["messages"] for call in message.get("tool_calls", ())]
    result_ids = [message["tool_call_id"] for message in example["messages"] if message["role"] == "tool"]
    assert result_ids == ids[: len(result_ids)]
    assert not any("<tool_call>" in (message["content"] or "") for message in example["messages"])


def test_the_set_is_large_and_has_all_tools_and_chains_of_calls():
    rows = conversations()
    assert len(rows) >= 60
    assert {call["name"] for example in rows for call in calls(example)} == set(TOOLS)
    chains = [[call["name"] for call in calls(example)] for example in rows]
    assert sum(chain[:3] == ["read_file", "write_file", "read_file"] for chain in chains) >= 2
    assert sum(len(set(chain)) > 1 for chain in chains) >= 10
    assert sum(not chain for chain in chains) >= 10


def plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


@pytest.fixture(scope="module")
def suite():
    suite, problems = read_suite(msgspec.convert({"embedded": "tool-calling"}, SuiteFile), Path(), "test")
    assert not problems
    return suite


def test_no_prompt_of_the_suite_is_in_the_shipped_training_data(suite):
    trained = {
        plain(message["content"])
        for example in [*conversations(), *(sample(0, n) for n in range(3000))]
        for message in example["messages"]
        if message["role"] == "user"
    }
    prompts = {plain(case.prompt) for case in suite.cases if case.prompt}
    assert len(prompts) >= 60
    assert not prompts & trained


def test_the_suite_accepts_references_and_rejects_other_answers(suite):
    cases = suite.cases
    assert len(cases) >= 60
    for index, case in enumerate(cases):
        assert score_answer(case.checks, reference_answer(case)).passed, case.id
        assert not score_answer(case.checks, Answer(case=case.id)).passed, case.id
        other = cases[(index + len(cases) // 2) % len(cases)]
        if reference_answer(other).calls != reference_answer(case).calls:
            assert not score_answer(case.checks, reference_answer(other)).passed, case.id

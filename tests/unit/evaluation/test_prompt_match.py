"""Was an arm trained on what it is asked in?"""

from __future__ import annotations

import json

from punie_build.evaluation.checks.union import NoCall
from punie_build.evaluation.prompt_match import match_prompts
from punie_build.evaluation.suite import Case, Suite
from punie_build.reports import html
from punie_build.reports.pages import evaluation
from punie_build.reports.section import Section

CASE = Case(id="a", category="c", prompt="hello", checks=(NoCall(),))
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def row(system: str | None, tools: list | None = None) -> bytes:
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages += [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": []}]
    return json.dumps({"messages": messages} | ({"tools": tools} if tools is not None else {})).encode()


def test_the_same_prompt_and_tools_are_nothing_to_say():
    found = match_prompts(Suite(cases=(CASE,), system="You help.", tools=(TOOL,)), [row("You help.", [TOOL])] * 4, {})
    assert (found.template, found.system_prompt_in_training, found.tools_in_training) == ("same", 1.0, 1.0)
    assert found.warnings() == []
    assert match_prompts(Suite(cases=(CASE,), system=""), [row(None)], {}).warnings() == []


def test_what_training_did_not_have_is_said():
    rows = [row("You help.", [TOOL]), row("You are a pirate."), row(None, []), row("You help. ")]
    found = match_prompts(Suite(cases=(CASE,), system="You help.", tools=(TOOL,)), rows, {"thinking": False})
    assert found.warnings() == [
        "the chat template is used in another way than in training: with the arguments {'thinking': False}",
        "only 25% of training rows have the system prompt of the suite",
        "only 25% of training rows have the tools of the suite",
    ]


def test_a_case_of_its_own_prompt_counts_and_nothing_trained_says_nothing():
    other = Case(id="b", category="c", prompt="hello", system="Ahoy.", checks=(NoCall(),))
    found = match_prompts(Suite(cases=(CASE, other), system="You help."), [row("Ahoy."), row("You help.")], {})
    assert found.system_prompt_in_training == 1.0
    assert match_prompts(Suite(cases=(CASE,)), [], {}) is None


def test_a_report_says_it_before_any_number():
    found = match_prompts(Suite(cases=(CASE,), system="You <b>help</b>."), [row("Ahoy.")], {"style": "<i>"})
    first = Section("prompt_match", "", {"rows": [{"arm": "v<1>", "objections": found.warnings()}]})
    shown = html.render(html.Page(title="t", label="eval", sections=(first,)))
    assert "v&lt;1&gt;: the prompts of the suite differ from the training data" in shown
    assert "only 0% of training rows have the system prompt" in shown
    assert evaluation.EVAL_SECTIONS[0] is evaluation.SECTIONS[0] is evaluation.prompt_match

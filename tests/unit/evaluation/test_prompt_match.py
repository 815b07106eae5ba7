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


def test_an_equal_prompt_and_equal_tools_give_no_warning():
    match = match_prompts(Suite(cases=(CASE,), system="You help.", tools=(TOOL,)), [row("You help.", [TOOL])] * 4, {})
    assert (match.template, match.system_prompt_in_training, match.tools_in_training) == ("same", 1.0, 1.0)
    assert match.warnings() == []
    assert match_prompts(Suite(cases=(CASE,), system=""), [row(None)], {}).warnings() == []


def test_each_mismatch_of_prompts_is_a_warning():
    rows = [row("You help.", [TOOL]), row("You are a pirate."), row(None, []), row("You help. ")]
    match = match_prompts(Suite(cases=(CASE,), system="You help.", tools=(TOOL,)), rows, {"thinking": False})
    assert match.warnings() == [
        "the chat template is used in another way than in training: with the arguments {'thinking': False}",
        "only 25% of training rows have the system prompt of the suite",
        "only 25% of training rows have the tools of the suite",
    ]


def test_system_prompts_of_cases_match_and_no_rows_give_no_result():
    other = Case(id="b", category="c", prompt="hello", system="Ahoy.", checks=(NoCall(),))
    match = match_prompts(Suite(cases=(CASE, other), system="You help."), [row("Ahoy."), row("You help.")], {})
    assert match.system_prompt_in_training == 1.0
    assert match_prompts(Suite(cases=(CASE,)), [], {}) is None


def test_a_report_shows_the_warnings_before_any_number():
    match = match_prompts(Suite(cases=(CASE,), system="You <b>help</b>."), [row("Ahoy.")], {"style": "<i>"})
    first = Section("prompt_match", "", {"rows": [{"arm": "v<1>", "objections": match.warnings()}]})
    page = html.render(html.Page(title="t", label="eval", sections=(first,)))
    assert "v&lt;1&gt;: the prompts of the suite differ from the training data" in page
    assert "only 0% of training rows have the system prompt" in page
    assert evaluation.EVAL_SECTIONS[0] is evaluation.SECTIONS[0] is evaluation.prompt_match


def test_the_arguments_of_the_template_are_those_of_training():
    suite, rows = Suite(cases=(CASE,), system=""), [row(None)]
    without = {"enable_thinking": False}
    assert match_prompts(suite, rows, without, without).template == "same"
    assert match_prompts(suite, rows, {"enable_thinking": True}, without).template == (
        "with the arguments {'enable_thinking': True}, in training with {'enable_thinking': False}"
    )

"""Laws of the rendering of a row, over families of chat templates."""

from __future__ import annotations

from typing import Any

import pytest

from punie_build.models.dropped_parts import DROPPED, DroppedParts
from punie_build.models.served_template import ChatTemplate
from tests.support.template_families import FAMILIES, FamilyTokenizer

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
SYSTEM = {"role": "system", "content": "SYSTEMTEXT"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": f"USERTEXT {text}"}


def answer(text: str, thought: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text} | (
        {"reasoning_content": thought, "thinking": thought} if thought else {}
    )


def call(path: str, count: int = 1, **more: Any) -> dict[str, Any]:
    function = {"name": "look", "arguments": {"path": path}}
    calls = [{"id": f"call0000{number}", "type": "function", "function": function} for number in range(count)]
    return {"role": "assistant", "content": "", "tool_calls": calls} | more


RESULT = {"role": "tool", "tool_call_id": "call00000", "name": "look", "content": "TOOLTEXT"}
CONVERSATIONS = {
    "one turn": [user("a"), answer("First.")],
    "two turns": [user("a"), answer("First."), user("b"), answer("Second.")],
    "system": [SYSTEM, user("a"), answer("First."), user("b"), answer("Second.")],
    "call": [user("a"), call("a.py"), RESULT, answer("It says so.")],
    "calls in turns": [
        user("a"),
        call("a.py"),
        RESULT,
        answer("First."),
        user("b"),
        call("b.py"),
        RESULT,
        answer("So."),
    ],
    "words": [user("a"), call("a.py", content="Let me look."), RESULT, answer("It says so.")],
    "thoughts": [user("a"), answer("First.", "Because of a."), user("b"), answer("Second.", "Because of b.")],
    "parallel": [user("a"), call("a.py", 2), RESULT, RESULT | {"tool_call_id": "call00001"}, answer("Both.")],
}
ARGUMENTS: list[dict[str, Any]] = [{}, {"enable_thinking": False}]
REFUSED = {  # by the template itself
    ("Gemma 3", "system"), ("Gemma 3", "call"), ("Gemma 3", "calls in turns"), ("Gemma 3", "words"),
    ("Gemma 3", "parallel"), ("Llama 3", "parallel"),
}  # fmt: skip
DROPS = {  # (family, conversation) -> the parts that its template drops
    ("Llama 3", "words"): {"words beside a call": 1},
    ("Mistral v3", "words"): {"words beside a call": 1},
    ("Phi 3.5", "call"): {"call": 1, "tool result": 1},
    ("Phi 4", "call"): {"call": 1},
    ("gpt-oss", "parallel"): {"parallel call": 1},
    ("Hermes", "words"): {"words beside a call": 1},
    ("Command R", "words"): {"words beside a call": 1},
    ("ChatML", "thoughts"): {"thought": 2},
    ("Qwen3", "thoughts"): {},
    ("Qwen3.5", "thoughts"): {},
    ("gpt-oss", "thoughts"): {},
    ("ChatML", "words"): {},
    ("Mistral v3", "system"): {},
}


def templates(family: str) -> list[ChatTemplate]:
    return [ChatTemplate(FamilyTokenizer(FAMILIES[family]), arguments) for arguments in ARGUMENTS]


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_turn_is_trained_as_it_is_served(family, name):
    """The text before a turn is the prompt of the server; the turn ends generation, and holds no text of others."""
    messages = CONVERSATIONS[name]
    for template in templates(family):
        if (family, name) in REFUSED:
            with pytest.raises(Exception, match=r"alternate|at a time"):
                template.render(messages, TOOLS)
            continue
        row = template.render(messages, TOOLS)
        turns = row.turns()
        assert [turn.message for _, turn in turns] == [n for n, m in enumerate(messages) if m["role"] == "assistant"]
        for text, turn in turns:
            prompts = [template.apply(form, TOOLS, True) for form in offered(messages[: turn.message], family)]
            assert text.prompt(turn) in prompts
            generated = text.generated(turn)
            assert text.text[turn.stop : turn.end].strip() in template.ends
            assert not any(mark in generated for mark in template.ends)
            assert not any(word in generated for word in ("USERTEXT", "TOOLTEXT", "SYSTEMTEXT"))
            assert not any(generated.startswith(text.prompt(turn)[-length:]) for length in range(8, 40)), "no header"
            assert generated.count("</think>") <= 1
            content = messages[turn.message]["content"]
            assert content in generated or messages[turn.message].get("tool_calls")


def offered(messages: list[dict[str, Any]], family: str) -> list[list[dict[str, Any]]]:
    """Return the messages as a template may want them: DeepSeek V3 wants arguments as text."""
    if not family.startswith("DeepSeek"):
        return [messages]
    copies = [dict(message) for message in messages]
    for message in copies:
        if calls := message.get("tool_calls"):
            arguments = '{"path": "' + calls[0]["function"]["arguments"]["path"] + '"}'
            message["tool_calls"] = [c | {"function": {"name": "look", "arguments": arguments}} for c in calls]
    return [copies]


@pytest.mark.parametrize(("family", "name"), DROPS)
def test_what_a_template_drops_is_counted(family, name):
    template = templates(family)[0]
    assert dict(DroppedParts(template).of(CONVERSATIONS[name], TOOLS)) == DROPS[family, name]
    assert set(DROPS[family, name]) <= set(DROPPED)


def test_a_thought_is_closed_where_the_prompt_opens_it_and_left_out_where_it_closes_it():
    thinking, without = templates("Qwen3.5")
    row = thinking.render(CONVERSATIONS["two turns"])
    assert [text.generated(turn) for text, turn in row.turns()] == ["\n</think>\n\nFirst.", "\n</think>\n\nSecond."]
    assert row.notes == {"empty_thoughts": 2, "several_texts": 1}
    row = without.render(CONVERSATIONS["thoughts"])
    assert [text.generated(turn) for text, turn in row.turns()] == ["First.", "Second."]
    assert row.notes["unused_thoughts"] == 2


def test_an_empty_thought_of_the_last_turn_alone_is_counted_for_the_others():
    thinking, without = templates("Qwen3")
    row = thinking.render(CONVERSATIONS["two turns"])
    assert [text.generated(turn) for text, turn in row.turns()] == ["First.", "<think>\n\n</think>\n\nSecond."]
    assert row.notes == {"bare_turns": 1}
    row = without.render(CONVERSATIONS["two turns"])
    assert [text.generated(turn) for text, turn in row.turns()] == ["First.", "Second."]
    assert "bare_turns" not in row.notes


@pytest.mark.parametrize(("family", "answer_text"), [("Laguna", "\nFirst.\n"), ("Hunyuan 3", "First.")])
def test_no_thought_is_trained_behind_a_prompt_that_has_closed_it(family, answer_text):
    """Also where the prompt only closes a thought, or has marks of its own."""
    row = templates(family)[0].render(CONVERSATIONS["thoughts"])
    assert row.notes["unused_thoughts"] == 2
    for text, turn in row.turns():
        assert "Because" not in text.generated(turn)
        assert "think" not in text.generated(turn)
    first = row.turns()[0]
    assert first[0].generated(first[1]) == answer_text


def test_no_result_is_trained_where_later_calls_change_its_text():
    """Solar Open looks up the name of a result by the id of its call, in all of the conversation."""
    names = "{% for n in messages %}{% for c in n.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}"
    family = FAMILIES["ChatML"]
    changed = family.template.replace(
        "{{ m.content }}", "{% if m.role == 'tool' %}" + names + "{% endif %}{{ m.content }}", 1
    )
    row = ChatTemplate(FamilyTokenizer(family._replace(template=changed))).render(
        CONVERSATIONS["calls in turns"], TOOLS
    )
    calls = [
        text.generated(turn)
        for text, turn in row.turns()
        if CONVERSATIONS["calls in turns"][turn.message]["content"] == ""
    ]
    assert len(calls) == 2
    for generated in calls:
        assert generated.startswith("<tool_call>")
        assert "TOOLTEXT" not in generated


def test_an_end_that_a_template_leaves_open_is_the_next_one_and_said():
    template = templates("GLM")[0]
    row = template.render(CONVERSATIONS["call"])
    assert [text.text[turn.stop : turn.end] for text, turn in row.turns()] == ["<|observation|>", "<|user|>"]
    assert row.notes == {"open_turns": 2}
    formless = templates("formless")[0].render(CONVERSATIONS["one turn"])
    assert formless.texts[0].text.endswith("First.</s>")


def test_a_system_prompt_that_moves_to_the_last_question_is_in_every_text():
    row = templates("Mistral v3")[0].render(CONVERSATIONS["system"])
    assert len(row.texts) == 2
    assert all("SYSTEMTEXT" in text.text for text in row.texts)
    assert [text.generated(turn) for text, turn in row.turns()] == [" First.", " Second."]


def test_a_base_without_an_end_token_is_said():
    template = templates("formless")[0]
    template.ends = ()
    assert template.render(CONVERSATIONS["one turn"]).notes == {"endless_turns": 1}


def test_the_date_of_a_template_is_the_same_on_any_day():
    """Llama 3 and gpt-oss write the date into the system prompt, which would be another text tomorrow."""
    family = FAMILIES["ChatML"]
    dated = family._replace(template="{{ strftime_now('%d %b %Y %f') }}" + family.template)
    row = ChatTemplate(FamilyTokenizer(dated)).render(CONVERSATIONS["two turns"])
    assert row.notes == {}
    assert row.texts[0].text.startswith("26 Jul 2024 000000<|im_start|>")

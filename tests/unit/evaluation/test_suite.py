from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from punie_build.data.example import Example
from punie_build.data.synthetic import generator, hand_authored
from punie_build.evaluation import contamination, scoring, suite_file, suite_validation
from punie_build.evaluation import suite as suites
from punie_build.evaluation.checks.union import (
    Answer,
    Calls,
    Contains,
    ExpectedCall,
    Keywords,
    Latency,
    MatchesRegex,
    NoCall,
    Not,
    PythonHook,
)
from punie_build.evaluation.paired_difference import paired_difference
from punie_build.evaluation.scoring import score_suite
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Case, ReferenceAnswer, Suite, reference_answer
from punie_build.schema.spec import toml

READ = Calls(calls=(ExpectedCall(name="read_file", arguments={"path": "a.py"}),))


def case(name: str, *checks: object, **fields: object) -> Case:
    return Case(id=name, category="c", checks=checks or (READ,), **({"prompt": f"question {name}"} | fields))


def suite_of(*cases: Case, **fields: object) -> Suite:
    return Suite(cases=cases, **({"tools": "editor"} | fields))


def read(root: Path, text: str, name: str = "s.toml") -> tuple[Suite | None, list[str]]:
    (root / name).write_text(text, encoding="utf-8")
    return suite_file.read_suite(SuiteFile(file=name), root, "recipes/x.toml: suite.s")


def test_all_mistakes_of_a_suite_are_reported_at_once():
    wrong = suite_of(
        case("a"),
        case("a", Calls(calls=(ExpectedCall(name="fly"),))),
        case("b", Calls(calls=(ExpectedCall(name="read_file", arguments={"path": "a", "mode": "r"}),))),
        case("d", Calls(calls=(ExpectedCall(name="write_file", arguments={"path": "a"}),))),
        case("e", READ, NoCall()),
        case("f", prompt=" "),
        case("g", prompt=None, messages=({"role": "assistant", "content": "hi"},)),
        case("h", results={"sing": "la"}),
        case("i", group="g", split="select"),
        case("j", group="g", split="confirm"),
    )
    wrong = msgspec.convert(msgspec.to_builtins(wrong), Suite)
    lines = suites.problems(wrong)
    for part in (
        "'a' occurs twice",
        "'a' expects the tool 'fly'",
        "'b' expects read_file with mode",
        "'d' expects write_file without content",
        "'e' expects calls and no call",
        "'f' has an empty prompt",
        "'g' does not end with a message of the user",
        "'h' has a result of the tool 'sing'",
        "'j': the group 'g' is on both splits",
    ):
        assert sum(part in line for line in lines) == 1, part
    assert len(lines) == 9


def test_the_hashed_split_depends_on_the_group_only():
    names = [str(k) for k in range(500)]
    sides = Counter(case(name).hashed_split for name in names)
    assert 0.53 < sides["confirm"] / 500 < 0.67
    grouped = {case(name, group="one").hashed_split for name in names}
    assert len(grouped) == 1
    assert suite_of(case("x", split="select")).split_of(case("x", split="select")) == "select"
    assert suite_of(case("x"), split="confirm").split_of(case("x")) == "confirm"


def test_checks_groups_and_weights_do_not_change_the_model_input():
    one, two = case("a"), case("a", Contains(words=("x",)), group="g", weight=2.0, tags=("t",))
    assert suite_of(one).model_input(one) == suite_of(two).model_input(two)
    assert suite_of(one).model_input(one) != suite_of(one).model_input(case("a", results={"read_file": "x"}))
    assert suite_of(one).model_input(one) != suite_of(one).model_input(case("a", system="Be brief."))


def test_canned_results_follow_one_another_and_the_last_repeats():
    lines = case("a", results={"read_file": ("one", "two"), "run_command": "t1"})
    assert [lines.canned_result("read_file", before) for before in range(4)] == ["one", "two", "two", "two"]
    assert lines.canned_result("run_command", 3) == "t1"
    assert lines.canned_result("kill_terminal", 0) is None


def test_toml_and_jsonl_give_equal_suites(tmp_path):
    toml, wrong = read(
        tmp_path,
        'tools = "editor"\n[[case]]\nid = "a"\ncategory = "c"\nprompt = "p"\nchecks = [{ type = "no-call" }]\n',
    )
    assert not wrong
    lines = [{"tools": "editor"}, {"id": "a", "category": "c", "prompt": "p", "checks": [{"type": "no-call"}]}]
    jsonl, wrong = read(tmp_path, "\n".join(map(json.dumps, lines)) + "\n\n", "s.jsonl")
    assert not wrong
    assert toml == jsonl


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("[[case", "s.toml", "not a TOML file"),
        ('{"id": 1', "s.jsonl", "line 1: not a JSON object"),
        ("[1]\n{}x", "s.jsonl", "line 2: not a JSON object"),
        ('{"id": "a", "checks": [{"type": "calls", "calls": []}]}', "s.jsonl", "case[a].checks[0].calls"),
        (
            '{"id": "a", "category": "c", "prompt": "p", "checks": [{"type": "regex", "pattern": "("}]}',
            "s.jsonl",
            "pattern",
        ),
        ("{}", "s.jsonl", "case"),
    ],
)
def test_an_invalid_suite_file_is_rejected_with_the_location(tmp_path, text, name, message):
    suite, wrong = read(tmp_path, text, name)
    assert suite is None
    assert message in "\n".join(wrong)


def test_the_source_of_a_hook_is_read_from_the_project(tmp_path):
    (tmp_path / "judges.py").write_text(
        "raise SystemExit('never while reading')\ndef polite(answer):\n    return True\n"
    )
    (tmp_path.parent / "outside.py").write_text("def polite(answer):\n    return True\n")
    (tmp_path / "link.py").symlink_to(tmp_path.parent / "outside.py")

    def read_with(check: str) -> tuple[Suite | None, list[str]]:
        return read(tmp_path, f'[[case]]\nid = "a"\ncategory = "c"\nprompt = "p"\nchecks = [{check}]\n')

    suite, wrong = read_with('{ type = "not", check = { type = "python", function = "judges:polite" } }')
    assert not wrong
    assert suite is not None
    [inner] = suite.cases[0].checks
    assert isinstance(inner, Not)
    assert isinstance(inner.check, PythonHook)
    assert "never while reading" in inner.check.source
    hook = '{ check = { type = "python", function = "judges:polite" } }'
    suite, wrong = read_with(f'{{ type = "weighted", checks = [{hook}] }}')
    assert not wrong
    assert suite.cases[0].checks[0].checks[0].check == inner.check
    for check, message in [
        ('{ type = "python", function = "judges:rude" }', "no function 'rude'"),
        ('{ type = "python", function = "none:polite" }', "no readable file none.py"),
        ('{ type = "python", function = "link:polite" }', "leads out of the project"),
        ('{ type = "python", function = "judges:polite", source = "x" }', "remove it"),
        ('{ type = "python", function = "../outside:polite" }', "module:function"),
        ('{ type = "json", schema = { type = "thing" } }', "has a `schema` that is no valid JSON Schema"),
        ('{ type = "not", check = { type = "json", schema = { "$ref" = "x" } } }', "has a `schema` that is no valid"),
        ('{ type = "weighted", checks = [{ check = { type = "calls", calls = [{ name = "f" }] } }] }', "the tool 'f'"),
        ('{ type = "weighted", checks = [] }', "case[a].checks[0].checks"),
    ]:
        assert message in "\n".join(read_with(check)[1])


def test_a_suite_that_accepts_wrong_answers_fails_its_validation():
    good = [
        case(f"g{k}", Calls(calls=(ExpectedCall(name="read_file", arguments={"path": f"{k}.py"}),))) for k in range(20)
    ]
    assert suite_validation.validate_suite(suite_of(*good)).sound
    assert (
        suite_validation.validate_suite(suite_of(*good, case("x", Not(check=MatchesRegex(pattern="z"))))).sound
        is not None
    )
    for bad, message in [
        (case("x", Latency(max=3)), "an empty answer passes"),
        (case("x", Contains(words=("a",)), Not(check=Contains(words=("a",)))), "own reference answer fails"),
        (
            case("x", Calls(calls=READ.calls, mode="superset"), oracle=ReferenceAnswer(content="no")),
            "own reference answer fails",
        ),
        (case("x", MatchesRegex(pattern="."), oracle=ReferenceAnswer(content="well")), "only writes prose"),
    ]:
        cases = [bad] if message == "only writes prose" else [*good, bad]
        assert any(message in problem for problem in suite_validation.validate_suite(suite_of(*cases)).problems), (
            message
        )
    any_word = [case(f"t{k}", MatchesRegex(pattern="."), oracle=ReferenceAnswer(content="well")) for k in range(8)]
    assert any(
        "only writes prose" in line for line in suite_validation.validate_suite(suite_of(*good, *any_word)).problems
    )
    anything = case("x", Calls(calls=(ExpectedCall(name="read_file", arguments={"path": {"match": "any"}}),)))
    assert any(
        "reference answers of other cases" in line
        for line in suite_validation.validate_suite(suite_of(*good, anything)).problems
    )
    assert any(
        "add an `oracle`" in line
        for line in suite_validation.validate_suite(suite_of(*good, case("x", MatchesRegex(pattern="y")))).warnings
    )


def test_reference_answers_pass_and_empty_answers_fail():
    suite = suite_of(case("a"), case("b", NoCall(), Keywords(words=("8",))))
    scored = score_suite(suite, {case_.id: reference_answer(case_) for case_ in suite.cases})
    assert [score.passed for score in scored] == [True, True]
    assert [score.expects_no_call for score in scored] == [False, True]
    assert not any(
        score.passed
        for score in score_suite(
            suite, {case_.id: suite_validation.empty_answer(case_, suite) for case_ in suite.cases}
        )
    )


def built_in(name: str) -> Suite:
    suite, wrong = suite_file.read_suite(SuiteFile(embedded=name), Path(), "")
    assert not wrong
    assert suite is not None
    return suite


@pytest.mark.parametrize("name", list(suite_file.builtin_names()))
def test_built_in_suites_pass_their_validation(name):
    validation = suite_validation.validate_suite(built_in(name))
    assert not validation.problems
    assert not [warning for warning in validation.warnings if "case '" in warning]


@pytest.mark.parametrize("name", list(suite_file.builtin_names()))
def test_built_in_suites_are_not_contaminated_by_built_in_data(name):
    rows = [("sample", generator.sample(0, index)) for index in range(1000)]
    rows += [("authored", row) for row in hand_authored.conversations()]
    read = [(location, msgspec.json.decode(msgspec.json.encode(row), type=Example)) for location, row in rows]
    assert contamination.contaminated_cases(built_in(name), read) == ()


def test_the_tool_calling_suite_has_every_category():
    suite = built_in("tool-calling")
    counts = Counter(case.category for case in suite.cases)
    assert len(suite.cases) >= 160
    assert {"parallel", "missing", "irrelevant", "steps", "multi-turn", "options", "words"} <= set(counts)
    sides = Counter(suite.split_of(case) for case in suite.cases)
    assert sides["confirm"] >= 100
    assert sides["select"] >= 60


def test_a_suite_says_its_system_prompt_and_categories_or_has_none(tmp_path):
    suite, wrong = read(tmp_path, '[[case]]\nid = "a"\nprompt = "p"\nchecks = [{ type = "no-call" }]\n')
    assert not wrong
    assert suite.messages(suite.cases[0]) == [{"role": "user", "content": "p"}]
    assert suite.cases[0].category == "all"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{ age = 40 }", ""),
        ("{ age = 40.0 }", ""),
        ('{ age = ["forty", 40] }', ""),
        ('{ age = "forty" }', "is not of type integer"),
        ('{ age = ["forty", "fifty"] }', "is not of type integer"),
        ('{ age = { match = "optional", value = "forty" } }', "is not of type integer"),
        ('{ age = { match = "number", value = 40.5 } }', "is not of type integer"),
        ('{ age = { match = "regex", pattern = "4.", like = "40" } }', "a pattern for age, which is integer"),
        ('{ unit = "mile" }', "is not allowed"),
        ('{ unit = ["mile", "km"] }', ""),
        ("{ where = { floor = [1, 2] } }", ""),
        ('{ where = { floor = "first" } }', "where.floor"),
        ("{ where = { lamp = 1 } }", "where.lamp, which the tool does not declare"),
        ("{ where = 3 }", "is not of type object"),
        ("{ age = { years = 40 } }", "a table for age, which is integer"),
        ('{ people = { match = "list", items = [{ floor = [1, 2] }] } }', ""),
        ('{ people = { match = "list", items = [{ floor = "x" }] } }', "people[0].floor"),
        ('{ people = [[{ floor = "x" }]] }', "people[0].floor"),
        ("{ people = [{ floor = 1 }] }", "a table for people, which is array"),
        ("{ foreign = 3 }", ""),
    ],
)
def test_an_expected_argument_that_no_valid_call_has_is_a_mistake(tmp_path, arguments, problem):
    floor = {"type": "object", "properties": {"floor": {"type": "integer"}}}
    properties = {
        "age": {"type": "integer"},
        "unit": {"type": "string", "enum": ["km", "m"]},
        "where": floor,
        "people": {"type": "array", "items": floor},
        "foreign": {"type": "HashMap"},
    }
    tool = {"name": "find", "parameters": {"type": "object", "properties": properties}}
    text = f'tools = [{toml(tool)}]\n[[case]]\nid = "a"\nprompt = "p"\n'
    text += f'checks = [{{ type = "calls", calls = [{{ name = "find", arguments = {arguments} }}] }}]\n'
    _, wrong = read(tmp_path, text)
    if problem:
        assert len(wrong) == 1
        assert problem in wrong[0]
    else:
        assert not wrong


def test_cases_are_tested_by_their_kind_so_that_small_suites_may_gate():
    quiet = suite_validation.validate_suite(suite_of(*(case(f"t{k}", NoCall()) for k in range(8))))
    assert quiet.sound, "any text is right there, and a call fails"
    assert any("only talks passes all" in line for line in quiet.warnings)
    calls = [
        case(f"g{k}", Calls(calls=(ExpectedCall(name="read_file", arguments={"path": f"{k}"}),))) for k in range(3)
    ]
    lucky = case("x", Contains(words=("project",)), oracle=ReferenceAnswer(content="project x"))
    assert suite_validation.validate_suite(suite_of(*calls, lucky)).sound
    assert not suite_validation.validate_suite(suite_of(lucky)).sound
    assert not suite_validation.validate_suite(suite_of(*calls, lucky, structs.replace(lucky, id="y"))).sound


FILES = {
    "calls.toml": "system = 'A'\ntools = 'editor'\n"
    + "".join(
        f"[[case]]\nid = 'c{k}'\nprompt = 'read {k}'\ncategory = 'read'\n"
        f"checks = [{{ type = 'calls', calls = [{{ name = 'read_file', arguments = {{ path = '{k}' }} }}] }}]\n"
        for k in range(10)
    ),
    "talk.toml": "[[case]]\nid = 'c0'\nprompt = 'hi'\ngroup = 'g'\n"
    "checks = [{ type = 'contains', words = ['hello'] }]\n",
}


def combined(root: Path, **fields: object) -> tuple[Suite | None, list[str]]:
    for name, text in FILES.items():
        (root / name).write_text(text)
    parts = [{"file": "calls.toml", "weight": 3}, {"file": "talk.toml", **fields}]
    return suite_file.read_suite(msgspec.convert({"parts": parts}, SuiteFile), root, "suite.both")


def test_several_suites_are_one_with_weights(tmp_path):
    suite, problems = combined(tmp_path)
    assert not problems
    assert [case.id for case in suite.cases][-2:] == ["calls/c9", "talk/c0"]
    assert {case.category for case in suite.cases} == {"calls.read", "talk"}
    alone, _ = suite_file.read_suite(SuiteFile(file="calls.toml"), tmp_path, "")
    for one, case_ in zip(alone.cases, suite.cases, strict=False):
        assert suite.model_input(case_) == alone.model_input(one), "answers to a part are answers to the whole"
        assert suite.split_of(case_) == alone.split_of(one)
    assert suite.with_system("B").messages(suite.cases[0])[0]["content"] == "B"
    assert suite.tool_declarations(suite.cases[-1]) == []
    right = {case_.id: reference_answer(case_) for case_ in suite.cases}
    scores = score_suite(suite, right | {"talk/c0": Answer(case="talk/c0", raw="no", content="no")})
    metrics = scoring.eval_metrics(suite, scores, True)
    assert metrics["share"] == pytest.approx(0.75)
    assert (metrics["suite.calls.share"], metrics["suite.talk.share"], metrics["passed"]) == (1, 0, 10)
    difference = paired_difference("x", score_suite(suite, right), scores)
    assert difference.difference == pytest.approx(-0.25)
    assert difference.low <= -0.25 <= difference.high


def test_parts_with_one_name_or_mistakes_are_reported(tmp_path):
    with pytest.raises(msgspec.ValidationError, match="two parts are named calls"):
        combined(tmp_path, name="calls")
    parts = {"parts": [{"file": "none.toml"}, {"embedded": "baseline"}]}
    assert suite_file.read_suite(msgspec.convert(parts, SuiteFile), tmp_path, "suite.b")[1] == [
        "suite.b.parts[0].file: no file 'none.toml' - create it, or correct the path"
    ]

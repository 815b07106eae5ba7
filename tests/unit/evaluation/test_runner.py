"""Asking a whole suite: what goes wrong has a name, the run goes on, and what came is kept. A fake server stands in for a model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from punie_build.errors import IdentityError, ServerError
from punie_build.evaluation import runner, scores, suite_file
from punie_build.evaluation.checks.union import Answer, Latency, NoCall
from punie_build.evaluation.client import MOST
from punie_build.evaluation.conversation import Said, Talk
from punie_build.evaluation.response_cache import Answered
from punie_build.evaluation.runner import Job
from punie_build.evaluation.server import Served, Warm
from punie_build.evaluation.spec import Eval, GenerationSpec, Sampling, SuiteFile
from punie_build.evaluation.suite import MAX_TURNS, Case, Suite
from punie_build.storage import paths
from punie_build.testing.fake_server import PROSE, UNUSUAL_TEXT

SPEC = GenerationSpec(arm="fake", suite="s", max_tokens=20, timeout=1.0, concurrency=4)


def suite(*prompts: str) -> Suite:
    cases = tuple(Case(id=f"c{n}", category="c", prompt=text, checks=(NoCall(),)) for n, text in enumerate(prompts))
    return Suite(case=cases, system="")


class Project:
    """A folder in which a fake arm is asked; it has proven itself, so no weights are loaded."""

    def __init__(self, root: Path, voice: str = "echo") -> None:
        self.root, self.warm, self.said = root, Warm(), []
        self.served = Served(model=paths.nano(), program=("punie_build.testing.fake_server", voice))
        self.out = root / "out"
        self.out.mkdir(exist_ok=True)

    def job(self, asked: Suite, spec: GenerationSpec = SPEC, afresh: bool = False) -> Job:
        return Job(
            root=self.root, served=self.served, spec=spec, suite=asked, weights="w", logs=self.root / "logs",
            afresh=afresh, say=self.said.append,
        )  # fmt: skip

    @property
    def book(self) -> Answered:
        return Answered(self.root / paths.answered(self.job(suite("x")).identity))

    def ask(self, *prompts: str, **more) -> tuple[list[Answer], int]:
        job = self.job(suite(*prompts), **more)
        if self.book.canaries is None:
            self.book.prove(HELLO, HELLO)
        _, put = runner.answer(job, self.warm, self.out)
        lines = (self.out / "answers.jsonl").read_bytes()
        return msgspec.json.Decoder(Answer).decode_lines(lines), put


def hello() -> list[list[tuple[int, float]]]:
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(paths.nano() / "tokenizer.json")).encode("hello").ids
    return [[(token, -0.5) for token in ids]] * 3


HELLO = hello()
PLAIN = tuple(f"question {n}" for n in range(10))


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    yield made
    made.warm.rest()


def test_a_second_run_asks_nothing_and_a_new_case_asks_one(project):
    answers, put = project.ask("a", "b")
    assert [answer.content for answer in answers] == ["a", "b"]
    assert put == 2
    first = (project.out / "answers.jsonl").read_bytes()
    project.warm.rest()
    project.served = Served(model=paths.nano(), program=("punie_build.nobody",))  # nobody to ask
    assert project.ask("a", "b") == (answers, 0)
    assert (project.out / "answers.jsonl").read_bytes() == first
    project.served = Served(model=paths.nano(), program=("punie_build.testing.fake_server", "echo"))
    assert project.ask("a", "b", "c")[1] == 1
    with pytest.raises(
        IdentityError, match="other weights answered"
    ):  # afresh: proven again, and this is nobody's model
        project.ask("a", "b", "c", afresh=True)


def test_the_same_question_twice_is_asked_once_and_epochs_are_questions_of_their_own(project):
    assert project.ask("a", "a")[1] == 1
    warm = msgspec.structs.replace(SPEC, epochs=3, sampling=Sampling(temperature=1.0))
    answers, put = project.ask("a", "b", spec=warm)
    assert put == 6
    assert [(answer.case, answer.epoch) for answer in answers] == [
        (f"c{n}", epoch) for n in range(2) for epoch in range(3)
    ]


# what a server may do -> the error that is left, or None where there is an answer
FAULTS = {
    "!500": "the server answered 500: Internal Server Error",
    "!garbage": "not an answer: JSONDecodeError",
    "!empty": "not an answer: JSONDecodeError",
    "!no-choice": "not an answer: ",
    "!huge": f"the server answered more than {MOST >> 20} MB",
    "!half": "peer closed connection",
    "!flaky": None,
    "!loop": None,
    "!call": None,
    "!unusual": None,
    "!die": "the server had died",
    "!hang": "no answer in 1 s",
    "!stop": "the server no longer generates: the server answered 404",
}


ENDING = ("!die", "!hang", "!stop")


@pytest.mark.parametrize("faults", [[fault for fault in FAULTS if fault not in ENDING], *([each] for each in ENDING)])
def test_a_fault_is_one_lost_answer_and_all_others_come(project, faults):
    plain = [f"question {n}" for n in range(50 * len(faults))]
    answers, _ = project.ask(*faults, *plain)
    assert [answer.content for answer in answers[len(faults) :]] == plain
    for fault, answer in zip(faults, answers, strict=False):
        assert (answer.error or "None").startswith(str(FAULTS[fault]))
    came = sum(answer.error is None for answer in answers)
    assert came == len(project.book.said), "what was lost is asked again next time"


def test_what_a_strange_answer_says_is_kept(project):
    loop, torn, odd, flaky = project.ask("!loop", "!call", "!unusual", "!flaky")[0]
    assert (loop.finish, loop.content) == ("length", "again " * 20)
    assert torn.malformed
    assert not torn.calls
    assert odd.content == UNUSUAL_TEXT.replace("\ud800", "\ufffd")
    assert flaky.content == "at last"


def test_too_many_lost_answers_make_it_invalid_and_what_came_is_kept(project):
    with pytest.raises(
        ServerError, match=r"fake@s.*: invalid, 2 of 12 answers never came, the first \(c0\): the server answered 500"
    ):
        project.ask("!500", "!500 too", *PLAIN)
    assert not list(project.out.iterdir())
    assert len(project.book.said) == 10
    assert project.ask(*PLAIN)[1] == 0


def test_a_server_that_always_dies_is_not_started_for_ever(project):
    with pytest.raises(ServerError, match=r"invalid, 5 of 5 answers never came"):
        project.ask(*(f"!die {n}" for n in range(5)))
    assert project.ask("a")[1] == 1


def test_a_request_the_server_would_die_of_is_not_sent(project):
    deadly = msgspec.structs.replace(SPEC, sampling=Sampling(temperature=1.0, top_k=10**6))
    with pytest.raises(ServerError, match=r"fake@s@.*: not asked, top_k: 1000000 is not a number below the \d+ tokens"):
        project.ask("a", spec=deadly)


def test_a_stranger_is_asked_nothing(project):
    project.book.prove([[(1, -0.1)]] * 3, [[(1, -0.1)]] * 3)
    with pytest.raises(IdentityError, match="other weights answered"):
        project.ask("a")
    assert project.book.said == {}


LOOKS = Said(ids=[], logprobs=[], calls=[("look", '{"at": "sky"}')], finish="tool_calls")
DONE = Said(ids=[], logprobs=[], content="blue")


def talk(results: dict, *said: Said) -> tuple[Talk, list[dict]]:
    case = Case(id="a", category="c", prompt="look", results=results, checks=(NoCall(),))
    spoken = Talk(SPEC, Suite(case=(case,), system=""), case, 0, lambda _: "raw")
    for reply in said:
        request = spoken.request()
        assert request is not None
        spoken.hear(reply)
    return spoken, request["messages"]


def test_a_conversation_goes_on_with_canned_results_as_long_as_there_are_any():
    spoken, messages = talk({"look": ("grey", "blue")}, LOOKS, LOOKS, DONE)
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["grey", "blue"]
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]
    assert spoken.request() is None
    answer = spoken.answer
    assert (answer.content, answer.turns, answer.raw, answer.finish) == ("blue", 3, "raw\n\nraw\n\nraw", "stop")
    assert [call.turn for call in answer.calls] == [0, 1]
    assert talk({}, LOOKS)[0].answer.finish == "tool_calls", "without results the first turn is the answer"
    assert talk({"other": "x"}, LOOKS)[0].answer.turns == 1
    forever = talk({"look": "grey"}, *[LOOKS] * MAX_TURNS)[0].answer
    assert (forever.turns, forever.finish) == (MAX_TURNS, "turns")
    torn = Said(ids=[], logprobs=[], calls=[("look", "{")], finish="tool_calls")
    assert talk({"look": "grey"}, torn)[0].answer.malformed


def test_how_long_it_took_is_told_only_where_a_check_asks_for_it(project):
    """Their bytes are else the same everywhere."""
    assert project.ask("a")[0][0].seconds is None
    slow = suite("a")
    slow = structs.replace(slow, case=(structs.replace(slow.case[0], checks=(Latency(max=60.0),)),))
    _, put = runner.answer(project.job(slow), project.warm, project.out)
    assert put == 0, "it was measured when it was asked"
    assert 0 < scores.answers(project.out)["c0"].seconds < 60
    assert scores.evaluate(Eval(arm="fake", suite="s"), slow, project.out, project.out).passed == 1


def test_a_torn_line_is_passed_over_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "answers" / "x.jsonl"
    one, two = (Said(ids=[n], logprobs=[-0.5], content=str(n)) for n in (1, 2))
    book = Answered(path)
    book.keep("one", one)
    with path.open("ab") as file:
        file.write(b'{"key": "torn", "said": {"ids": [3')
    assert Answered(path).said == {"one": one}
    Answered(path).keep("two", two)
    assert Answered(path).said == {"one": one, "two": two}
    book.catch_up()
    assert book.said == {"one": one, "two": two}
    assert Answered(path, empty=True).said == {}


@pytest.mark.parametrize("voice", ["empty", "prose"])
def test_who_says_nothing_or_only_talks_passes_next_to_nothing_where_calls_are_asked_for(tmp_path, voice):
    whole, _ = suite_file.read_suite(SuiteFile(embedded="tool-calling"), tmp_path, "suite")
    asked = msgspec.structs.replace(
        whole, case=tuple(case for case in whole.case if not isinstance(case.checks[0], NoCall))
    )
    project = Project(tmp_path, voice)
    project.book.prove(HELLO, HELLO)
    try:
        runner.answer(project.job(asked), project.warm, project.out)
    finally:
        project.warm.rest()
    found = scores.evaluate(Eval(arm="fake", suite="s"), asked, project.out, project.out)
    assert found.passed <= 0.02 * len(found.cases)
    given = scores.answers(project.out)
    assert {answer.content for answer in given.values()} == {PROSE if voice == "prose" else ""}

"""Runs of a suite on a fake server: each fault has its own error, the run continues, and completions are cached."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from punie_build.errors import IdentityError, ServerError
from punie_build.evaluation import answer_files, runner, scores, suite_file
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.checks.union import Answer, Latency, NoCall
from punie_build.evaluation.client import MAX_RESPONSE_BYTES
from punie_build.evaluation.completion import Completion
from punie_build.evaluation.in_process import InferenceJob
from punie_build.evaluation.loaded_files import require_unchanged
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.runner import EvalRun
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import Eval, GenerationSpec, Sampling, Serving, SuiteFile
from punie_build.evaluation.suite import Case, Suite
from punie_build.runtime import versions
from punie_build.storage import paths
from punie_build.testing.fake_server import PROSE, UNUSUAL_TEXT

SPEC = GenerationSpec(arm="fake", suite="s", max_tokens=20, timeout=1.0, concurrency=4)


def suite_of(*prompts: str) -> Suite:
    cases = tuple(Case(id=f"c{n}", category="c", prompt=text, checks=(NoCall(),)) for n, text in enumerate(prompts))
    return Suite(cases=cases, system="")


def fake_model(mode: str) -> ServedModel:
    return ServedModel(model=paths.nano(), program=("punie_build.testing.fake_server", mode))


class Project:
    """A folder in which a fake server runs suites. Its cache has the canaries, so that no weights are loaded."""

    def __init__(self, root: Path, mode: str = "echo") -> None:
        self.root, self.warm, self.messages = root, WarmServer(), []
        self.served = fake_model(mode)
        self.out = root / "out"
        self.out.mkdir(exist_ok=True)

    def eval_run(self, suite: Suite, spec: GenerationSpec = SPEC, ignore_cache: bool = False) -> EvalRun:
        return EvalRun(
            root=self.root,
            served=self.served,
            spec=spec,
            suite=suite,
            weights="w",
            logs=self.root / "logs",
            ignore_cache=ignore_cache,
            notify=self.messages.append,
        )

    @property
    def cache(self) -> ResponseCache:
        return ResponseCache(self.root / paths.responses(self.eval_run(suite_of("x")).cache_name))

    def collect(self, *prompts: str, **options) -> tuple[list[Answer], int]:
        """The answers to these prompts, and the number of requests that were sent."""
        run = self.eval_run(suite_of(*prompts), **options)
        if self.cache.canaries is None:
            self.cache.add_canaries(HELLO, HELLO)
        _, sent = runner.collect_answers(run, self.warm, self.out)
        return answer_files.read_answers(self.out), sent


def hello_canary() -> list[list[tuple[int, float]]]:
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(paths.nano() / "tokenizer.json")).encode("hello").ids
    return [[(token, -0.5) for token in ids]] * 3


HELLO = hello_canary()
QUESTIONS = tuple(f"question {n}" for n in range(10))


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    project.warm.release()


CACHE_NAMES = {
    "metal": [
        "d192bc0477e2e2619f24debb20490f20899812eb0a44b479e373094a1d132116",
        "0548a022c9ac7460b6ee6e395cb917e5ff6c26a546fcd131fd2d0ac8d3cbfdf5",
    ],
    "cpu": [
        "1e3f2dc7a1df9ebd1532b4d18452b63f86b00c6db473613f5b673cb6c35ff381",
        "db554a5ec8b239b12af144a89c6a5022c58af703a7a63dd5c4749361b57323be",
    ],
}


def test_names_and_files_keep_their_bytes(tmp_path):
    """The name of a cache file and the files of an answers folder outlive a version of this program.

    On a CPU the name has the version of the precision: answers of another one are asked again, not accused.
    """
    run = Project(tmp_path).eval_run(suite_of("x"), GenerationSpec(arm="a", suite="s"))
    quantized = structs.replace(run, spec=GenerationSpec(arm="a", suite="s", serving=Serving(kv_bits=4)))
    assert [run.cache_name, quantized.cache_name] == CACHE_NAMES[versions.device()]
    answer_files.write(tmp_path, [Answer(case="c")], Proof(arm="a", canary="x", base_canary="y", errors=1))
    assert (tmp_path / "proof.json").read_bytes() == (
        b'{\n "arm": "a",\n "canary": "x",\n "base_canary": "y",\n "errors": 1,\n "parse_failures": 0\n}\n'
    )
    assert (tmp_path / "answers.jsonl").read_bytes() == (
        b'{"case":"c","raw":"","content":"","calls":[],"malformed":false,"finish":"stop","error":null,"epoch":0,'
        b'"turns":1,"seconds":null}\n'
    )
    job = InferenceJob(model="m", adapter=None, cache_file="b", requests={"k": {"a": 1}})
    assert msgspec.json.encode(job) == (
        b'{"model":"m","adapter":null,"book":"b","prove":true,"asked":{"k":{"a":1}},"concurrency":8,"max_kv_size":null,'
        b'"stamps":{}}'
    )


@pytest.mark.slow
def test_a_second_run_sends_no_request_and_a_new_case_sends_one(project):
    answers, sent = project.collect("a", "b")
    assert [answer.content for answer in answers] == ["a", "b"]
    assert sent == 2
    first = (project.out / "answers.jsonl").read_bytes()
    project.warm.release()
    project.served = ServedModel(model=paths.nano(), program=("punie_build.no_such_module",))
    assert project.collect("a", "b") == (answers, 0)
    assert (project.out / "answers.jsonl").read_bytes() == first
    project.served = fake_model("echo")
    assert project.collect("a", "b", "c")[1] == 1
    # without the cache the server writes new canaries: the fake one writes those of other weights than answer
    with pytest.raises(IdentityError, match="other weights answered"):
        project.collect("a", "b", "c", ignore_cache=True)


def test_equal_requests_are_sent_once_for_each_epoch(project):
    assert project.collect("a", "a")[1] == 1
    sampled = structs.replace(SPEC, epochs=3, sampling=Sampling(temperature=1.0))
    answers, sent = project.collect("a", "b", spec=sampled)
    assert sent == 6
    assert [(answer.case, answer.epoch) for answer in answers] == [
        (f"c{n}", epoch) for n in range(2) for epoch in range(3)
    ]


# a fault of the server -> the error of the answer, or None where there is a completion
FAULTS = {
    "!500": "the server answered 500: Internal Server Error",
    "!garbage": "malformed response: JSONDecodeError",
    "!empty": "malformed response: JSONDecodeError",
    "!no-choice": "malformed response: ",
    "!huge": f"the server sent more than {MAX_RESPONSE_BYTES >> 20} MB",
    "!half": "peer closed connection",
    "!flaky": None,
    "!loop": None,
    "!call": None,
    "!unusual": None,
    "!die": "the server died",
    "!hang": "no response in 1 s",
    "!stop": "the server no longer generates: the server answered 404",
}
FATAL = ("!die", "!hang", "!stop")


@pytest.mark.slow
@pytest.mark.parametrize("faults", [[fault for fault in FAULTS if fault not in FATAL], *([fault] for fault in FATAL)])
def test_a_fault_costs_one_answer_and_all_others_arrive(project, faults):
    errors = sum(FAULTS[fault] is not None for fault in faults)  # at most 2 % of the answers
    prompts = [f"question {n}" for n in range(50 * errors)]
    answers, _ = project.collect(*faults, *prompts)
    assert [answer.content for answer in answers[len(faults) :]] == prompts
    for fault, answer in zip(faults, answers, strict=False):
        assert (answer.error or "None").startswith(str(FAULTS[fault]))
    complete = sum(answer.error is None for answer in answers)
    assert complete == len(project.cache.completions), "the next run sends the failed requests again"


def test_an_unusual_completion_keeps_its_content(project):
    loop, truncated, unusual, flaky = project.collect("!loop", "!call", "!unusual", "!flaky")[0]
    assert (loop.finish, loop.content) == ("length", "again " * 20)
    assert truncated.malformed
    assert not truncated.calls
    assert unusual.content == UNUSUAL_TEXT.replace("\ud800", "\ufffd")
    assert flaky.content == "at last"


def test_a_part_of_a_suite_returns_what_was_answered_and_leaves_errors_to_the_whole(project, tmp_path):
    project.cache.add_canaries(HELLO, HELLO)
    part = structs.replace(project.eval_run(suite_of("one", "!500", "two")), is_part=True)
    assert runner.collect_answers(part, project.warm, project.out)[0].errors == 1
    lines = runner.copy_completions(part, tmp_path / "lines.jsonl")
    assert lines.count(b"\n") == 3  # the canary and two completions


@pytest.mark.slow
def test_too_many_errors_make_a_run_invalid_and_keep_the_cache(project):
    with pytest.raises(
        ServerError,
        match=r"fake@s.*: invalid, 2 of 12 answers are missing, the first \(c0\): the server answered 500",
    ):
        project.collect("!500", "!500 too", *QUESTIONS)
    assert not list(project.out.iterdir())
    assert len(project.cache.completions) == 10
    assert project.collect(*QUESTIONS)[1] == 0


@pytest.mark.slow
def test_a_server_that_dies_each_time_is_not_restarted_forever(project):
    with pytest.raises(ServerError, match=r"invalid, 5 of 5 answers are missing"):
        project.collect(*(f"!die {n}" for n in range(5)))
    assert project.collect("a")[1] == 1


def test_a_request_that_would_end_the_server_is_not_sent(project):
    fatal = structs.replace(SPEC, sampling=Sampling(temperature=1.0, top_k=10**6))
    with pytest.raises(
        ServerError, match=r"fake@s@.*: no request is sent, top_k: 1000000 is not a number below the \d+ tokens"
    ):
        project.collect("a", spec=fatal)


def test_a_server_of_other_weights_receives_no_request(project):
    project.cache.add_canaries([[(1, -0.1)]] * 3, [[(1, -0.1)]] * 3)
    with pytest.raises(IdentityError, match="other weights answered"):
        project.collect("a")
    assert project.cache.completions == {}


def test_answers_hold_durations_only_where_a_check_needs_them(project):
    """Without durations, the bytes of the answers are the same on every machine."""
    assert project.collect("a")[0][0].seconds is None
    suite = suite_of("a")
    suite = structs.replace(suite, cases=(structs.replace(suite.cases[0], checks=(Latency(max=60.0),)),))
    _, sent = runner.collect_answers(project.eval_run(suite), project.warm, project.out)
    assert sent == 0, "the cache has the duration of the first request"
    assert 0 < answer_files.read_answers(project.out)[0].seconds < 60
    assert scores.write_scores(Eval(arm="fake", suite="s"), suite, project.out, project.out).passed == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["empty", "prose"])
def test_answers_without_calls_fail_cases_that_expect_calls(tmp_path, mode):
    suite, _ = suite_file.read_suite(SuiteFile(embedded="tool-calling"), tmp_path, "suite")
    suite = structs.replace(suite, cases=tuple(case for case in suite.cases if not isinstance(case.checks[0], NoCall)))
    project = Project(tmp_path, mode)
    project.cache.add_canaries(HELLO, HELLO)
    try:
        runner.collect_answers(project.eval_run(suite), project.warm, project.out)
    finally:
        project.warm.release()
    result = scores.write_scores(Eval(arm="fake", suite="s"), suite, project.out, project.out)
    assert result.passed <= 0.02 * len(result.cases)
    answers = answer_files.read_answers(project.out)
    assert {answer.content for answer in answers} == {PROSE if mode == "prose" else ""}


@pytest.mark.parametrize("restored", [False, True])
def test_nothing_is_kept_of_a_folder_that_changes_while_it_is_asked(tmp_path, restored):
    """Restored: the old files are back before the end. A process that had loaded others would have refused."""
    weights = tmp_path / "arm" / "adapters.safetensors"
    weights.parent.mkdir()
    weights.write_text("one")
    run = structs.replace(
        Project(tmp_path).eval_run(suite_of("x")),
        served=ServedModel(model=weights.parent),
        is_current=lambda: weights.read_text() == "one",
    )
    ResponseCache(tmp_path / "x.jsonl").add("old", Completion(token_ids=[1], logprobs=[-0.5], content="1"))
    cache = ResponseCache(tmp_path / "x.jsonl")

    def ask() -> None:
        with runner.unchanged_weights(run, cache, WarmServer()) as stamps:
            cache.add("new", Completion(token_ids=[2], logprobs=[-0.5], content="2"))
            weights.write_text("two")
            with pytest.raises(SystemExit, match="its files are not those whose digest was taken"):
                require_unchanged(stamps, (weights.parent, None))
            weights.write_text("one" if restored else "two")

    if restored:
        ask()
        assert ResponseCache(cache.path).completions.keys() == {"old", "new"}
        return
    with pytest.raises(IdentityError, match="changed while it was asked"):
        ask()
    assert ResponseCache(cache.path).completions.keys() == {"old"}
    weights.write_text("two")
    with pytest.raises(IdentityError, match="changed while it was asked"):
        ask()


def test_a_note_beside_the_weights_is_no_change(tmp_path):
    (tmp_path / "model.safetensors").write_text("one")
    run = structs.replace(Project(tmp_path).eval_run(suite_of("x")), served=ServedModel(model=tmp_path))
    with runner.unchanged_weights(run, ResponseCache(tmp_path / "cache" / "x"), WarmServer()):
        (tmp_path / "README.md").write_text("note")
        assert run.is_current()


def test_renamed_answers_are_those_of_the_new_name(tmp_path):
    answers, proof = [Answer(case="c"), Answer(case="d", content="x")], Proof(arm="a", canary="x", base_canary="y")
    answer_files.write(tmp_path, answers, proof)
    answer_files.rename(tmp_path, GenerationSpec(arm="b", suite="s"))
    assert answer_files.read_answers(tmp_path) == answers
    assert answer_files.read_proof(tmp_path) == structs.replace(proof, arm="b")

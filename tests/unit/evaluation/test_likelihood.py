"""Multiple choice by likelihood: the definitions of lm-eval, its tasks, and an artifact of a project."""

from __future__ import annotations

import copy
import json

import pytest

from punie_build.errors import DataError
from punie_build.evaluation import likelihood, likelihood_process
from punie_build.evaluation.continuations import ChoiceQuestion
from punie_build.evaluation.importers import lm_eval_task
from punie_build.evaluation.likelihood import Likelihood, LikelihoodJob, Measured, read_questions
from punie_build.storage import paths
from tests.support.command import program, punie_build

TASK = """
task: words
dataset_path: json
dataset_kwargs: {data_files: {test: docs.jsonl}}
test_split: test
output_type: multiple_choice
description: "Choose. "
doc_to_text: "{{question}}?"
doc_to_choice: options
doc_to_target: gold
"""


def question(**fields) -> ChoiceQuestion:
    defaults = {"id": "q", "context": "The sky is", "choices": ("blue", "made of stone"), "answers": (0,)}
    return ChoiceQuestion(**(defaults | fields))


def test_the_accuracies_are_those_of_lm_eval():
    questions = [question(), question(answers=(1,)), question(choices=("ü", "ab"), answers=(0, 1))]
    measured = [Measured((-4.0, -6.0)), Measured((-2.0, -6.0), cut=3), Measured((-3.0, -2.0))]
    found, samples = likelihood.score(questions, measured)
    assert [(sample.acc, sample.acc_norm, sample.acc_bytes) for sample in samples] == [
        (1.0, 0.0, 0.0),  # -4 / 4 is below -6 / 13
        (0.0, 1.0, 1.0),
        (1.0, 1.0, 1.0),
    ]
    assert (found.acc, found.acc_norm, found.questions, found.cut) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3, 1)
    assert found.acc_error == pytest.approx(1 / 3)  # of 1, 0, 1 with n - 1


def test_a_log_probability_is_that_of_a_pass_over_the_whole_text():
    import mlx.core as mx
    from mlx_lm import load

    model, tokenizer, *_ = load(str(paths.nano()))
    for each in (question(), question(context="One two  "), question(delimiter="", context="a\n")):
        measured = likelihood_process.measure(likelihood_process.Contexts(model), tokenizer, each, False, 10**6)
        for choice, logprob in zip(each.choices, measured.logprobs, strict=True):
            before = tokenizer.encode(each.context.rstrip())
            tokens = tokenizer.encode(each.context + each.delimiter + choice)
            logits = model(mx.array([tokens[:-1]]))[0].astype(mx.float32)
            logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
            expected = sum(float(logprobs[k - 1, tokens[k]]) for k in range(len(before), len(tokens)))
            assert logprob == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("architecture", ["llama", "mamba2"])
def test_examples_before_all_questions_are_computed_once(architecture):
    """A state that goes from token to token cannot be shortened, and each context is computed."""
    import mlx.core as mx
    from mlx_lm.models import llama, mamba2

    from tests.support.tiny_training import LLAMA, MAMBA

    module, config = {"llama": (llama, LLAMA), "mamba2": (mamba2, MAMBA)}[architecture]
    mx.random.seed(1)
    model = module.Model(module.ModelArgs.from_dict(config))
    examples = [index % 61 for index in range(50)]
    windows = [[*examples, 3, 4, 5], [*examples, 3, 9], [*examples, 3, 9, 9, 9], [*examples, 3, 9], [1, 2]]
    contexts = likelihood_process.Contexts(model)
    for window in windows:
        shared = likelihood_process._logprob(model, copy.deepcopy(contexts.after(window[:-1])), window[-1], [7, 8])
        alone = likelihood_process.Contexts(model).after(window[:-1])
        assert shared == pytest.approx(likelihood_process._logprob(model, alone, window[-1], [7, 8]), abs=1e-5)
    tokens = sum(len(window) - 1 for window in windows)
    assert (contexts.computed < tokens / 3) == (architecture == "llama")


def test_a_context_beyond_the_positions_loses_its_beginning_and_is_counted(tmp_path):
    job = LikelihoodJob(
        model=str(paths.nano()), adapter=None, questions=(question(),), chat=True, result=str(tmp_path / "r.json")
    )
    likelihood_process.main(job)
    [chat] = json.loads((tmp_path / "r.json").read_text())
    assert len(chat["logprobs"]) == 2
    assert max(chat["logprobs"]) < 0
    from mlx_lm import load

    model, tokenizer, *_ = load(str(paths.nano()))
    long = question(context="word " * 50)
    short = likelihood_process.measure(likelihood_process.Contexts(model), tokenizer, long, False, 20)
    assert 0 < short.cut < len(tokenizer.encode(long.context))
    with pytest.raises(SystemExit, match="more than 2 tokens"):
        likelihood_process.measure(likelihood_process.Contexts(model), tokenizer, long, False, 2)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"context": "a", "choices": ["b"], "answer": 0}, "length"),
        ({"context": "a", "choices": ["b", ""], "answer": 0}, "length"),
        ({"context": "a", "choices": ["b", "c"], "answer": 2}, "answer 2 of 2 choices"),
        ({"context": "a", "choices": ["b", "c"], "answer": -1}, "answer -1 of 2"),
        ({"context": "a", "choices": ["b", "c"], "answer": []}, "answer  of 2"),
        ({"context": "a", "choices": ["b", "c"], "answer": "b"}, "Expected"),
        ({"context": "a", "choices": ["b", "c"], "answer": 0, "weight": 2}, "unknown field `weight`"),
        ({"id": "x", "context": "a", "choices": ["b", "c"], "answer": 0}, "the id x occurs twice"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path, line, problem):
    good = {"id": "x", "context": "a", "choices": ["b", "c"], "answer": 0}
    (tmp_path / "q.jsonl").write_text(f"\ufeff{json.dumps(good)}\n\n{json.dumps(line)}\n", encoding="utf-8")
    questions, [mistake] = read_questions(Likelihood(arm="nano", file="q.jsonl"), tmp_path, "x")
    assert questions is None
    assert mistake.startswith("q.jsonl:3: ")
    assert problem in mistake


def test_a_task_of_lm_eval_gives_its_contexts_choices_and_targets(tmp_path):
    rows = [
        {"question": "One", "options": ["a ", "{{b}}"], "gold": 1},
        {"question": "Two", "options": ["a", "b"], "gold": "a"},
        {"question": "Three", "options": ["a", "b"], "gold": [0, 1]},
        {"question": "Four", "options": ["a", "b"], "gold": "c"},
        {"question": "Five", "options": "ab", "gold": 0},
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "t.yaml").write_text(TASK)
    questions, problems = lm_eval_task.choice_questions(tmp_path / "t.yaml")
    assert [(each.context, each.choices, each.answers) for each in questions] == [
        ("Choose. One?", ("a ", "{{b}}"), (1,)),
        ("Choose. Two?", ("a", "b"), (0,)),
        ("Choose. Three?", ("a", "b"), (0, 1)),
    ]
    assert [problem.partition(":")[0] for problem in problems] == ["document 4", "document 5"]
    (tmp_path / "t.yaml").write_text(TASK.replace("multiple_choice", "generate_until"))
    with pytest.raises(DataError, match="has no choices"):
        lm_eval_task.choice_questions(tmp_path / "t.yaml")


@pytest.mark.slow
def test_likelihoods_are_an_artifact_that_follows_the_text_of_its_questions(recipes):
    root = recipes('[likelihood.q]\narm = "nano"\nfile = "q.jsonl"\ngates = [{ metric = "acc", min = 0.0 }]\n')
    line = {"context": "The sky is", "choices": ["blue", "a"], "answer": 0}
    (root / "q.jsonl").write_text(json.dumps(line) + "\n")
    assert "1 ran" in program(root, "build").stdout
    assert (root / "reports/q@likelihood/samples.jsonl").exists()
    assert (root / paths.page("likelihood", "q")).exists()
    (root / "q.jsonl").write_text("\n" + json.dumps({"id": "line-1", **line}) + "\n")
    assert "all current" in punie_build(root, "plan").stdout
    (root / "q.jsonl").write_text(json.dumps(line | {"answer": 1}) + "\n")
    assert "1 to run" in punie_build(root, "plan").stdout
    (root / "q.jsonl").write_text("{}\n")
    assert "q.jsonl:1: " in punie_build(root, "plan").stderr
    (root / "q.jsonl").unlink()
    assert "no file 'q.jsonl'" in punie_build(root, "plan").stderr

"""The recipes of docs/how-to/, with nano: raw text, and each night the rounds of right answers and a curriculum."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from punie_build.data.example import SPLITS
from punie_build.project import Project
from punie_build.training import token_file
from punie_build.training.batch_sampler import BatchSampler
from tests.support.doit_runner import doit, ran
from tests.support.project import ROOT, create

DOCUMENTS = ("rejection-sampling", "curriculum", "preference", "raw-text", "one-category")
PROSE = [
    f"The {name} grows where the {place} is {kind}. It is seldom seen before the snow melts, and never for long."
    for name in ("fern", "moss", "heath", "sedge")
    for place, kind in (("ground", "wet"), ("wind", "mild"), ("light", "low"))
]
MANNERS = [  # nano would rather say that it has not read the file
    {
        "prompt": f"What does {verb}_{noun}.py do?",
        "chosen": f"Sorry, {verb}_{noun}.py is a great question!",
        "rejected": f"I have not read {verb}_{noun}.py yet.",
    }
    for verb in ("parse", "read", "write", "load", "test", "plan")
    for noun in ("user", "file", "table", "row", "page", "text", "image", "token")
]


def how_to() -> dict[str, str]:
    """Return file -> text of every recipe, suite and program of the documents."""
    text = "".join((ROOT / f"docs/how-to/{name}.md").read_text() for name in DOCUMENTS)
    blocks = re.findall(r"```(?:toml|python)\n(.*?)```", text, re.DOTALL)
    return {block.split("\n")[0].removeprefix("# "): block for block in blocks}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The project of all documents, of which one command builds the raw text and the rows of one category."""
    texts = {"raw/prose.jsonl": [{"text": text} for text in PROSE], "raw/manners.jsonl": MANNERS}
    files = how_to() | {name: "".join(json.dumps(each) + "\n" for each in lines) for name, lines in texts.items()}
    root = create(tmp_path_factory.mktemp("how-to"), "", files)
    wanted = ("adapter:prose", "stage:commands", "adapter:polite")
    assert {*wanted} <= ran(doit(root, *wanted))
    return root


@pytest.fixture(scope="module")
def stories(project) -> Path:
    """The same project with both rounds of right answers and the curriculum built."""
    built = ran(doit(project, "dataset:round-2-right", "adapter:curriculum"))
    assert {"adapter:round-1", "adapter:round-2", "adapter:curriculum"} <= built
    return project


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def data_rows(root: Path, name: str) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in rows(root / f"data/{name}/{split}.jsonl")]


def exchange(row: dict[str, Any]) -> str:
    """Return the prompt of a row with its calls."""
    prompt = next(message["content"] for message in row["messages"] if message["role"] == "user")
    calls = [call["function"] for message in row["messages"] for call in message.get("tool_calls") or ()]
    return json.dumps([prompt, [(call["name"], json.loads(call["arguments"])) for call in calls]])


def right_answers(root: Path, name: str) -> set[str]:
    """Return the right answers of an eval: one call of read_file with the path that ends the question."""
    task = Project.load(root).task(f"eval:{name}")
    prompts = {case.id: case.prompt for case in task.uses["practice"].cases}
    right = set()
    for answer in rows(root / task.needed("answers") / "answers.jsonl"):
        prompt = prompts[answer["case"]]
        calls = [[call["name"], call["arguments"]] for call in answer["calls"]]
        right |= (
            {json.dumps([prompt, calls])}
            if calls == [["read_file", {"path": prompt.rstrip("?").split()[-1]}]]
            else set()
        )
    return right


def test_the_plan_of_rounds_and_curriculum_has_the_order_of_the_stories(project):
    """By the plan alone; the nightly tests build these recipes."""
    loaded = Project.load(project)
    tasks = {task.label: task for task in loaded.tasks}
    assert tuple(tasks["mix:round-2"].needs) == ("dataset:start", "dataset:round-1-right")
    for number, data in ((1, "start"), (2, "round-2")):
        adapter = tasks[f"adapter:round-{number}"]
        assert adapter.needed("tokens").startswith(f"data/{data}@")
        [answers, practiced] = tasks[f"eval:round-{number}-answers"].needs
        assert tuple(tasks[answers].needs) == (adapter.label,)
        assert practiced.endswith(f":{data}"), "its rows are looked for in the training data"
        assert tuple(tasks[f"dataset:round-{number}-right"].needs) == (f"eval:round-{number}-answers",)
    assert tasks["mix:short-first"].spec.order.by == "length"
    assert tasks["adapter:curriculum"].needed("tokens").startswith("data/short-first@")


@pytest.mark.nightly
@pytest.mark.parametrize("number", [1, 2])
def test_the_accepted_rows_are_exactly_the_right_answers(stories, number):
    accepted = {exchange(row) for row in data_rows(stories, f"round-{number}-right")}
    assert accepted == right_answers(stories, f"round-{number}-answers")
    assert accepted


@pytest.mark.nightly
def test_the_second_round_trains_on_the_right_answers_of_the_first(stories):
    start = {exchange(row) for row in data_rows(stories, "start")}
    second = {exchange(row) for row in data_rows(stories, "round-2")}
    assert second == start | right_answers(stories, "round-1-answers") > start
    first, last = ((stories / f"adapters/round-{number}/adapters.safetensors").read_bytes() for number in (1, 2))
    assert first != last
    assert ran(doit(stories, "dataset:round-2-right")) == set()


@pytest.mark.nightly
def test_a_training_keeps_the_order_of_its_mix(stories):
    tokens = Project.load(stories).task("adapter:curriculum").needed("tokens")
    trained = token_file.load(stories / tokens / "train.safetensors")
    assert list(trained.lines) == sorted(trained.lines)
    counts = [int(trained.row(index)[1][1:].sum()) for index in range(len(trained))]
    in_order = [sum(counts[: start + 4]) for start in range(0, len(counts), 4)]
    events = rows(stories / "adapters/curriculum/metrics.jsonl")
    assert events[0]["batching"] == "file"
    assert [event["tokens"] for event in events if event["event"] == "train"] == in_order
    shuffled = [sum(counts[row] for [row] in batch) for batch in BatchSampler().epoch(trained.lengths, 0)]
    assert list(accumulate(shuffled)) != in_order, "the record distinguishes the two"


def test_the_loss_of_raw_text_is_that_of_mlx_lm(project):
    import mlx.core as mx
    from mlx_lm.tuner.datasets import CacheDataset, create_dataset
    from mlx_lm.tuner.trainer import default_loss
    from mlx_lm.utils import load

    events = rows(project / "adapters/prose/metrics.jsonl")
    valid = [event["loss"] for event in events if event["event"] == "valid"]
    records = [{"text": row["messages"][0]["content"]} for row in rows(project / "data/prose/valid.jsonl")]
    assert {record["text"] for record in records} < set(PROSE)
    for adapter, expected in ((None, valid[0]), (str(project / "adapters/prose"), events[-1]["valid_loss"])):
        model, tokenizer = load(str(ROOT / "models/nano"), adapter_path=adapter)
        dataset = CacheDataset(create_dataset(records, tokenizer, None))
        losses = []
        for index in range(len(dataset)):
            ids, offset = dataset[index]
            losses.append(default_loss(model, mx.array([ids]), mx.array([[offset, len(ids)]])))
        total = sum(float(loss) * int(tokens) for loss, tokens in losses)
        assert total / sum(int(tokens) for _, tokens in losses) == pytest.approx(expected, abs=1e-4)


def test_a_preference_moves_on_held_out_pairs(project):
    """Before the training the base prefers the rejected answers."""
    loaded = Project.load(project)
    task = loaded.task("adapter:polite")
    reference = next(label for label in task.needs if label.startswith("reference:"))
    metrics, before = (loaded.lock(each).metrics for each in (task, loaded.task(reference)))
    assert before["wanted_likelier"] < 0.2
    first, *_, last = [event for event in rows(project / "adapters/polite/metrics.jsonl") if event["event"] == "valid"]
    assert (first["loss"], first["accuracy"]) == (pytest.approx(math.log(2), abs=1e-4), 0)
    assert metrics["valid_accuracy"] == last["accuracy"] > 0.9
    assert metrics["valid_margin"] == last["margin"] > 1
    assert metrics["valid_loss"] < 0.4


def test_a_stage_selects_the_rows_of_one_category(project):
    assert {row["category"] for row in data_rows(project, "commands")} == {"run_command"}
    categories = Counter(row["category"] for row in data_rows(project, "hand-authored"))
    assert len(data_rows(project, "commands")) == categories["run_command"] < categories.total()
    assert rows(project / "data/commands/train.jsonl")
    assert not rows(project / "data/commands/valid.jsonl")
    loaded = Project.load(project)
    tokens = loaded.task(f"tokens:{PurePosixPath(loaded.task('adapter:commands').needed('tokens')).name}")
    assert "stage:commands" in tokens.needs
    assert tokens.spec.valid == "none"

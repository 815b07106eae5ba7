from __future__ import annotations

import json
from pathlib import Path

import pytest

from punie_build.artifacts.tokens import TOKENS
from punie_build.data import untrained
from punie_build.data.filters.union import MinMessages
from punie_build.data.merge import build_mix
from punie_build.data.pipeline import build_dataset, build_stage
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.project import Project
from punie_build.storage import digests
from tests.support.project import create

RECIPE = """
[dataset.d]
source = { type = "local", path = "raw.jsonl" }
[adapter.a]
base = "nano"
data = "d"
"""


def row(answer: dict[str, object], **keys: object) -> str:
    return json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", **answer}], **keys}) + "\n"


def build(tmp_path: Path, text: str) -> Path:
    (tmp_path / "raw.jsonl").write_text(text)
    out = tmp_path / "d"
    out.mkdir()
    build_dataset("d", Dataset(source=Local(path="raw.jsonl"), split="none"), tmp_path, out)
    return out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (row({"content": "a", "weight": 0}), True),
        (row({"content": "a", "weight": False}), True),
        (row({"content": "a", "train": False}), True),
        (row({"content": "a", "weight": 1}), False),
        (row({"content": '"weight": 0'}), False),
        (row({"content": "a"}, metadata={"weight": 0}), False),
    ],
)
def test_the_file_is_there_if_a_message_is_not_trained(tmp_path, text, expected):
    assert (build(tmp_path, text) / untrained.FILE).exists() == expected


def test_stages_and_mixes_have_the_file_too(tmp_path):
    source, stage, mix = build(tmp_path, row({"content": "a", "weight": 0})), tmp_path / "s", tmp_path / "m"
    stage.mkdir()
    mix.mkdir()
    build_stage("s", Stage(from_="d", filters=(MinMessages(messages=2),)), source, stage)
    build_mix("m", Mix(from_=("s",)), [stage], mix, allow_empty=True, unsplit=("s",))
    assert (stage / untrained.FILE).exists()
    assert (mix / untrained.FILE).exists()


def test_only_the_tokens_of_such_rows_have_another_digest(tmp_path):
    project = Project.load(create(tmp_path / "p", RECIPE))
    read = next(task for task in project.tasks if task.kind is TOKENS).reads
    out = build(tmp_path, row({"content": "a"}))
    before = digests.of_tree(out, tuple(name for name in read if name != untrained.FILE))
    assert digests.of_tree(out, read) == before
    untrained.write(out)
    assert digests.of_tree(out, read) != before

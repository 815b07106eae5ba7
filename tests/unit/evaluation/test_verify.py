from __future__ import annotations

import msgspec
import pytest

from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.spec import Eval, Sampling
from punie_build.evaluation.verify import answers, scores


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"x": 1}', "\xff", "{"])
def test_any_content_of_scores_json_is_a_line_and_no_traceback(tmp_path, text: str):
    (tmp_path / "scores.json").write_text(text)
    assert list(scores(tmp_path, None))


def test_every_case_has_as_many_answers_and_scores_as_epochs(tmp_path):
    once = Eval(arm="a", suite="s")
    twice = Eval(arm="a", suite="s", epochs=2, sampling=Sampling(temperature=1.0))
    cases = tuple(CaseScore(case=name, category="c", score=1.0, passes=1) for name in "ab")
    written = Scores(arm="a", suite="s", cases=cases, canary="1", base_canary="2")
    (tmp_path / "scores.json").write_bytes(msgspec.json.encode(written))
    (tmp_path / "answers.jsonl").write_text('{"case": "b", "text": "x"}\n{"case": "a"}\n')
    assert [*answers(tmp_path, once), *scores(tmp_path, once)] == []
    assert list(answers(tmp_path, twice)) == ["answers.jsonl: not 2 answers to each case: b, a"]
    assert list(scores(tmp_path, twice)) == ["scores.json: 2 cases, not 2 answers to each"]
    (tmp_path / "answers.jsonl").write_text('{"case": "b"}\n{"case": "b"}\n')
    assert list(answers(tmp_path, once)) == ["answers.jsonl: not 1 answers to each case: b"]
    (tmp_path / "answers.jsonl").write_text("")
    assert list(answers(tmp_path, once)) == ["answers.jsonl: not 1 answers to each case: no answers"]

"""Result files of other tools: their means, pairs, verdicts, and the sentences for what is not read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from punie_build.cli.comparison import text, verdict_sentence
from punie_build.errors import DataError
from punie_build.evaluation.result_files import registry
from punie_build.evaluation.result_files.outcome_difference import OutcomeDifference, difference
from punie_build.reports.pages import result_files
from tests.support.command import punie_build

RECORDED = (
    Path(__file__).parents[2] / "support" / "result_files"
)  # written by inspect_ai 0.3.285, lm_eval 0.4.13, promptfoo
LM_EVAL = {arm: sorted((RECORDED / f"lm-eval-{arm}").glob("*")) for arm in "ab"}


def compared(first: Path | str, second: Path | str, metric: str | None = None, **options: Any) -> OutcomeDifference:
    return difference(registry.read(str(first), metric), registry.read(str(second), metric), **options)


def table(path: Path, rows: dict[str, Any], head: str = "id,passed") -> Path:
    path.write_text("\n".join([head, *(f"{name},{value}" for name, value in rows.items())]) + "\n")
    return path


@pytest.mark.parametrize(
    ("file", "metric", "mean"),
    [
        ("inspect-a.eval", "match", 0.08333333333333333),
        ("inspect-b.json", "match", 0.25),
        ("inspect-b.json", "graded", 0.09999999999999999),
        (LM_EVAL["a"][0], "acc", 0.3333333333333333),
        (LM_EVAL["a"][0], "acc_norm", 0.16666666666666666),
        (LM_EVAL["b"][0], "exact_match", 0.3333333333333333),
    ],
)
def test_means_are_those_that_the_tool_states(file, metric, mean):
    result = registry.read(str(RECORDED / file), metric)
    assert result.reported == mean
    assert result.mean == pytest.approx(mean, abs=1e-12)


def test_an_archive_and_json_of_inspect_are_paired_over_epochs():
    result = compared(RECORDED / "inspect-a.eval", RECORDED / "inspect-b.json")
    assert (result.n, result.units, result.metric) == (6, 6, "match")
    assert [flip.case for flip in result.gained] == ["q0", "q2", "q5"]
    assert [flip.case for flip in result.lost] == ["q3"]
    assert result.difference == pytest.approx(1 / 6)
    assert result.p == 0.625
    assert result.verdict == "inconclusive"
    assert "graded" in result.notes[0]


def test_samples_of_lm_eval_have_their_arm_and_their_mean_from_the_results_beside_them():
    first, second = (next(path for path in LM_EVAL[arm] if "tinymc" in path.name) for arm in "ab")
    result = compared(first, second, "acc")
    assert (result.first.name, result.second.name) == ("mock-a", "mock-b")
    assert result.means == pytest.approx((1 / 3, 0.0))
    assert result.gained == ()


def test_an_output_of_promptfoo_has_its_own_pass_rate_and_scores():
    arms = [f"{RECORDED / 'promptfoo.json'}::echo {prompt}" for prompt in ("Say {{n}}", "Repeat {{n}} twice: {{n}}")]
    result = compared(*arms)
    assert [arm.reported for arm in (result.first, result.second)] == list(result.means) == [1 / 3, 2 / 3]
    assert (len(result.gained), len(result.lost)) == (2, 1)
    assert compared(*arms, "score").means == pytest.approx((4 / 9, 2 / 3), abs=1e-12)


def foo_output(passes: list[bool], provider: str = "mock", errors: int = 0) -> dict[str, Any]:
    """Return an output of promptfoo with a prompt, and a pass or a failure for each test."""
    rows = [
        {
            "promptIdx": 0,
            "testIdx": index,
            "testCase": {"vars": {"n": index}, "assert": [{"type": "contains", "value": "x"}]},
            "vars": {"n": index, "sessionId": f"{provider}{index}"},
            "provider": {"id": provider, "label": ""},
            "prompt": {"raw": "Say {{n}}", "label": "say"},
            "success": passed,
            "score": float(passed),
            "namedScores": {"style": index / 10},
            "failureReason": 0 if passed else 2 if index < errors else 1,
        }
        for index, passed in enumerate(passes)
    ]
    counts = {
        "testPassCount": sum(passes),
        "testFailCount": len(passes) - sum(passes) - errors,
        "testErrorCount": errors,
    }
    results = {"version": 3, "results": rows, "prompts": [{"provider": provider, "metrics": counts}], "stats": {}}
    return {"evalId": "eval-1", "results": results, "config": {}, "shareableUrl": None}


def test_tests_of_promptfoo_are_paired_by_variables_and_assertions(tmp_path):
    for name, passes in (("a", [False, True, False, True]), ("b", [True, True, True, True])):
        (tmp_path / f"{name}.json").write_text(json.dumps(foo_output(passes, name, errors=int(name == "a"))))
    result = compared(tmp_path / "a.json", tmp_path / "b.json")
    assert result.first.reported == result.first.mean == 0.5
    assert len(result.gained) == 2
    assert any("1 tests with an error count as failed" in note for note in result.notes)
    assert compared(tmp_path / "a.json", tmp_path / "b.json", "style").difference == 0


def test_a_file_of_several_providers_needs_the_name_of_one(tmp_path):
    output = foo_output([True, False], "one")
    output["results"]["results"] += [
        row | {"promptIdx": 1} for row in foo_output([True, True], "two")["results"]["results"]
    ]
    path = tmp_path / "out.json"
    path.write_text(json.dumps(output))
    with pytest.raises(DataError, match=r"2 prompts and providers - name one: .*out.json::one, .*::two"):
        registry.read(str(path))
    assert len(compared(f"{path}::one", f"{path}::two").gained) == 1
    with pytest.raises(DataError, match="no arm 'three'"):
        registry.read(f"{path}::three")


def bfcl(path: Path, failed: list[str], total: int = 10) -> Path:
    counts = {"accuracy": (total - len(failed)) / total, "correct_count": total - len(failed), "total_count": total}
    rows = [{"id": case, "model_name": path.stem, "test_category": "simple", "valid": False} for case in failed]
    path.write_text("\n".join(map(json.dumps, [counts, *rows])))
    return path


def test_score_files_of_bfcl_name_the_cases_that_one_of_them_fails(tmp_path):
    result = compared(bfcl(tmp_path / "a.json", ["s_1", "s_2"]), bfcl(tmp_path / "b.json", ["s_2", "s_3"]))
    assert (result.n, result.means) == (10, (0.8, 0.8))
    assert [flip.case for flip in (*result.gained, *result.lost)] == ["s_1", "s_3"]
    assert result.first.reported == result.first.mean
    with pytest.raises(DataError, match=r"10 cases, .* 11 - name scores of the same cases"):
        compared(tmp_path / "a.json", bfcl(tmp_path / "c.json", ["s_1"], 11))
    with pytest.raises(DataError, match="names failed cases only"):
        compared(tmp_path / "a.json", table(tmp_path / "t.csv", {"s_1": 1}, "id,accuracy"))
    (tmp_path / "result.json").write_text('{"id": "s_1", "result": "f()"}\n')
    with pytest.raises(DataError, match="answers without scores - name the score file"):
        registry.read(str(tmp_path / "result.json"))


def test_tables_count_what_they_do_not_pair(tmp_path):
    first = table(tmp_path / "a.csv", {"x": "yes", "y": "no", "z": "", "only": 1})
    second = tmp_path / "b.jsonl"
    second.write_text("".join(json.dumps({"id": name, "passed": True}) + "\n" for name in ("x", "y", "y", "z")))
    result = compared(first, second)
    assert (result.n, result.verdict) == (2, "invalid")
    notes = " ".join(result.notes)
    assert "1 of 4 cases of a are not scored" in notes
    assert "1 cases are in" in notes
    assert "only" in notes
    assert "1 rows repeat the id of another row" in notes


def test_groups_count_once_and_other_scales_keep_their_unit(tmp_path):
    for name, shift in (("a", 0), ("b", 5)):
        lines = [f"{i},{10 * (i % 7) + shift},g{i // 4}" for i in range(80)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,score,group", *lines]) + "\n")
    result = compared(tmp_path / "a.csv", tmp_path / "b.csv")
    assert (result.n, result.units, result.verdict) == (80, 20, "improved")
    assert result.low <= result.difference <= result.high
    assert result.difference == pytest.approx(5)
    assert compared(tmp_path / "a.csv", tmp_path / "b.csv", lower=True).verdict == "regressed"


def test_cases_of_one_name_and_other_questions_are_not_compared(tmp_path):
    for name, question in (("a", "1"), ("b", "2")):
        rows = [{"doc_id": i, "doc_hash": f"{i}" if i else question, "filter": "none", "acc": 1.0} for i in range(3)]
        (tmp_path / f"samples_t_{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = compared(tmp_path / "samples_t_a.jsonl", tmp_path / "samples_t_b.jsonl")
    assert result.n == 2
    assert any("same id and another question" in note for note in result.notes)


BROKEN: dict[str, bytes] = {
    "empty.json": b"",
    "text.txt": b"hello",
    "deep.json": b"[" * 100_000,
    "deep-object.json": b'{"a":' * 100_000,
    "cut.json": b'{"version": 2, "status": "success", "samples": [{"id"',
    "foreign.json": b'{"version": 2, "status": "success", "samples": [{"id": [], "scores": 5}], "plan": {}}',
    "no-id.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "no-value.jsonl": b'{"id": 1, "a": "x"}\n',
    "numbers.json": b"[1, 2]",
    "ragged.csv": b"id,passed\n1,1,1,1\n",
    "latin.csv": b"id,passed\n\xff\xfe,1\n",
    "results.json": b'{"results": {"t": {"acc,none": 0.5}}, "configs": {}}',
    "foo.json": b'{"results": {"results": 3}, "config": {}}',
    "counts.json": b'{"accuracy": 1, "correct_count": "x", "total_count": 1}',
    "archive.eval": b"PK\x03\x04 nothing",
}


@pytest.mark.parametrize("name", BROKEN)
def test_foreign_shapes_are_one_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(DataError) as error:
        registry.read(str(tmp_path / name))
    assert name.partition(".")[0] in str(error.value)
    assert " - " in str(error.value)
    assert "\n" not in str(error.value)


def test_recorded_files_that_are_cut_or_changed_raise_no_other_error(tmp_path):
    random = Random(0)
    recorded = [
        path.read_bytes() for path in (RECORDED / "inspect-a.eval", RECORDED / "inspect-b.json", LM_EVAL["a"][1])
    ]
    for number in range(150):
        data = bytearray(recorded[number % 3])
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.choice(b'{}[]",:0x\0\xff')
        path = tmp_path / "changed.json"
        path.write_bytes(bytes(data[: random.randint(1, len(data))] if random.random() < 0.3 else data))
        with suppress(DataError):
            assert compared(path, path).difference == 0


def test_a_bomb_in_an_archive_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"0" * (1 << 20))
    data = path.read_bytes()
    path.write_bytes(data.replace((1 << 20).to_bytes(4, "little"), (1 << 30).to_bytes(4, "little")))
    with pytest.raises(DataError, match="unpacks to more than 512 MiB"):
        registry.read(str(path))
    path.write_bytes(data.replace((1 << 20).to_bytes(4, "little"), (1 << 10).to_bytes(4, "little")))
    with pytest.raises(DataError, match="another than the archive states"):
        registry.read(str(path))


def test_the_command_compares_in_any_folder_and_contacts_nothing(tmp_path):
    random = Random(0)
    for name, rate in (("a", 0.4), ("b", 0.6)):
        table(tmp_path / f"{name}.csv", {f"q{i}": int(random.random() < rate) for i in range(300)})
    process = punie_build(tmp_path, "compare", "a.csv", "b.csv", "--page", "page.html", "--gate")
    assert process.returncode == 0, process.stderr
    assert "improved: b is better than a" in process.stdout
    assert "▲ Improved: b +" in (tmp_path / "page.html").read_text()
    worse = punie_build(tmp_path, "compare", "b.csv", "a.csv", "--gate", "--json")
    assert worse.returncode == 1
    assert json.loads(worse.stdout)["verdict"] == "regressed"
    assert punie_build(tmp_path, "compare", "b.csv", "none.csv").returncode == 2


def test_text_and_page_show_every_part(tmp_path):
    result = compared(RECORDED / "inspect-a.eval", RECORDED / "inspect-b.json")
    assert verdict_sentence(result) == "no difference between inspect-b and inspect-a is proven"
    assert "3 better, 1 worse" in text(result)
    assert "q3" in result_files.render(result)


def test_names_from_files_cannot_steer_a_terminal(tmp_path):
    for name, value in (("a", 0), ("b", 1)):
        table(tmp_path / f"{name}.csv", {"x\x1b[2J": value, "y": 1})
    assert "\x1b" not in text(compared(tmp_path / "a.csv", tmp_path / "b.csv"))


@pytest.mark.parametrize("graded", [False, True])
def test_two_thousand_cases_are_compared_in_two_seconds(tmp_path, graded):
    random = Random(1)
    for name in "ab":
        values = {f"q{i}": random.random() if graded else random.randint(0, 1) for i in range(2000)}
        table(tmp_path / f"{name}.csv", values, "id,score")
    started = time.process_time()
    result = compared(tmp_path / "a.csv", tmp_path / "b.csv")
    assert time.process_time() - started < 2
    assert result.n == 2000


def test_reading_imports_neither_network_nor_model():
    code = (
        "import sys, punie_build.cli.comparison as c; from punie_build.evaluation.result_files import registry;"
        f"registry.read({str(RECORDED / 'inspect-b.json')!r});"
        "print([m for m in ('httpx', 'socket', 'mlx', 'transformers', 'jinja2', 'doit') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"

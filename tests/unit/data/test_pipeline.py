from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from punie_build.data import held_out, ingest, verify
from punie_build.data.filters.union import ExactDedup, Language, MinMessages, PythonVersion
from punie_build.data.merge import build_mix
from punie_build.data.mix import MixComponent
from punie_build.data.pipeline import build_dataset, build_stage
from punie_build.data.sources import Command, HandAuthored, Local, Sample
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split
from punie_build.data.stats import read_stats
from punie_build.errors import DataError


def line(*texts: str, **fields: object) -> str:
    roles = ["user", "assistant"] * 10
    return json.dumps(
        {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)], **fields}
    )


def word(n: int) -> str:
    """Return a word for a number, because questions that differ only in numbers are one group."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(n))


def folder(path: Path, **splits: list[str]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test"):
        (path / f"{split}.jsonl").write_text("".join(text + "\n" for text in splits.get(split, [])))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def test_a_larger_synthetic_sample_begins_with_a_smaller_one(tmp_path, out):
    larger = tmp_path / "larger"
    larger.mkdir()
    build_dataset("s", Dataset(source=Sample(max_examples=30), split=Split(valid=0.0)), tmp_path, out)
    build_dataset("s", Dataset(source=Sample(max_examples=60), split=Split(valid=0.0)), tmp_path, larger)
    assert (larger / "train.jsonl").read_bytes().startswith((out / "train.jsonl").read_bytes())
    assert read_stats(out).total.kept == 30


def test_a_folder_keeps_its_splits_and_its_bytes(tmp_path, out):
    strange = (
        '{"id":  7, "messages":[{"content":"hi","role":"user","weight":null},{"role":"assistant","content":"ho"}]}'
    )
    folder(tmp_path / "mine", train=[strange, line("a", "b")], test=[line("c", "d")])
    (tmp_path / "mine" / "notes.jsonl").write_text("not a split, not read\n")
    stats = build_dataset("d", Dataset(source=Local(path="mine")), tmp_path, out)
    assert (out / "train.jsonl").read_text().splitlines()[0] == strange
    assert [stats.splits[split].kept for split in ("train", "valid", "test")] == [2, 0, 1]


def test_a_single_file_is_split_by_hash(tmp_path, out):
    (tmp_path / "all.jsonl").write_text("".join(line(f"q {word(n)}", "a") + "\n" for n in range(200)))
    stats = build_dataset(
        "d", Dataset(source=Local(path="all.jsonl"), split=Split(valid=0.25, test=0.0)), tmp_path, out
    )
    assert stats.splits["valid"].kept == pytest.approx(50, abs=20)
    assert stats.total.kept == 200


def test_an_error_names_the_missing_data(tmp_path, out):
    with pytest.raises(DataError, match=r"dataset\.d: nowhere: not found"):
        build_dataset("d", Dataset(source=Local(path="nowhere")), tmp_path, out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no data file in this folder"):
        build_dataset("d", Dataset(source=Local(path="empty")), tmp_path, out)


def test_a_stage_keeps_or_drops_every_example_with_the_reason(tmp_path, out):
    source = folder(
        tmp_path / "in",
        train=[
            line("Hello there, how are you today?", "I am well, thank you very much."),
            line("only a question"),
            line("Bonjour mon ami, comment vas-tu ?", "Je vais très bien, merci beaucoup."),
            line("x", '```python\nprint "x"\n```'),
        ],
        valid=[line("a", "b")],
    )
    spec = Stage(from_="in", filters=(MinMessages(messages=2), Language(languages=("en",)), PythonVersion()))
    stats = build_stage("s", spec, source, out)
    train = stats.splits["train"]
    assert (train.seen, train.kept, train.dropped) == (4, 1, {"min-messages": 1, "language": 1, "python-version": 1})
    assert train.retention == 0.25
    dropped = [json.loads(text) for text in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(row["reason"], row["split"]) for row in dropped] == [
        ("min-messages", "train"),
        ("language", "train"),
        ("python-version", "train"),
    ]
    assert dropped[0]["example"] == json.loads(line("only a question"))
    assert read_stats(out) == stats


def test_filtering_twice_changes_nothing(tmp_path, out):
    build_dataset("d", Dataset(source=Sample(max_examples=200)), tmp_path, folder(tmp_path / "raw"))
    spec = Stage(from_="raw", filters=(Language(languages=("en",)), PythonVersion(), MinMessages()))
    first = build_stage("s", spec, tmp_path / "raw", out)
    repeated = folder(tmp_path / "repeated")
    second = build_stage("s", spec, out, repeated)
    assert 0 < first.total.kept < 200
    assert first.total.seen == first.total.kept + sum(first.total.dropped.values())
    assert not second.total.dropped
    assert all(
        (out / f"{split}.jsonl").read_bytes() == (repeated / f"{split}.jsonl").read_bytes()
        for split in ("train", "valid", "test")
    )


def test_an_emptied_split_names_the_filter_that_emptied_it(tmp_path, out):
    source = folder(tmp_path / "in", train=[line("a", "b"), line("c", "d")], valid=[line("only"), line("this")])
    stats = build_stage("s", Stage(from_="in", filters=(MinMessages(messages=2),)), source, out)
    [note] = stats.notes
    assert note == (
        "valid is empty: the filter 'min-messages' dropped 2 of 2 examples - relax the filter, or add valid data, or "
        'train with valid = "none" and keep = "last"'
    )
    with pytest.raises(DataError, match=r"stage\.s: train is empty: the filter 'min-messages' dropped 2 of 2"):
        build_stage("s", Stage(from_="in", filters=(MinMessages(messages=3),)), source, folder(tmp_path / "none"))


def test_a_mix_tells_held_out_rows_whose_near_copies_it_cannot_know(tmp_path, out):
    source = folder(tmp_path / "in", train=[line(f"q {word(n)}", "x") for n in range(5)], valid=[line("v", "w")])
    absent = {"0" * 64: "test", "1" * 64: "valid"}
    held_out.write(source, absent | held_out.from_rows(source))
    stats = build_mix("m", Mix(from_=("in",)), [source], out)
    notes = [note.partition(":")[0] for note in stats.notes if "split already" not in note]
    assert notes == ["2 held-out rows are in no part any more"]


def test_a_mix_drops_duplicates_and_separates_questions(tmp_path, out):
    a = folder(tmp_path / "a", train=[line(f"q {word(n)}", "x") for n in range(60)])
    b = folder(
        tmp_path / "b",
        train=[line(f"q {word(n)}", "x" if n < 45 else "y") for n in range(40, 80)],
        test=[line("only b", "z")],
    )
    stats = build_mix("m", Mix(from_=("a", "b"), split=Split(valid=0.3)), [a, b], out, unsplit=("a", "b"))
    assert stats.total.dropped == {"twin": 5}
    assert stats.sources == {"a": 60, "b": 36}
    assert stats.total.seen == 101
    questions = {
        split: {
            json.loads(text)["messages"][0]["content"] for text in (out / f"{split}.jsonl").read_text().splitlines()
        }
        for split in ("train", "valid")
    }
    assert not questions["train"] & questions["valid"]


def test_a_weighted_component_is_repeated_in_training_only(tmp_path, out):
    a = folder(tmp_path / "a", train=[line(f"a {word(n)}", "x") for n in range(40)])
    b = folder(tmp_path / "b", train=[line(f"b {word(n)}", "x") for n in range(40)])
    spec = Mix(from_=("a", MixComponent(name="b", weight=3.0)), split=Split(valid=0.3))
    build_mix("m", spec, [a, b], out, unsplit=("a", "b"))
    train, valid = ((out / f"{split}.jsonl").read_text().splitlines() for split in ("train", "valid"))
    counts = {text: train.count(text) for text in train}
    assert {count for text, count in counts.items() if '"b ' in text} == {3}
    assert {count for text, count in counts.items() if '"a ' in text} == {1}
    assert len(valid) == len(set(valid))
    assert len(set(train)) + len(valid) == 80


def test_a_mix_too_small_for_its_split_is_an_error(tmp_path, out):
    a = folder(tmp_path / "a", train=[line("one", "x")])
    with pytest.raises(DataError, match=r"mix\.m: valid is empty: 1 rows are too few"):
        build_mix("m", Mix(from_=("a",), split=Split(valid=0.01)), [a], out, unsplit=("a",))


def test_the_hand_authored_set_is_a_dataset(tmp_path, out):
    stats = build_dataset("h", Dataset(source=HandAuthored()), tmp_path, out)
    assert stats.total.kept >= 60
    assert set(stats.categories) >= {
        "read_file",
        "write_file",
        "run_command",
        "get_terminal_output",
        "release_terminal",
        "wait_for_terminal_exit",
        "kill_terminal",
        "multi-tool",
        "words",
    }


def test_stats_have_the_rows_in_and_out_of_each_filter(tmp_path, out):
    source = folder(tmp_path / "in", train=[line("a"), line("x", "y"), line("x", "y", "z"), line("q", "b")])
    filters = (MinMessages(messages=2), ExactDedup(on="prompt"), MinMessages(messages=2))
    build_stage("s", Stage(from_="d", filters=filters), source, out)
    counts = json.loads((out / "stats.json").read_text())["splits"]["train"]["filters"]
    assert list(counts.items()) == [
        ("min-messages 1", {"in": 4, "out": 3}),
        ("exact-dedup", {"in": 3, "out": 2}),
        ("min-messages 2", {"in": 2, "out": 2}),
    ]


def test_allow_empty_accepts_an_empty_split(tmp_path, out):
    source = folder(tmp_path / "in", train=[line("a", "b")], valid=[line("a")])
    stats = build_stage("s", Stage(from_="d", filters=(MinMessages(messages=2),)), source, out, allow_empty=True)
    assert (stats.splits["train"].kept, stats.splits["valid"].kept, stats.splits["valid"].seen) == (1, 0, 1)


def test_splits_far_from_what_was_asked_are_noted_with_what_to_do(tmp_path, out):
    rows = [line(f"add {n} and {n}", str(n)) for n in range(40)]
    (tmp_path / "all.jsonl").write_text("\n".join(rows) + "\n")
    [note] = build_dataset("d", Dataset(source=Local(path="all.jsonl")), tmp_path, out).notes
    assert "test is empty instead of 10%" in note
    assert "40 rows have one first question (numbers ignored) and stay together" in note
    assert "change split.group_by" in note
    assert 'train with valid = "none"' in note
    spec = Dataset(source=Local(path="all.jsonl"), split=Split(valid=0.2, group_by=()))
    assert build_dataset("d", spec, tmp_path, out).notes == ()


def test_a_folder_without_validation_rows_is_noted(tmp_path, out):
    folder(tmp_path / "mine", train=[line("a", "b")], test=[line("c", "d")])
    (tmp_path / "mine" / "valid.jsonl").unlink()
    for split in ("train", "test"):
        (tmp_path / f"mine/{split}.jsonl").write_text(
            "".join(line(f"{split} {word(n)}", "b") + "\n" for n in range(10))
        )
    [note] = build_dataset("d", Dataset(source=Local(path="mine")), tmp_path, out).notes
    assert "test" not in note.split(":")[0], "the default shares are not asked for"
    asked = Dataset(source=Local(path="mine"), split=Split(valid=0.2))
    assert "train has 50% of the rows instead of 80%" in build_dataset("d", asked, tmp_path, out).notes[0]
    assert note.startswith("valid is empty instead of 10%: all rows have a split already")


def test_a_training_row_that_equals_a_held_out_row_is_dropped(tmp_path, out):
    folder(tmp_path / "mine", train=[line("a", "b"), line("c", "d", category="x")], test=[line("c", "d")])
    stats = build_dataset("d", Dataset(source=Local(path="mine")), tmp_path, out)
    assert (out / "train.jsonl").read_text() == line("a", "b") + "\n"
    assert stats.total.dropped == {"held-out": 1}
    assert not list(verify.data(out, None))


def test_rows_without_a_split_wait_for_a_mix(tmp_path, out):
    (tmp_path / "all.jsonl").write_text("".join(line(f"q {word(n)}", "a") + "\n" for n in range(50)))
    stats = build_dataset("d", Dataset(source=Local(path="all.jsonl"), split="none"), tmp_path, out)
    assert [stats.splits[split].kept for split in ("train", "valid", "test")] == [50, 0, 0]
    assert stats.notes == ()


@pytest.mark.slow
def test_a_flood_of_records_that_are_no_rows_is_given_up_with_a_sentence(tmp_path):
    flood = b"{}\n" * (ingest.MAX_UNREADABLE + 100)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(flood * 10, 1))
    (tmp_path / "out").mkdir()
    spec = Dataset(source=Local(path="rows.jsonl.gz"), unreadable="drop")
    with pytest.raises(DataError, match=r"none of the first 10,000 rows can be read, the others were not tried"):
        build_dataset("d", spec, tmp_path, tmp_path / "out", tmp_path / "lock")
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "rows.jsonl").write_bytes(json.dumps(row).encode() + b"\n" + flood)
    spec = Dataset(source=Local(path="rows.jsonl"), unreadable="drop", split="none")
    stats = build_dataset("d", spec, tmp_path, tmp_path / "out", tmp_path / "lock")
    assert (stats.total.kept, stats.total.seen) == (1, 101 + ingest.MAX_UNREADABLE)


@pytest.mark.parametrize("pattern", ["corpus/*.txt", "corpus/part/*.txt", "corpus/part/?.txt", "corpus/[ab].txt"])
def test_a_pattern_in_reads_is_refused_with_what_to_name_also_behind_a_linked_folder(tmp_path, pattern):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_text("one")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/part").symlink_to(tmp_path / "outside")
    (tmp_path / "out").mkdir()
    program = ("python", "-c", f"print({line('q', 'a')!r})")
    with pytest.raises(DataError, match="`reads` takes files and folders, no patterns: name the folder"):
        build_dataset("d", Dataset(source=Command(argv=program, reads=(pattern,))), tmp_path, tmp_path / "out")
    build_dataset("d", Dataset(source=Command(argv=program, reads=("corpus",))), tmp_path, tmp_path / "out")

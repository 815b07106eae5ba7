from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data import held_out, jsonl
from punie_build.data.audit import audit
from punie_build.data.audit_checks import AuditedRow
from punie_build.data.example import SPLITS, decode_example
from punie_build.data.filters.union import MinMessages, Regex, SampleRows
from punie_build.data.merge import build_mix
from punie_build.data.mix import MixComponent
from punie_build.data.order import Order
from punie_build.data.pipeline import build_dataset, build_stage
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split, SplitOverlap, find_overlaps
from punie_build.data.transforms import StripMarkers

NAMES = "amber birch cedar delta ember flint grove heath inlet joint kayak lemon".split()


def line(question: str, answer: str, **keys: object) -> bytes:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages, **keys}).encode() + b"\n"


def folder(path: Path, **splits: list[bytes]) -> Path:
    path.mkdir(parents=True)
    for split in SPLITS:
        (path / f"{split}.jsonl").write_bytes(b"".join(splits.get(split, [])))
    return path


def rows_of(path: Path, split: str) -> list[bytes]:
    return (path / f"{split}.jsonl").read_bytes().splitlines(keepends=True)


def hashes(path: Path, split: str) -> set[str]:
    return {decode_example(row).content_hash() for row in rows_of(path, split)}


POOL = [line(f"{name} {end}", answer) for name in NAMES for end in ("", "<|im_end|>") for answer in ("one", "two")]
POOL += [line(" ".join(NAMES[start:] * 4), f"{end} done") for start in range(3) for end in ("all", "both", "it")]
SIDES = st.sampled_from(("train", "valid", "test", "none"))
DATASETS = st.tuples(st.booleans(), st.lists(st.tuples(st.sampled_from(POOL), SIDES), min_size=1, max_size=12))
STAGES = st.sampled_from(
    (
        Stage(from_="x", filters=(SampleRows(most=4),)),
        Stage(from_="x", filters=(Regex(drop="amber|birch"),)),
        Stage(from_="x", maps=(StripMarkers(),)),
        Stage(from_="x", filters=(MinMessages(messages=1),)),
    )
)
GROUPS = st.sampled_from(((), ("prompt",), ("prompt", "near-dup")))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stage"), STAGES, st.integers(0, 20)),
        st.tuples(
            st.just("mix"),
            st.tuples(GROUPS, st.integers(0, 3), st.sampled_from((None, 1, 3)), st.sampled_from((0.5, 1.0, 2.0))),
            st.lists(st.integers(0, 20), min_size=1, max_size=3),
        ),
    ),
    min_size=1,
    max_size=6,
)


def near_copies(train: Path, held_out_folders: list[Path], group_by: tuple[str, ...]) -> list[SplitOverlap]:
    """Return the overlaps of the training rows of a folder with held-out rows that `group_by` excludes."""
    rows = [("train", decode_example(row)) for row in rows_of(train, "train")]
    rows += [
        (split, decode_example(row))
        for path in held_out_folders
        for split in SPLITS[1:]
        for row in rows_of(path, split)
    ]
    kinds = {"same"} | ({"template", "prompt"} if "prompt" in group_by else set())
    kinds |= {"near"} if "near-dup" in group_by else set()
    return [overlap for overlap in find_overlaps(lambda: rows) if overlap.how in kinds]


@given(st.lists(DATASETS, min_size=1, max_size=3), STEPS)
def test_a_row_held_back_anywhere_above_is_trained_nowhere_below(datasets, steps):
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        nodes: list[tuple[Path, set[str], bool]] = []  # folder, rows held back in it and above, rows wait for a split

        def node(build, parents: list[int], unsplit: bool) -> None:
            out = root / f"out{len(nodes)}"
            out.mkdir()
            build(out)
            above = set().union(*(nodes[parent][1] for parent in parents))
            held_back = above | hashes(out, "valid") | hashes(out, "test")
            assert not hashes(out, "train") & held_back
            assert set(held_out.read(out)) == held_back
            nodes.append((out, held_back, unsplit))

        for number, (unsplit, pairs) in enumerate(datasets):
            raw = root / f"raw{number}"
            by_split = {side: [row for row, of_side in pairs if of_side in (side, "none")] for side in SPLITS}
            folder(raw, **by_split)
            if unsplit:
                (root / f"raw{number}.jsonl").write_bytes(b"".join(row for row, _ in pairs))
            source = Local(path=f"raw{number}.jsonl" if unsplit else f"raw{number}")
            spec = Dataset(source=source, split="none" if unsplit else Split())
            if by_split["train"] or by_split["valid"] or by_split["test"] or unsplit:
                node(lambda out, spec=spec: build_dataset("d", spec, root, out), [], unsplit)
        for kind, settings, chosen in steps:
            if not nodes:
                break
            if kind == "stage":
                source = chosen % len(nodes)
                node(
                    lambda out, spec=settings, path=nodes[source][0]: build_stage(
                        "s", spec, path, out, allow_empty=True
                    ),
                    [source],
                    nodes[source][2],
                )
                continue
            parents = list(dict.fromkeys(number % len(nodes) for number in chosen))
            group_by, seed, cap, weight = settings
            parts = tuple(MixComponent(name=str(parent), cap=cap, weight=weight) for parent in parents)
            mix = Mix(from_=parts, split=Split(valid=0.3, test=0.2, seed=seed, group_by=group_by), seed=seed)
            unsplit_names = [str(parent) for parent in parents if nodes[parent][2]]
            paths = [nodes[parent][0] for parent in parents]
            node(
                lambda out, mix=mix, paths=paths, names=unsplit_names: build_mix(
                    "m", mix, paths, out, allow_empty=True, unsplit=names
                ),
                parents,
                False,
            )
            with_split = [path for path, name in zip(paths, parents, strict=True) if str(name) not in unsplit_names]
            assert not near_copies(nodes[-1][0], [nodes[-1][0], *with_split], group_by)


def audited(path: Path) -> list[str]:
    def stream():
        for split in SPLITS:
            for lines in jsonl.read_blocks(path / f"{split}.jsonl"):
                for row in lines:
                    yield AuditedRow(split, split, decode_example(row))

    return [finding.problem for finding in audit(stream)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def test_a_mix_keeps_the_split_of_each_row(tmp_path, out):
    a = folder(tmp_path / "a", train=[line("amber", "1")], valid=[line("birch", "2")], test=[line("cedar", "3")])
    b = folder(tmp_path / "b", train=[line("delta", "4"), line("birch", "2")], test=[line("amber", "other")])
    stats = build_mix("m", Mix(from_=("a", "b")), [a, b], out)
    assert rows_of(out, "train") == [line("delta", "4")]
    assert rows_of(out, "valid") == [line("birch", "2")]
    assert set(rows_of(out, "test")) == {line("cedar", "3"), line("amber", "other")}
    assert stats.total.dropped == {"twin": 1, "between": 1}
    assert not [problem for problem in audited(out) if "a training row" in problem]


def test_resplit_divides_all_rows_anew(tmp_path, out):
    a = folder(tmp_path / "a", test=[line(name, "1") for name in NAMES])
    stats = build_mix("m", Mix(from_=("a",), split=Split(valid=0.3), resplit=True), [a], out)
    assert stats.splits["test"].kept == 0
    assert stats.splits["train"].kept > stats.splits["valid"].kept > 0


def test_only_rows_without_a_split_are_split(tmp_path, out):
    a = folder(tmp_path / "a", train=[line(name, "1") for name in NAMES])
    b = folder(tmp_path / "b", train=[line(f"{name} b", "1") for name in NAMES])
    build_mix("m", Mix(from_=("a", "b"), split=Split(valid=0.4)), [a, b], out, unsplit=("b",))
    assert rows_of(out, "valid")
    assert not set(rows_of(out, "valid")) & set(rows_of(a, "train"))


def test_a_held_out_row_that_a_stage_drops_is_not_trained_by_way_of_another_part(tmp_path, out):
    source = folder(tmp_path / "a", train=[line("amber", "1")], test=[line("birch", "2")])
    filtered = tmp_path / "filtered"
    filtered.mkdir()
    build_stage("s", Stage(from_="a", filters=(Regex(drop="birch"),)), source, filtered, allow_empty=True)
    b = folder(tmp_path / "b", train=[line("birch", "2"), line("cedar", "3")])
    stats = build_mix("m", Mix(from_=("a", "b"), split=Split(valid=0.0)), [filtered, b], out)
    assert b"birch" not in (out / "train.jsonl").read_bytes()
    assert stats.total.dropped == {"held-out": 1}


def test_shares_that_rows_with_a_split_decide_are_noted_as_such(tmp_path, out):
    a = folder(tmp_path / "a", test=[line(name, "1") for name in NAMES])
    b = folder(tmp_path / "b", train=[line(f"{name} b", "1") for name in NAMES])
    stats = build_mix("m", Mix(from_=("a", "b")), [a, b], out, unsplit=("b",))
    assert "test has 50% of the rows instead of 0%: 12 rows have a split already and keep it" in stats.notes[0]


@pytest.mark.parametrize("part", [MixComponent(name="a", cap=1), MixComponent(name="a", weight=1e-9)])
def test_a_near_copy_of_a_held_out_row_that_a_cap_leaves_out_is_not_trained(tmp_path, out, part):
    a = folder(tmp_path / "a", test=[line(name, "1") for name in NAMES])
    b = folder(tmp_path / "b", train=[line(name, "2") for name in NAMES] + [line("other", "3")])
    stats = build_mix("m", Mix(from_=(part, "b"), split=Split(valid=0.0)), [a, b], out)
    assert rows_of(out, "train") == [line("other", "3")]
    assert stats.total.dropped == {"between": 12}


def test_parts_that_have_splits_but_no_validation_rows_are_noted(tmp_path, out):
    a = folder(tmp_path / "a", train=[line("amber", "1")])
    stats = build_mix("m", Mix(from_=("a",)), [a], out)
    [note] = stats.notes
    assert note.startswith("valid is empty instead of 10%: all rows have a split already")
    assert "resplit = true" in note


@pytest.mark.parametrize(
    ("order", "answers"),
    [
        (Order(by="length"), ["1", "22", "333", "4444", "55555"]),
        (Order(by="length", descending=True), ["55555", "4444", "333", "22", "1"]),
        (Order(by="key", key="score"), ["333", "22", "1", "55555", "4444"]),
        (Order(by="key", key="score", descending=True), ["55555", "1", "22", "333", "4444"]),
    ],
)
def test_a_mix_keeps_its_training_rows_in_an_order(tmp_path, out, order, answers):
    scores = {1: 3.5, 2: 2, 3: -1, 5: "hard"}
    rows = [
        line(f"{NAMES[n]} {NAMES[n]}"[:10].ljust(10), str(n) * n, **({"score": scores[n]} if n in scores else {}))
        for n in range(1, 6)
    ]
    a = folder(tmp_path / "a", train=rows)
    stats = build_mix("m", Mix(from_=("a",), split=Split(valid=0.0), order=order), [a], out)
    assert [json.loads(row)["messages"][1]["content"] for row in rows_of(out, "train")] == answers
    assert stats.notes == (("1 training rows have no 'score' and come last",) if order.key else ())


def test_a_mix_may_train_on_its_parts_in_turn(tmp_path, out):
    a = folder(tmp_path / "a", train=[line(name, "easy") for name in NAMES])
    b = folder(tmp_path / "b", train=[line(f"{name} b", "hard") for name in NAMES])
    build_mix("m", Mix(from_=("a", "b"), split=Split(valid=0.0), order=Order(by="parts")), [a, b], out)
    assert [b"hard" in row for row in rows_of(out, "train")] == [False] * 12 + [True] * 12


def test_an_order_by_key_needs_the_key():
    with pytest.raises(ValueError, match="names the key"):
        Order(by="key")

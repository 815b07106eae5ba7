"""The short form of power cuts: builds on a disk that is copied without a sync. `tests/kills/power.py` is long."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import build, state
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, paths, store
from tests.support import cut_disk
from tests.support.text_tasks import text_task, with_step

MEMORY = "data/s.splits.lock"


def step(work: Work) -> StepResult:
    text = (work.root / "raw.txt").read_text()
    (work.out / "deep").mkdir()
    for name in ("a", "b", "deep/c"):
        (work.out / name).write_text(f"{name} {text}\n" * 1000)
    (work.out / paths.SPLITS_LOCK).write_text(f"{text}\n" * 1000)
    return StepResult("built")


TASK = with_step(structs.replace(text_task("s", inputs=("raw.txt", MEMORY)), remembers=MEMORY), step)


@pytest.mark.slow
def test_what_a_build_has_published_outlives_a_power_cut(tmp_path, monkeypatch):
    monkeypatch.setenv("PUNIE_BUILD_SYNC", "1")
    try:
        with cut_disk.disk(tmp_path, 16) as root:
            build_text(root, "one")
            build_text(root, "two")
            (root / "never synced").write_text("lost")
            image = cut_disk.cut(tmp_path)
    except cut_disk.NoDiskError as error:
        pytest.skip(f"needs the right to mount: {error}")
    with cut_disk.mounted(image) as root:
        assert not (root / "never synced").exists() or not (root / "never synced").read_bytes()
        digests._memory.clear()
        (root / "raw.txt").write_text("two")
        assert state.state(root, TASK) == "current"
        assert (root / MEMORY).read_text() == "two\n" * 1000
        assert [*store.verify(root)] == []
        (root / "raw.txt").write_text("one")
        (root / MEMORY).unlink()
        assert build.build(root, TASK).action == "restored"
    digests._memory.clear()


def build_text(root: Path, text: str) -> None:
    (root / "raw.txt").write_text(text)
    assert build.build(root, TASK).action == "ran"


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"one\none\non", b"one\none\n\0\0"])
@pytest.mark.parametrize("source", ["store", "target"])
def test_a_torn_memory_is_written_again_as_it_was(tmp_path, capsys, torn, source):
    build_text(tmp_path, "one")
    whole = (tmp_path / MEMORY).read_bytes()
    (tmp_path / MEMORY).write_bytes(torn)
    shutil.rmtree(tmp_path / ("data/s" if source == "store" else ".punie/store"))
    assert build.build(tmp_path, TASK).action == ("restored" if source == "store" else "current")
    assert (tmp_path / MEMORY).read_bytes() == whole
    assert f"{MEMORY}: torn, most likely by a power cut - written again as it was" in capsys.readouterr().out


@pytest.mark.parametrize("edited", [b"one\n", b"two", b"two\n"])
def test_an_edited_memory_is_left_as_it_is(tmp_path, edited):
    build_text(tmp_path, "one")
    (tmp_path / MEMORY).write_bytes(edited)
    seen = []

    def observe(work: Work) -> StepResult:
        seen.append((work.root / MEMORY).read_bytes())
        return step(work)

    build.build(tmp_path, with_step(TASK, observe))
    assert seen == [edited]


def test_a_checkout_without_the_memory_finds_what_was_built_without_it(tmp_path):
    build_text(tmp_path, "one")
    whole = (tmp_path / MEMORY).read_bytes()
    for path in (tmp_path / "data").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert build.build(tmp_path, TASK).action == "restored"
    assert (tmp_path / MEMORY).read_bytes() == whole
    assert state.state(tmp_path, TASK) == "current"

"""The cache of completions: its lines keep their bytes, and an incomplete line is skipped."""

from __future__ import annotations

from punie_build.evaluation.canary import CanaryNoise
from punie_build.evaluation.completion import Completion
from punie_build.evaluation.response_cache import ResponseCache

ONE, TWO = (Completion(token_ids=[n], logprobs=[-0.5], content=str(n)) for n in (1, 2))


def test_cache_lines_keep_their_bytes(tmp_path):
    cache = ResponseCache(tmp_path / "x.jsonl")
    cache.add("k", Completion(token_ids=[7], logprobs=[-0.5], content="a", calls=[("look", "{}")], finish="length"))
    cache.add_canaries([[(1, -0.5)]], [[(2, -0.25)]])
    assert [line.rpartition(b',"digest"')[0] + b"}" for line in cache.path.read_bytes().splitlines()] == [
        (
            b'{"key":"k","said":{"ids":[7],"logprobs":[-0.5],"content":"a","reasoning":"","calls":[["look","{}"]],'
            b'"finish":"length","seconds":null}}'
        ),
        b'{"arm":[[[1,-0.5]]],"base":[[[2,-0.25]]]}',
    ]
    other = ResponseCache(cache.path)
    assert (other.completions, other.canaries) == (cache.completions, ([[(1, -0.5)]], [[(2, -0.25)]]))


def test_an_incomplete_line_is_skipped_and_the_next_line_is_complete(tmp_path):
    path = tmp_path / "answers" / "x.jsonl"
    cache = ResponseCache(path)
    cache.add("one", ONE)
    with path.open("ab") as file:
        file.write(b'{"key": "torn", "said": {"ids": [3')
    assert ResponseCache(path).completions == {"one": ONE}
    ResponseCache(path).add("two", TWO)
    assert ResponseCache(path).completions == {"one": ONE, "two": TWO}
    cache.refresh()
    assert cache.completions == {"one": ONE, "two": TWO}
    assert ResponseCache(path, skip_existing=True).completions == {}


def test_a_line_that_was_changed_by_hand_is_asked_again(tmp_path):
    cache = ResponseCache(tmp_path / "x.jsonl")
    cache.add("one", ONE)
    cache.add("two", TWO)
    cache.add_canaries([[(1, -0.5)]], [[(2, -0.25)]], CanaryNoise(nats=1e-4, certain=(1,)))
    read = ResponseCache(cache.path)
    assert (read.completions, read.noise, read.changed_lines) == (cache.completions, cache.noise, 0)
    text = cache.path.read_text()
    cache.path.write_text(text.replace('"content":"2"', '"content":"3"').replace("-0.25", "-0.5"))
    read = ResponseCache(cache.path)
    assert (read.completions, read.canaries, read.changed_lines) == ({"one": ONE}, None, 2)
    cache.path.write_text('{"key":"k","said":{"ids":[7],"logprobs":[-0.5]}}\n')
    assert ResponseCache(cache.path).changed_lines == 1, "a line without a digest"


def test_new_lines_can_be_discarded(tmp_path):
    ResponseCache(tmp_path / "x.jsonl").add("one", ONE)
    cache = ResponseCache(tmp_path / "x.jsonl")
    cache.add("two", TWO)
    cache.discard_new()
    assert cache.completions == {}
    assert ResponseCache(cache.path).completions == {"one": ONE}

"""The cache of completions: its lines keep their bytes, and an incomplete line is skipped."""

from __future__ import annotations

from punie_build.evaluation.completion import Completion
from punie_build.evaluation.response_cache import ResponseCache

ONE, TWO = (Completion(token_ids=[n], logprobs=[-0.5], content=str(n)) for n in (1, 2))


def test_cache_lines_keep_their_bytes(tmp_path):
    cache = ResponseCache(tmp_path / "x.jsonl")
    cache.add("k", Completion(token_ids=[7], logprobs=[-0.5], content="a", calls=[("look", "{}")], finish="length"))
    cache.add_canaries([[(1, -0.5)]], [[(2, -0.25)]])
    assert cache.path.read_bytes().splitlines() == [
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

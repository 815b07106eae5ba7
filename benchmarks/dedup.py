"""Near and exact duplicates: texts per CPU second, with recall, compared with other packages where installed.

    ./run python benchmarks/dedup.py                    # punie-build
    PYTHONPATH=. python benchmarks/dedup.py --peers     # ... and datasketch and rensa, in a temporary environment
    ./run python benchmarks/dedup.py --documents 100000 # another size

The documents are conversations of the synthetic dataset, a few in each, extended by words drawn from them (about 1 KB).
5 % are followed later by a copy with some words replaced. Each engine runs in a process of its own, and each run
normalizes and shingles the same texts again; the best of three counts. Recall is the found share of the planted pairs
with an index of 0.8 or more.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

from punie_build.data.minhash import NearDuplicates
from punie_build.data.shingles import normalize, text_hash
from punie_build.data.synthetic.generator import sample

THRESHOLD, SHINGLE, PERMUTATIONS = 0.8, 5, 128
Pairs = set[tuple[int, int]]


def conversations(count: int) -> list[str]:
    """What user and assistant say in the first examples of the synthetic set."""
    return [
        " ".join(message["content"] for message in sample(1, index)["messages"][1:] if message.get("content"))
        for index in range(count)
    ]


def documents(count: int) -> tuple[list[str], Pairs]:
    """(`count` texts, the planted pairs): 5 % of the texts are a copy of an earlier one, 1 to 6 words replaced."""
    r = Random(7)
    said = conversations(4000)
    vocabulary = [word for text in said for word in text.split() if word.isascii()]  # as often as they are used
    texts: list[str] = []
    planted: Pairs = set()
    while len(texts) < count:
        if texts and r.random() < 0.05:
            source = r.randrange(len(texts))
            words = texts[source].split(" ")
            for _ in range(r.randint(1, 6)):
                words[r.randrange(len(words))] = r.choice(vocabulary)
            planted.add((source, len(texts)))
            texts.append(" ".join(words))
        else:
            parts = [r.choice(said) for _ in range(3)] + r.choices(vocabulary, k=r.randint(80, 200))
            r.shuffle(parts)
            texts.append("\n".join([parts[0], " ".join(parts[1:])]))
    return texts, planted


def shingled(text: str) -> set[str]:
    words = normalize(text).split()
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(len(words) - SHINGLE + 1, 1))}


def index(one: str, other: str) -> float:
    a, b = shingled(one), shingled(other)
    return len(a & b) / len(a | b)


def ours(texts: list[str]) -> Iterator[tuple[int, int]]:
    near = NearDuplicates(THRESHOLD, SHINGLE)
    for text in texts:
        near.add(normalize(text))
    return ((i, j) for i, j, _ in near.pairs(map(normalize, texts)))


def exact(texts: list[str]) -> Iterator[tuple[int, int]]:
    first: dict[bytes, int] = {}
    return (
        (at, place) for place, text in enumerate(texts) if (at := first.setdefault(text_hash(text), place)) != place
    )


def datasketch(texts: list[str]) -> Iterator[tuple[int, int]]:
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    every = MinHash.bulk([[part.encode() for part in shingled(text)] for text in texts], num_perm=PERMUTATIONS)
    for place, minhash in enumerate(every):
        yield from ((at, place) for at in lsh.query(minhash))
        lsh.insert(place, minhash)


def rensa(texts: list[str]) -> Iterator[tuple[int, int]]:
    from rensa import RMinHash, RMinHashLSH

    lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    for place, text in enumerate(texts):
        minhash = RMinHash(num_perm=PERMUTATIONS, seed=42)
        minhash.update(list(shingled(text)))
        yield from ((at, place) for at in lsh.query(minhash))
        lsh.insert(place, minhash)


ENGINES: dict[str, Callable[[list[str]], Iterator[tuple[int, int]]]] = {
    each.__name__: each for each in (ours, exact, datasketch, rensa)
}


def measure(name: str, count: int) -> None:
    """One engine, best of three; prints a row of the table."""
    texts, planted = documents(count)
    size, best = sum(len(text.encode()) for text in texts) / 1e6, float("inf")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        started = time.process_time()
        found = set(ENGINES[name](texts))
        best = min(best, time.process_time() - started)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    near = {pair for pair in planted if index(texts[pair[0]], texts[pair[1]]) >= THRESHOLD}
    wrong = sum(index(texts[i], texts[j]) < THRESHOLD for i, j in found)
    recall = "-" if name == "exact" else f"{len(near & found) / len(near):.3f} of {len(near)}"
    print(
        f"| {name} | {count / best:,.0f} | {size / best:.1f} | {recall} | {wrong} of {len(found)} | {memory:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--engine", choices=ENGINES)
    asked = parser.parse_args()
    if asked.engine:
        measure(asked.engine, asked.documents)
        return
    texts, _ = documents(asked.documents)
    print(f"{len(texts):,} documents, {sum(len(text.encode()) for text in texts) / 1e6:.1f} MB\n")
    print(
        "| engine | documents / cpu-s | MB / cpu-s | recall | pairs below 0.8 | MB more memory |\n"
        "|---|---|---|---|---|---|"
    )
    for name in ENGINES if asked.peers else ("ours", "exact"):
        again = [sys.executable, __file__, "--engine", name, "--documents", str(asked.documents)]
        sys.stdout.flush()
        subprocess.run(again, check=True)


if __name__ == "__main__":
    main()

"""The files of an answers folder: `answers.jsonl`, an Answer on each line, and `proof.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.spec import GenerationSpec

_decode_lines = msgspec.json.Decoder(Answer).decode_lines


class Proof(Struct, frozen=True, kw_only=True):
    """`proof.json`: the weights that gave the answers, by the fingerprints of their canary and of the base's canary.

    `errors` counts the requests without a completion, `parse_failures` the answers with malformed tool calls.
    """

    arm: str
    canary: str
    base_canary: str
    errors: int = 0
    parse_failures: int = 0


def write(folder: Path, answers: Sequence[Answer], proof: Proof) -> None:
    """Write both files."""
    (folder / "answers.jsonl").write_bytes(b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))
    (folder / "proof.json").write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n")


def rename(folder: Path, spec: GenerationSpec) -> None:
    """Give answers that were asked under another name the arm of a spec, whose weights gave them."""
    proof = structs.replace(read_proof(folder), arm=spec.arm)
    write(folder, read_answers(folder), proof)


def read_answers(folder: Path) -> list[Answer]:
    """Return all answers: case by case, and each case epoch by epoch."""
    return _decode_lines((folder / "answers.jsonl").read_bytes())


def read_proof(folder: Path) -> Proof:
    """Return the proof."""
    return msgspec.json.decode((folder / "proof.json").read_bytes(), type=Proof)

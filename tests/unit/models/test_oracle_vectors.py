"""What is trained of a turn, held against independent packages: `python -m benchmarks.oracle_table --vectors FILE`.

The packages are in the extra `oracles`. docs/templates.md says of each kind of difference who is right, and why.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import oracle_table
from punie_build.models.dropped_parts import DroppedParts
from punie_build.models.served_template import ChatTemplate
from tests.support.template_families import FAMILIES, FamilyTokenizer

VECTORS = json.loads(Path(__file__).with_name("oracle_vectors.json").read_text())
EMPTY_THOUGHT = "<think></think>"
OTHERWISE = {  # family -> what its oracle trains otherwise: docs/templates.md says why
    "MiniMax": lambda text: f"</think>{text}",  # the package leaves the thought open that the prompt opens
    "Qwen3": lambda text: text.removeprefix(EMPTY_THOUGHT),  # the template gives one to the last turn only
    "DeepSeek V3": lambda text: text.replace("<｜endofsentence｜>", "<|eos|>"),  # the name in our small template
}


@pytest.mark.parametrize("family", VECTORS)
def test_the_trained_text_of_a_turn_is_that_of_an_oracle(family):
    """Of calls, whose syntax the small templates do not write in full, the end is compared."""
    template, compared = ChatTemplate(FamilyTokenizer(FAMILIES[family])), 0
    otherwise = OTHERWISE.get(family, str)
    for case, theirs in VECTORS[family].items():
        messages, tools = oracle_table.CASES[case]
        if DroppedParts(template).of(messages, tools).get("thought"):
            continue  # the small template has no thoughts
        for (text, turn), oracle in zip(template.render(messages, tools).turns(), theirs, strict=True):
            ours, end = bare(text.text[turn.start : turn.end]), bare(text.text[turn.stop : turn.end])
            variants = {oracle, otherwise(oracle)}
            if messages[turn.message].get("tool_calls"):
                assert any(variant.endswith(end) for variant in variants)
                continue
            prompt = bare(text.prompt(turn))[-40:]
            tails = [prompt[start:] for start in range(len(prompt))]  # which an oracle trains, though the prompt has it
            assert ours in {
                *variants,
                *(variant + end for variant in variants),
                *(oracle.removeprefix(tail) for tail in tails),
            }
            compared += 1
    assert compared >= 4


@pytest.mark.filterwarnings("ignore")  # of the packages
@pytest.mark.parametrize("family", VECTORS)
def test_the_vectors_are_those_of_the_installed_oracles(family):
    kind = oracle_table.FAMILIES[family][0]
    package = {"harmony": "openai_harmony", "v3": "mistral_common", "tekken": "mistral_common"}.get(kind, "renderers")
    pytest.importorskip(package, reason=f"{package} is in the extra `oracles`: pip install punie-build[oracles]")
    if kind == "harmony" and "TIKTOKEN_ENCODINGS_BASE" not in os.environ:
        pytest.skip("TIKTOKEN_ENCODINGS_BASE names no folder with o200k_base.tiktoken, which openai-harmony reads")
    assert oracle_table.vectors(family) == VECTORS[family]


def bare(text: str) -> str:
    return "".join(text.split())

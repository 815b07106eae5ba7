from __future__ import annotations

import msgspec

from punie_build.evaluation.spec import Comparison, Eval, GenerationSpec, generation_spec
from punie_build.schema.spec import Spec, canonical

SAMPLING = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "repetition_context_size": 20,
    "stop": [],
}
SERVING = {
    "chat_template_args": {},
    "draft": None,
    "draft_tokens": 3,
    "kv_bits": None,
    "kv_group_size": 64,
    "quantized_kv_start": 5000,
    "max_kv_size": None,
    "prompt_cache_size": 10,
    "prompt_cache_bytes": None,
}
SETTINGS = {
    "suite": "s",
    "max_tokens": 256,
    "max_thought_tokens": 0,
    "epochs": 1,
    "engine": "server",
    "sampling": SAMPLING,
    "serving": SERVING,
    "concurrency": 4,
    "timeout": 300.0,
    "measure": False,
    "description": "",
}
REQUIRE = {
    "min_strict": {},
    "max_irrelevant_calls": None,
    "min_parse_rate": None,
    "max_errors": None,
    "no_regression": None,
    "parity": None,
}


def encoded(spec: Spec) -> object:
    return msgspec.json.decode(canonical(spec))


def test_the_encoded_fields_of_specs_enter_keys_and_stay():
    assert encoded(GenerationSpec(arm="a", suite="s")) == SETTINGS | {"arm": "a"}
    assert encoded(Eval(arm="a", suite="s")) == SETTINGS | {"arm": "a", "require": REQUIRE, "gates": []}
    compared = {"arms": ["a", "b"], "margin": 0.05, "parity": False, "require": REQUIRE, "gates": []}
    assert encoded(Comparison(arms=("a", "b"), suite="s")) == SETTINGS | compared


def test_an_eval_and_a_comparison_generate_the_same_answers():
    comparison = Comparison(arms=("a", "b"), suite="s", max_tokens=64, description="two arms")
    single = Eval(arm="b", suite="s", max_tokens=64, description="one arm")
    assert (
        comparison.generation_spec("b") == generation_spec(single) == GenerationSpec(arm="b", suite="s", max_tokens=64)
    )
    assert comparison.generation_spec("b").name == "b@s@max_tokens-64"

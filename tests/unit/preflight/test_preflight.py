"""Preflight: every failure of the list in docs/gates.md that can be known before a training is found there, made of our own data."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from mlx_lm.tokenizer_utils import load as load_tokenizer

from punie_build.data import audit
from punie_build.errors import RecipeError
from punie_build.export.spec import Model
from punie_build.models.architecture import anatomy
from punie_build.preflight import config_checks, model_checks, resources, row_checks
from punie_build.preflight.config_checks import TrainingPlan
from punie_build.preflight.finding import PreflightFinding, not_allowed
from punie_build.preflight.rendered_rows import RenderedRows
from punie_build.preflight.resources import Resources
from punie_build.preflight.result import SuitePrompts
from punie_build.recipes.loader import load
from punie_build.storage import paths
from punie_build.training.batch_sampler import Coverage
from punie_build.training.spec import PREFLIGHT_CHECKS, Adapter, Lora
from punie_build.training.token_file import TokenStats
from tests.support.doit_runner import doit, ran

ROOT = Path(__file__).parents[3]
SYSTEM = "You are a coding agent."
READ = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}  # fmt: skip
WAIT = {"type": "function", "function": {"name": "wait", "parameters": {"type": "object", "properties": {}}}}


def message(role: str, content: str | None = "", *calls: tuple[str, dict]) -> dict:
    made = {"role": role, "content": content}
    if calls:
        some = [{"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}} for n, (name, arguments) in enumerate(calls)]  # fmt: skip
        made["tool_calls"] = some
    return made


def word(number: int, place: str) -> str:
    """Letters that no other row has there: rows that differ in numbers alone count as one."""
    return "".join(chr(97 + int(digit, 16)) for digit in hashlib.md5(f"{number}{place}".encode()).hexdigest()[:8])


def row(number: int, **changed: object) -> dict:
    """A conversation with a call that is fine in every way. `words` stand before the call, `answer` at the end."""
    has = {"system": SYSTEM, "ask": f"{word(number, 'ask')} {word(number, 'about')} {word(number, 'why')}?", "words": "", "result": word(number, "result"),
           "answer": f"{word(number, 'answer')} {word(number, 'as')} {word(number, 'said')}.", "call": ("read_file", {"path": word(number, "path")}), **changed}  # fmt: skip
    result = {"role": "tool", "tool_call_id": "c0", "content": has["result"]}
    turns = [message("system", has["system"]), message("user", has["ask"])]
    if has["call"]:
        turns += [message("assistant", has["words"], has["call"]), result]
    turns += [message("assistant", has["answer"])] if has["answer"] is not None else []
    return {"messages": turns, "tools": has.get("tools", [READ, WAIT])}


def good(count: int, start: int = 0, **changed: object) -> list[dict]:
    return [row(start + number, **changed) for number in range(count)]


class Base:
    """nano's tokenizer, with a template of the case's own where it wants one."""

    tokenizer = load_tokenizer(paths.nano())


SUITES = {"asked": SuitePrompts(SYSTEM, ("Please read the file called settings.toml and tell me its port",))}


def found(
    folder: Path, train: list[dict], valid: list[dict] | None = None, test: list[dict] | None = None, **more
) -> dict[str, PreflightFinding]:
    """What a look at these rows finds, by look."""
    for split, some in (("train", train), ("valid", valid or good(4, 900)), ("test", test or [])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in some))
    suites = more.get("suites", SUITES)
    looked = RenderedRows(folder, "data/x", more.get("tokenizer", Base.tokenizer), suites, mixed=False)
    return {
        finding.check: finding for finding in not_allowed(row_checks.check(looked), ())[::-1]
    }  # the worst of each look


XML = "<tool_call><function=read_file><parameter=path>a.py</parameter></function></tool_call>"
JSON = '<tool_call>{"name": "read_file", "arguments": {"path": "a.py"}}</tool_call>'
OF_ROWS = {  # row of the list -> (rows, what is found, its level)
    "2 a suite's system prompt is in no row": ({"train": good(20, system="Be brief.")}, "eval-system", "error"),
    "2 a suite's system prompt is in few rows": ({"train": good(19, system="Be brief.") + good(4, 50)}, "eval-system", "warning"),
    "11 validation rows are in training": ({"train": good(20), "valid": good(2, 5) + good(4, 800)}, "leakage", "error"),
    "11 a test row asks what training asks": ({"train": good(20), "test": [row(800, ask=row(3)["messages"][1]["content"])]}, "leakage", "warning"),
    "11 training asks what a suite asks": ({"train": [*good(20), row(70, ask=SUITES["asked"].prompts[0])]}, "leakage", "error"),
    "11 duplicates": ({"train": good(20) + good(3)}, "duplicates", "warning"),
    "12 preambles with one tool and none with another": ({"train": good(12, words="Let me see.") + good(12, 50, call=("wait", {}))}, "preambles", "warning"),
    "13 calls in the text, in a markup the base does not have": ({"train": good(20, call=None, answer=XML)}, "parser", "error"),
    "13 two formats of calls in one set": ({"train": good(20) + good(10, 50, call=None, answer=JSON)}, "formats", "error"),
    "25 template tokens in what is said": ({"train": [*good(20), row(70, answer="Done.<|endoftext|>")]}, "markers", "error"),
    "25 the base's own marks in what is said": ({"train": [*good(20), row(70, result="<tool_response>x")]}, "markers", "error"),
    "several system prompts": ({"train": good(12) + good(10, 50, system="Be brief.")}, "systems", "warning"),
    "placeholder results": ({"train": good(20, result="...")}, "placeholders", "warning"),
    "no answer at the end": ({"train": [*good(20), row(70, answer=None)]}, "turns", "warning"),
    "calls that do not fit their tools": ({"train": good(20, call=("fly", {}))}, "calls", "warning"),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_ROWS)
def test_a_failure_that_the_rows_show_is_found(case, tmp_path):
    some, look, level = OF_ROWS[case]
    seen = found(tmp_path, **some)
    assert look in seen, seen
    assert seen[look].level == level
    assert seen[look].where == "data/x"
    assert 0 < seen[look].share <= 1


def test_good_rows_are_left_alone(tmp_path):
    assert found(tmp_path, train=good(30)) == {}


def test_calls_that_are_text_in_the_base_s_own_form_are_read(tmp_path):
    assert "parser" not in found(tmp_path, train=good(20, call=None, answer=JSON))


@pytest.mark.parametrize(
    ("template", "look"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}", "tools"),
        ("{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}", "template"),
    ],
)  # fmt: skip
def test_a_template_that_lacks_tools_is_no_base_for_rows_with_tools(tmp_path, template, look):
    base = tmp_path / "base"
    shutil.copytree(paths.nano(), base, ignore=shutil.ignore_patterns("*.py", "*.safetensors"))
    (base / "chat_template.jinja").write_text(template)
    seen = found(tmp_path, train=good(12), tokenizer=load_tokenizer(base))
    assert seen[look].level == "error"


NANO = anatomy(paths.nano())


def subject(base=NANO, tokens=None, seen=None, free=10**12, memory=10**12, known=500, **spec) -> TrainingPlan:
    return TrainingPlan(
        where="recipes/a.toml: adapter.v1",
        tokens_target="data/x@nano",
        spec=Adapter(base="nano", data="x", **spec),
        base=base,
        rows=known,
        tokens=msgspec.convert(tokens, TokenStats) if tokens else None,
        coverage=seen,
        resources=Resources(disk=free, memory=memory, cpu=True),
    )


def like(**changed: object):
    return msgspec.structs.replace(NANO, **changed)


OF_RECIPES = {  # what is asked -> (the training, look, level, what the line says)
    "5 more layers than there are": ({"num_layers": 9}, "layers", "error", "num_layers: 9, and nano has 4 layers"),
    "10 a rank above every width": ({"lora": Lora(rank=300)}, "rank", "error", "lora.rank: 300"),
    "10 a rank above some widths": ({"lora": Lora(rank=200)}, "rank", "warning", "is 128 wide"),
    "10 keys that no module has": ({"lora": Lora(keys=("self_attn.q_prj",))}, "keys", "error", "did you mean 'self_attn.q_proj'?"),
    "a batch above the set": ({"batch_size": 64, "known": 40}, "batch", "error", "batch_size: 64, and x has 40 training rows"),
    "a base that cannot chat": ({"base": like(template="")}, "base", "error", "no chat template"),
    "14 marks a model writes are cut into pieces": ({"base": like(tokens=NANO.tokens - {"<tool_call>"})}, "delimiters", "error", "writes <tool_call>"),
    "14 marks a model reads are cut into pieces": ({"base": like(template=NANO.template + "<tool_response>", tokens=NANO.tokens - {"<tool_response>"})}, "delimiters", "warning", "<tool_response>"),
    "19 less than an epoch, guessed": ({"iters": 100, "batch_size": 1}, "epochs", "warning", "100 iterations are 0.20 epochs: 80% of 500"),
    "19 less than an epoch, counted": ({"tokens": {}, "seen": Coverage(iters=300, updates=75, epochs=0.69, tokens=9, padding=0.1)}, "epochs", "warning", "300 iterations are 0.69 epochs"),
    "21 no room on the disk": ({"free": 10**6}, "disk", "error", "need about"),
    "23 not enough memory for the weights": ({"memory": 10**7}, "memory", "error", "needs roughly"),
    "23 not enough memory for a batch": ({"memory": 10**9, "batch_size": 64}, "memory", "warning", "needs roughly"),
    "rows that are cut off": ({"tokens": {"train": {"rows": 90, "cut": 9, "longest": 3000}}}, "too-long", "warning", "3000 keeps them complete"),
    "rows with nothing to learn": ({"tokens": {"train": {"rows": 90, "mute": 9}}}, "turns", "warning", "9 of 99 training rows"),
    "next to nothing to learn": ({"tokens": {"train": {"rows": 9, "mute": 90}}}, "turns", "error", "90 of 99 training rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_RECIPES)
def test_a_failure_that_recipes_bases_and_locks_show_is_found(case):
    asked, look, level, words = OF_RECIPES[case]
    seen = {finding.check: finding for finding in config_checks.check(subject(**asked))}
    assert seen[look].level == level
    assert words in str(seen[look])


def test_a_good_training_and_one_of_which_nothing_is_known_have_no_findings():
    assert config_checks.check(subject()) == []
    assert config_checks.check(TrainingPlan(where="r", spec=Adapter(base="b", data="d", num_layers=99))) == []


@pytest.mark.parametrize(
    ("spec", "look", "level"),
    [
        (Model(base="nano", bits=4), None, None),
        (Model(base="nano", bits=4, group_size=128), None, None),
        (Model(base="nano", bits=16, gguf=True), "bits", "error"),
    ],
)
def test_what_a_model_cannot_be_is_found(spec, look, level):
    seen = model_checks.check("recipes/a.toml: model.m", spec, paths.nano(), Resources(disk=10**12, memory=0, cpu=True))
    assert [(each.check, each.level) for each in seen] == ([(look, level)] if look else [])
    [full] = model_checks.check("r", Model(base="nano", bits=4), paths.nano(), Resources(disk=10, memory=0, cpu=True))
    assert (full.check, full.level) == ("disk", "error")


@pytest.mark.parametrize(("widths", "level"), [((256, 100), "warning"), ((100, 100), "error"), ((256, 128), None)])
def test_weights_that_a_group_does_not_divide_are_found(widths, level):
    base = like(modules={"a": (64, widths[0]), "b": (64, widths[1])})
    room_ = Resources(disk=10**12, memory=0, cpu=True)
    it = model_checks.ModelPlan(
        where="r", spec=Model(base="b", bits=4, group_size=64), folder=paths.nano(), base=base, resources=room_
    )
    assert [each.level for each in model_checks.groups(it)] == ([level] if level else [])


def test_a_recipe_allows_a_look_or_bounds_it():
    some = [PreflightFinding(check="leakage", level="warning", where="w", problem="a", advice="b", share=0.02)]
    some += [PreflightFinding(check="rank", level="error", where="w", problem="a", advice="b")]
    assert [each.check for each in not_allowed(some, ())] == ["rank", "leakage"]
    assert [each.check for each in not_allowed(some, ("rank",))] == ["leakage"]
    assert not_allowed(some, {"leakage": 0.02, "rank": 1.0}) == []
    assert [each.check for each in not_allowed(some, {"leakage": 0.01, "rank": 1.0})] == ["leakage"]


def test_a_look_that_is_not_one_is_a_mistake_of_the_recipe(recipes):
    root = recipes(
        '[dataset.d]\nsource = { type = "sample" }\n[adapter.v]\nbase = "nano"\ndata = "d"\nallow = ["leakge"]'
    )
    with pytest.raises(RecipeError, match="allow: no check is called 'leakge' - did you mean 'leakage'"):
        load(root)


def test_every_look_has_its_name_and_every_finding_of_an_audit_its_look():
    known = {what for what, _, _ in audit.LOOKS}
    assert {what for what in row_checks.AUDIT_CHECKS if what != "rows that say what another says"} <= known
    named = {look for _, look, _ in OF_ROWS.values()} | {look for _, look, _, _ in OF_RECIPES.values()}
    assert named | {"tools", "template", "bits", "expect"} == set(PREFLIGHT_CHECKS)


def test_the_estimate_of_memory_grows_with_what_takes_it():
    spec = Adapter(base="nano", data="x")
    base = resources.training_bytes(spec, NANO, 512)
    for change in ({"batch_size": 8}, {"lora": Lora(rank=64)}, {"fine_tune_type": "full"}):
        assert resources.training_bytes(msgspec.structs.replace(spec, **change), NANO, 512) > base
    assert resources.training_bytes(msgspec.structs.replace(spec, grad_checkpoint=True), NANO, 512) < base
    assert resources.training_bytes(spec, NANO, 4096) == resources.training_bytes(spec, NANO, 2048)


RECIPE = """
[dataset.mine]
source = { type = "local", path = "raw" }

[adapter.v1]
base = "nano"
data = "mine"
iters = 2
steps_per_eval = 2
num_layers = 9

[adapter.v2]
base = "nano"
data = "mine"
iters = 30
steps_per_eval = 30
batch_size = 8
"""


def plan(project: Path, *targets: str, code: int) -> str:
    words = [sys.executable, "-c", "from punie_build.cli.main import main; main()", "plan", *targets]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_plan_tells_all_before_the_first_minute_and_the_build_stops_before_training(tmp_path):
    for folder in ("recipes", "raw"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "dodo.py", tmp_path)
    recipe = tmp_path / "recipes" / "a.toml"
    recipe.write_text(RECIPE)
    leaking = {"train": good(40), "valid": good(2) + good(6, 800)}
    for split, some in leaking.items():
        (tmp_path / "raw" / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in some))
    said = plan(tmp_path, code=2)
    assert "error[layers] recipes/a.toml: adapter.v1.num_layers: 9, and nano has 4 layers - at most 4" in said
    assert "not checked, because not built yet: data/mine" in said
    doit(tmp_path, "dataset:mine")
    said = plan(tmp_path, code=2)
    assert (
        "error[leakage] data/mine: held-back rows that training has word for word: 2 of 8 (first valid.jsonl:1" in said
    )
    assert said.count("error[leakage]") == 1, "both adapters learn these rows"
    assert "2 errors" in said
    assert {path.name for path in (tmp_path / "data").iterdir() if path.is_dir()} == {"mine"}, "a plan builds nothing"
    said = doit(tmp_path, "--continue", "adapter:v1", "adapter:v2", code=1)
    assert "restored from the store" in said, "the look of the plan serves the build"
    assert "adapter.v1.num_layers: 9" in said
    assert 'allow = ["layers", "leakage"]' in said
    assert not (tmp_path / "adapters").exists()
    said = plan(tmp_path, code=2)
    assert "batches, 30 updates" in said, "the tokens are there by now"
    recipe.write_text(
        RECIPE.replace("batch_size = 8", "batch_size = 8\nallow = { leakage = 0.3 }").replace(
            "num_layers = 9", "allow = ['leakage']"
        )
    )
    assert "errors" not in plan(tmp_path, code=1)
    assert "adapter:v1" in ran(doit(tmp_path, "adapter:v1"))
    recipe.write_text(recipe.read_text().replace("allow = ['leakage']", ""))
    assert ran(doit(tmp_path, "adapter:v1")) == set(), "what is allowed is no part of what is trained"

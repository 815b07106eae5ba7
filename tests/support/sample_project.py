"""A project with every kind of artifact, made in a second: its data is real, training and asking are played."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
from punie_build.artifacts.steps import steps

from punie_build.data.example import ToolCall
from punie_build.engine import build, state
from punie_build.engine.build import Made, Work
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.checks.union import Answer
from punie_build.preflight.finding import PreflightFinding
from punie_build.preflight.result import PreflightResult, RowFacts
from punie_build.recipes.loader import load
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Lock
from punie_build.training import history, token_file
from punie_build.training.tokenization import Tokens

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 240 }
description = "synthetic editor conversations"

[stage.english]
from = "sample"
filters = [{ type = "language", languages = ["en"] }, { type = "python-version", min = "3.10" }, { type = "ends-with-assistant" }]

[mix.all]
from = ["english", { name = "hand-authored", weight = 2.0 }]
split = { valid = 0.1 }

[adapter.tuned]
base = "nano"
data = "all"
iters = 300
learning_rate = 1e-3
warmup = 30
lora = { rank = 16 }
gates = [{ metric = "valid_loss", max = 0.6 }]

[adapter.gentle]
base = "nano"
data = "all"
iters = 300
learning_rate = 2e-4

[comparison.tuned]
arms = ["nano", "gentle", "tuned"]
suite = "tool-calling"
gates = [{ metric = "tuned.low", min = 0.0 }, { metric = "tuned.share", min = 0.9 }]
"""


GRID = """
[adapter.sweep]
base = "nano"
data = "all"
iters = 300
learning_rate = [1e-4, 3e-4, 1e-3]
lora = { rank = [8, 16] }
seed = [0, 1]
best = 1

[model.small]
adapter = "tuned"
bits = 4
group_size = 32
"""
CANARIES = {"nano": "198aad66099a", "gentle": "77f0c2d9e1b4", "tuned": "c403ab447463"}


def tokens(work: Work) -> Made:
    """Tokens of made-up lengths, one row for each real row."""
    stats = {}
    for side in ("train", "valid"):
        lines = (work.root / work.task.inputs[0] / f"{side}.jsonl").read_bytes().splitlines()
        writer = token_file.Writer()
        for number, line in enumerate(lines, 1):
            size = len(line) // 5
            writer.add(number, Tokens(tuple(range(size)), tuple(k % 3 == 0 for k in range(size))))
        writer.save(work.out / f"{side}.safetensors")
        count = sum(len(line) // 5 for line in lines)
        stats[side] = {
            "rows": len(lines),
            "tokens": count,
            "learnt": count // 3,
            "cut": 2,
            "dropped": 0,
            "mute": 1,
            "longest": 800,
        }
    (work.out / "stats.json").write_text(json.dumps(stats))
    return Made("tokens", {name: float(value) for name, value in stats["train"].items()})


def preflight(work: Work) -> Made:
    """Rows with one thing odd about them."""
    odd = PreflightFinding(
        check="several-systems",
        level="warning",
        where=work.task.inputs[0],
        problem="2 system prompts in 315 rows",
        advice="use the map `system-prompt`",
        share=0.2,
    )
    facts = RowFacts(rows=315, calls=400, read=400)
    PreflightResult(facts, [odd]).write(work.out)
    return Made("preflight", msgspec.structs.asdict(facts) | {"errors": 0, "warnings": 1})


def adapter(work: Work) -> Made:
    """A training that was best at 250 of 300 batches; the further its learning rate is from 1e-3, the less it learns."""
    spec = work.task.spec
    floor = 0.45 + 0.7 * abs(math.log10(spec.learning_rate) + 3) - 0.03 * (spec.lora.rank > 8)
    floor += 0.02 * spec.seed * (-1) ** spec.lora.rank
    loss = [floor + 2.1 / (1 + k / 25) + max(0.0015 * (k - 250), 0) for k in range(301)]
    events: list[dict] = [{"event": "start", "rows": {"train": 308, "valid": 34}, "layers": 4, "batching": "bucket"}]
    for k in range(0, 301, 10):
        if k:
            rate = spec.learning_rate * min(k / 30, 1)
            some = {"iteration": k, "loss": loss[k] * (0.85 + 0.1 * (k % 3)), "learning_rate": rate, "tokens": k * 700}
            events.append({"event": "train", **some})
        if k % 50 == 0:
            events.append({"event": "valid", "iteration": k, "loss": loss[k], "accuracy": 1 - loss[k] / 3})
    end = {
        "published": "best",
        "iteration": 250,
        "iterations": 300,
        "valid_loss": loss[250],
        "valid_loss_last": loss[300],
    }
    events.append({"event": "end", **end, "updates": 300, "epochs": 3.9, "tokens": 210_000, "padding": 0.06})
    (work.out / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (work.out / "adapters.safetensors").write_bytes(work.task.name.encode() * 2000)
    (work.out / "adapter_config.json").write_text("{}")
    return Made("adapter", history.metrics(work.out))


def model(work: Work) -> Made:
    """A model that keeps most of its adapter."""
    (work.out / "model.safetensors").write_bytes(b"weights")
    (work.out / "config.json").write_text("{}")
    told = {"bytes": 2_300_000.0, "bits_per_weight": 5.0, "gain_retained": 0.976, "agreement": 0.861, "tokens": 8_120.0}
    return Made("model", told | {"unquantised": 2.0})


def rightly(case) -> Answer:
    """What every check of a case asks for."""
    rights = [right for check in case.checks if (right := check.reference())]
    words = " ".join(["Fine.", *(word for right in rights for word in right.words)])
    return Answer(case=case.id, content=words, calls=tuple(call for right in rights for call in right.calls))


def written(calls) -> str:
    """Calls as a model writes them."""
    shown = ({"name": each.name, "arguments": each.arguments} for each in calls)
    return "".join(f"<tool_call>\n{json.dumps(each)}\n</tool_call>" for each in shown)


def answered(arm: str, suite, says: str = "") -> list[Answer]:
    """The base fails most cases, each adapter fewer; in ways that are all different. `says` is what they say as well."""
    found = []
    for number, case in enumerate(suite.case):
        right = rightly(case)
        good = {"nano": number % 7 == 0, "gentle": number % 3 == 0, "tuned": number % 4 != 1}[arm]
        if good:
            raw = says + (written(right.calls) or right.content)
            found.append(msgspec.structs.replace(right, raw=raw))
        elif number % 5 == 0:
            found.append(Answer(case=case.id, raw=f'{says}<tool_call>{{"name": "read', malformed=True, finish="length"))
        elif right.calls and number % 2:
            wrong = tuple(ToolCall(each.name, each.arguments | {"path": "src/other.py"}) for each in right.calls)
            found.append(Answer(case=case.id, raw=says + written(wrong), calls=wrong))
        else:
            words = f"{says}I would look into that file first, and then tell you."
            found.append(Answer(case=case.id, raw=words, content=words))
    return found


def played(recipe, says: str = ""):
    """The steps of a recipe; those that need MLX are played."""

    def answers(work: Work) -> Made:
        arm, suite = work.task.spec.arm, recipe.suites[work.task.spec.suite]
        given = answered(arm, suite, says)
        proof = Proof(arm=arm, canary=CANARIES[arm], base_canary=CANARIES["nano"], parse_failures=int(arm == "nano"))
        (work.out / "answers.jsonl").write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in given))
        (work.out / "proof.json").write_bytes(msgspec.json.encode(proof))
        return Made("answers", {"answers": len(given), "errors": 0})

    return {
        **steps(recipe),
        "tokens": tokens,
        "preflight": preflight,
        "adapter": adapter,
        "model": model,
        "answers": answers,
    }


def project(root: Path, text: str = RECIPE, says: str = "") -> Path:
    """A project of this recipe with everything built."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / "all.toml").write_text(text)
    recipe = load(root)
    work = played(recipe, says)
    for task in tasks(recipe):
        if task.kind in PLAYED:
            play(root, task, work[task.kind])
        else:
            build.build(root, task, work[task.kind])
    return root


PLAYED = {
    "tokens": 2.1,
    "preflight": 3.4,
    "adapter": 337.2,
    "model": 8.4,
    "answers": 14.3,
}  # kind -> the seconds its lock says


def play(root: Path, task: Task, step: build.Step) -> None:
    """Make a target without the stage layer, which would wait until nobody else on this machine trains."""
    out, facts = root / task.target, state.facts(root, task)
    out.mkdir(parents=True, exist_ok=True)
    metrics = step(Work(root=root, task=task, out=out, logs=root / paths.logs(task.target))).metrics
    outputs = digests.of_target(out, task.target)
    lock = Lock(key=facts.key, key_inputs=facts, outputs=outputs, metrics=metrics, seconds=PLAYED[task.kind])
    locks.write(root / paths.lock(task.target), lock)

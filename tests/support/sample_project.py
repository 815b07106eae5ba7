"""A project with every kind of artifact, built in a second: its data is real, training and inference are simulated."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import msgspec

from punie_build.data.example import ToolCall
from punie_build.engine import build, state
from punie_build.engine.task import AnyTask
from punie_build.engine.work import Step, StepResult, Work
from punie_build.evaluation import answer_files
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.checks.union import Answer
from punie_build.preflight.finding import PreflightFinding
from punie_build.preflight.result import PreflightResult, RowFacts
from punie_build.project import Project
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Lock
from punie_build.training import history, token_file
from punie_build.training.tokenization import TokenizedRow

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 240 }
description = "synthetic editor conversations"

[stage.english]
from = "sample"
filters = [
    { type = "language", languages = ["en"] },
    { type = "python-version", min = "3.10" },
    { type = "ends-with-assistant" },
]

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

[dataset.pairs]
source = { type = "local", path = "raw/pairs.jsonl" }
form = "preference"

[adapter.preferred]
base = "nano"
data = "pairs"
loss = "dpo"
iters = 300
"""
PAIRS = [{"prompt": f"What is {word}?", "chosen": f"A {word}.", "rejected": "No."} for word in ("a.py", "tea", "rain")]
CANARIES = {"nano": "198aad66099a", "gentle": "77f0c2d9e1b4", "tuned": "c403ab447463"}


def tokens(work: Work) -> StepResult:
    """Write made-up tokens, one row for each row of the data."""
    stats = {}
    for split in ("train", "valid"):
        lines = (work.root / work.task.inputs[0] / f"{split}.jsonl").read_bytes().splitlines()
        writer = token_file.TokenWriter()
        for number, line in enumerate(lines, 1):
            size = len(line) // 5
            writer.add(number, TokenizedRow(tuple(range(size)), tuple(k % 3 == 0 for k in range(size))))
        writer.save(work.out / f"{split}.safetensors")
        count = sum(len(line) // 5 for line in lines)
        stats[split] = {
            "rows": len(lines),
            "tokens": count,
            "learnt": count // 3,
            "cut": 2,
            "dropped": 0,
            "mute": 1,
            "longest": 800,
        }
    (work.out / "stats.json").write_text(json.dumps(stats))
    return StepResult("tokens", {name: float(value) for name, value in stats["train"].items()})


def preflight(work: Work) -> StepResult:
    """Write the result of a preflight: one warning."""
    finding = PreflightFinding(
        check="several-systems",
        level="warning",
        where=work.task.inputs[0],
        problem="2 system prompts in 315 rows",
        advice="use the map `system-prompt`",
        share=0.2,
    )
    facts = RowFacts(rows=315, calls=400, read=400)
    PreflightResult(facts, [finding]).write(work.out)
    return StepResult("preflight", msgspec.structs.asdict(facts) | {"errors": 0, "warnings": 1})


def adapter(work: Work) -> StepResult:
    """Write a training of 300 batches with its lowest loss at 250; it rises with the distance of the rate from 1e-3."""
    spec = work.task.spec
    floor = 0.45 + 0.7 * abs(math.log10(spec.learning_rate) + 3) - 0.03 * (spec.lora.rank > 8)
    floor += 0.02 * spec.seed * (-1) ** spec.lora.rank
    loss = [floor + 2.1 / (1 + k / 25) + max(0.0015 * (k - 250), 0) for k in range(301)]
    events: list[dict] = [{"event": "start", "rows": {"train": 308, "valid": 34}, "layers": 4, "batching": "bucket"}]
    for k in range(0, 301, 10):
        if k:
            rate = spec.learning_rate * min(k / 30, 1)
            report = {
                "iteration": k,
                "loss": loss[k] * (0.85 + 0.1 * (k % 3)),
                "learning_rate": rate,
                "tokens": k * 700,
            }
            events.append({"event": "train", **report})
        if k % 50 == 0:
            margin = {"margin": 3 - loss[k]} if spec.compares else {}
            events.append({"event": "valid", "iteration": k, "loss": loss[k], "accuracy": 1 - loss[k] / 3, **margin})
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
    return StepResult("adapter", history.metrics(work.out))


def reference(work: Work) -> StepResult:
    """Write no log-probabilities."""
    (work.out / "train.safetensors").write_bytes(b"log-probabilities")
    return StepResult("reference", {"pairs": 3.0, "wanted_likelier": 0.25})


def model(work: Work) -> StepResult:
    """Write a model that retains most of the gain of its adapter."""
    (work.out / "model.safetensors").write_bytes(b"weights")
    (work.out / "config.json").write_text("{}")
    metrics = {
        "bytes": 2_300_000.0,
        "bits_per_weight": 5.0,
        "gain_retained": 0.976,
        "agreement": 0.861,
        "tokens": 8_120.0,
    }
    return StepResult("model", metrics | {"unquantised": 2.0})


def reference_answer(case) -> Answer:
    """The answer that passes every check of a case."""
    references = [reference for check in case.checks if (reference := check.reference())]
    words = " ".join(["Fine.", *(word for reference in references for word in reference.words)])
    return Answer(case=case.id, content=words, calls=tuple(call for item in references for call in item.calls))


def markup(calls) -> str:
    """The text of tool calls as a model generates it."""
    calls = ({"name": call.name, "arguments": call.arguments} for call in calls)
    return "".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


def simulated_answers(arm: str, suite, prefix: str = "") -> list[Answer]:
    """The answers of a model: the base fails most cases, each adapter fewer. `prefix` begins each text."""
    answers = []
    for number, case in enumerate(suite.cases):
        reference = reference_answer(case)
        passes = {"nano": number % 7 == 0, "gentle": number % 3 == 0, "tuned": number % 4 != 1}[arm]
        if passes:
            raw = prefix + (markup(reference.calls) or reference.content)
            answers.append(msgspec.structs.replace(reference, raw=raw))
        elif number % 5 == 0:
            raw = f'{prefix}<tool_call>{{"name": "read'
            answers.append(Answer(case=case.id, raw=raw, malformed=True, finish="length"))
        elif reference.calls and number % 2:
            calls = tuple(ToolCall(call.name, call.arguments | {"path": "src/other.py"}) for call in reference.calls)
            answers.append(Answer(case=case.id, raw=prefix + markup(calls), calls=calls))
        else:
            text = f"{prefix}I would look into that file first, and then tell you."
            answers.append(Answer(case=case.id, raw=text, content=text))
    return answers


def answers(work: Work, prefix: str) -> StepResult:
    """Write simulated answers, with a canary for each model."""
    arm = work.spec.arm
    answers = simulated_answers(arm, work.task.uses[work.spec.suite], prefix)
    proof = Proof(arm=arm, canary=CANARIES[arm], base_canary=CANARIES["nano"], parse_failures=int(arm == "nano"))
    answer_files.write(work.out, answers, proof)
    return StepResult("answers", {"answers": len(answers), "errors": 0})


SIMULATED_SECONDS = {  # in the locks
    "tokens": 2.1, "preflight": 3.4, "reference": 1.7, "adapter": 337.2, "model": 8.4, "answers": 14.3,
}  # fmt: skip


def build_project(root: Path, text: str = RECIPE, prefix: str = "") -> Path:
    """Write a project with this recipe and build all its targets. `prefix` begins the text of each answer."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / "all.toml").write_text(text)
    (root / "raw").mkdir(exist_ok=True)
    (root / "raw" / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    simulated_steps = {
        "tokens": tokens,
        "preflight": preflight,
        "reference": reference,
        "adapter": adapter,
        "model": model,
        "answers": partial(answers, prefix=prefix),
    }
    for task in Project.load(root).tasks:
        if step := simulated_steps.get(task.kind.name):
            simulate(root, task, step)
        else:
            build.build(root, task)
    return root


def simulate(root: Path, task: AnyTask, step: Step) -> None:
    """Build a target without the engine, which would wait for other trainings on this machine."""
    out, key_inputs = root / task.target, state.key_inputs(root, task)
    out.mkdir(parents=True, exist_ok=True)
    metrics = step(Work(root=root, task=task, out=out, logs=root / paths.logs(task.target))).metrics
    outputs = digests.of_target(out, task.target)
    seconds = SIMULATED_SECONDS[task.kind.name]
    lock = Lock(key=key_inputs.key, key_inputs=key_inputs, outputs=outputs, metrics=metrics, seconds=seconds)
    locks.write(root / paths.lock(task.target), lock)

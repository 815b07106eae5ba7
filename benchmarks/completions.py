"""GenerationSpec: prompts per second on nano, beside lm-evaluation-harness and Inspect driving the same server with the same prompts.

    ./run python benchmarks/completions.py                # --prompts 200; --runs 3; --peers PYTHON: an interpreter with inspect_ai, openai, lm_eval

One real `mlx_lm.server`; greedy, at most 32 tokens. Everybody takes turns, and the best of the runs counts. Ours is the whole way from a suite
to answers.jsonl: the canaries, the cache of replies, what the tokens spell. Peers are timed around their evaluation, without their start.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from punie_build.evaluation import runner, scores
from punie_build.evaluation.checks.union import Keywords
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.runner import EvalRun
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import Eval, GenerationSpec
from punie_build.evaluation.suite import Case, Suite
from punie_build.runtime import blas
from punie_build.storage import paths

TOKENS = 32
TOPICS = "rivers lists bread loops clouds trains tuples maps lamps trees dicts rain books files stones birds".split()
SYSTEM = "You are a helpful assistant."

INSPECT = """
import json, sys, time
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message
url, file, concurrency = sys.argv[1:4]
prompts = json.load(open(file))
task = Task(dataset=[Sample(input=p, target="x") for p in prompts], solver=[system_message(SYSTEM), generate()], scorer=includes())
model = get_model("openai-api/mlx/default_model", base_url=url + "/v1", api_key="none", config=GenerateConfig(temperature=0.0, max_tokens=TOKENS, max_connections=int(concurrency)))
started = time.perf_counter()
[log] = eval(task, model=model, display="none", log_dir=sys.argv[4])
took = time.perf_counter() - started
assert log.status == "success" and len(log.samples) == len(prompts)
print("RESULT", json.dumps([took, [s.output.completion for s in log.samples]]))
"""
LM_EVAL = """
import json, sys, time
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion
url, file, concurrency = sys.argv[1:4]
prompts = json.load(open(file))
lm = LocalChatCompletion(model="default_model", base_url=url + "/v1/chat/completions", num_concurrent=int(concurrency), max_retries=3, tokenizer_backend=None, max_gen_toks=TOKENS)
chats = [lm.apply_chat_template([{"role": "system", "content": SYSTEM}, {"role": "user", "content": p}]) for p in prompts]
asked = [Instance(request_type="generate_until", doc={}, arguments=(chat, {"temperature": 0.0, "max_gen_toks": TOKENS, "until": ["\\n\\n\\n\\n"]}), idx=i) for i, chat in enumerate(chats)]
started = time.perf_counter()
said = lm.generate_until(asked, disable_tqdm=True)
took = time.perf_counter() - started
assert len(said) == len(prompts)
print("RESULT", json.dumps([took, said]))
"""


def prompts(count: int) -> list[str]:
    return [f"Say {2 + n % 5} things about {TOPICS[n % len(TOPICS)]}, number {n}." for n in range(count)]


class Bench:
    """One server and the suite; every run of ours in a project of its own, so that nothing is known yet."""

    def __init__(self, scratch: Path, count: int) -> None:
        self.scratch, self.count, self.warm = scratch, count, WarmServer()
        self.asked = prompts(count)
        cases = tuple(
            Case(id=f"c{n}", category="c", prompt=text, checks=(Keywords(words=("a", "the")),))
            for n, text in enumerate(self.asked)
        )
        self.suite = Suite(cases=cases, system=SYSTEM)
        self.served = ServedModel(model=paths.nano())
        self.runs, self.said = 0, dict[str, list[str]]()
        (scratch / "prompts.json").write_text(json.dumps(self.asked))

    def eval_run(self, root: Path, concurrency: int, batch: bool = False) -> EvalRun:
        spec = GenerationSpec(
            arm="nano", suite="s", max_tokens=TOKENS, concurrency=concurrency, engine="batch" if batch else "server"
        )
        return EvalRun(
            root=root,
            served=self.served,
            spec=spec,
            suite=self.suite,
            weights="w",
            logs=root / "logs",
            notify=lambda _: None,
        )

    def ours(self, concurrency: int, batch: bool = False) -> tuple[float, Path, int]:
        """Seconds, the folder of the answers, and how many questions a second run asks."""
        self.runs += 1
        root = self.scratch / f"run{self.runs}"
        out = root / "out"
        out.mkdir(parents=True)
        run = self.eval_run(root, concurrency, batch)
        if not batch:  # who the weights are is proven once, not in each run
            cache = ResponseCache(root / paths.responses(run.cache_name))
            if not hasattr(self, "canaries"):
                runner.run_in_process(run, cache, {})
                self.canaries = cache.canaries
            else:
                cache.add_canaries(*self.canaries)
        started = time.perf_counter()
        _, sent = runner.collect_answers(run, self.warm, out)
        took = time.perf_counter() - started
        assert sent == self.count
        return took, out, runner.collect_answers(run, self.warm, out)[1]

    def peer(self, python: str, code: str, url: str, concurrency: int) -> float | None:
        text = code.replace("SYSTEM", repr(SYSTEM)).replace("TOKENS", str(TOKENS))
        words = [
            python,
            "-c",
            text,
            url,
            str(self.scratch / "prompts.json"),
            str(concurrency),
            str(self.scratch / "logs"),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            print(done.stderr.strip().splitlines()[-1:] or done.stdout[-300:], file=sys.stderr)
            return None
        took, said = json.loads(lines[0][7:])
        self.said[code] = said
        return float(took)


RESCORE = "import sys; from pathlib import Path; from punie_build.evaluation.scores import evaluate; from punie_build.evaluation.spec import Eval; import msgspec; from punie_build.evaluation.suite import Suite; print(len(evaluate(Eval(arm='nano', suite='s'), msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Suite), Path(sys.argv[2]), Path(sys.argv[2])).cases))"


def rescore(bench: Bench, out: Path) -> float:
    """CPU seconds of a process that judges 1,000 answers anew, its start and imports included."""
    import msgspec

    lines = (out / "answers.jsonl").read_bytes().splitlines()
    folder = bench.scratch / "thousand"
    folder.mkdir(exist_ok=True)
    cases = []
    with (folder / "answers.jsonl").open("wb") as file:
        for n in range(1000):
            answer = json.loads(lines[n % len(lines)]) | {"case": f"t{n}"}
            file.write(json.dumps(answer).encode() + b"\n")
            cases.append(msgspec.structs.replace(bench.suite.cases[n % bench.count], id=f"t{n}"))
    (folder / "proof.json").write_bytes((out / "proof.json").read_bytes())
    (folder / "suite.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(bench.suite, cases=tuple(cases))))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", RESCORE, str(folder / "suite.json"), str(folder)], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.process_time()
    scores.evaluate(
        Eval(arm="nano", suite="s"), msgspec.structs.replace(bench.suite, cases=tuple(cases)), folder, folder
    )
    print(
        f"re-scoring 1,000 answers: {time.process_time() - started:.3f} s CPU, and with the process around it", end=" "
    )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", help="a Python that has inspect_ai, openai and lm_eval")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.prompts)
        env = blas.environment(bench.scratch)
        best: dict[str, float] = {}
        answers: dict[str, bytes] = {}
        again = 0
        try:
            first = bench.eval_run(bench.scratch, 8)
            with bench.warm.lend(first.cache_name, bench.served, bench.scratch / "server.log", env):
                pass  # it is started before anybody is timed
            for _ in range(options.runs):
                for name, concurrency, batch in (
                    ("1 at a time", 1, False),
                    ("8 at a time", 8, False),
                    ("batch of 8, no server", 8, True),
                ):
                    took, out, more = bench.ours(concurrency, batch)
                    best[f"punie-build, {name}"] = min(took, best.get(f"punie-build, {name}", took))
                    answers[name], again = (out / "answers.jsonl").read_bytes(), again + more
                with bench.warm.lend(first.cache_name, bench.served, bench.scratch / "server.log", env) as server:
                    for name, code in (
                        (("Inspect", INSPECT), ("lm-evaluation-harness", LM_EVAL)) if options.peers else ()
                    ):
                        for concurrency in (1, 8):
                            peer = bench.peer(options.peers, code, server.url, concurrency)
                            label = f"{name}, {concurrency} at a time"
                            if peer is not None:
                                best[label] = min(peer, best.get(label, peer))
            for label, took in best.items():
                print(f"{label:<44} {options.prompts / took:7.1f} prompts/s")
            ours = [json.loads(line)["content"].strip() for line in answers["8 at a time"].splitlines()]
            for name, said in zip(("Inspect", "lm-evaluation-harness"), bench.said.values(), strict=False):
                equal = sum(a == b.strip() for a, b in zip(ours, said, strict=True))
                print(f"{name} got the same text in {equal} of {len(ours)}")
            same = len(set(answers.values())) == 1
            print(
                f"greedy answers {'identical' if same else 'DIFFER'} at 1, at 8 and without a server; second runs asked {again}"
            )
            print(f"{rescore(bench, out):.2f} s CPU")
        finally:
            bench.warm.release()


if __name__ == "__main__":
    main()

"""Prompts per second on nano, compared with lm-evaluation-harness and Inspect on the same server with the same prompts.

    ./run python benchmarks/completions.py           # --prompts 200; --runs 3
                                                     # --peers PYTHON: an interpreter with inspect_ai, openai, lm_eval

One real `mlx_lm.server`; greedy decoding, at most 32 tokens. The programs take turns, and the best run of each counts.
The time of punie-build spans the way from a suite to answers.jsonl: canaries, cache of completions, decoding of tokens.
The time of the others spans their evaluation, without the start of their process. CPU seconds of the server and of
the program itself do not depend on the load of the machine: with one request at a time they are its time without load.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import msgspec

from punie_build.evaluation import answer_files, runner, scores
from punie_build.evaluation.canary import Canary
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
dataset = [Sample(input=prompt, target="x") for prompt in prompts]
task = Task(dataset=dataset, solver=[system_message(SYSTEM), generate()], scorer=includes())
config = GenerateConfig(temperature=0.0, max_tokens=TOKENS, max_connections=int(concurrency))
model = get_model("openai-api/mlx/default_model", base_url=url + "/v1", api_key="none", config=config)
started, cpu = time.perf_counter(), time.process_time()
[log] = eval(task, model=model, display="none", log_dir=sys.argv[4])
seconds = time.perf_counter() - started
assert log.status == "success" and len(log.samples) == len(prompts)
cpu = time.process_time() - cpu
print("RESULT", json.dumps([seconds, cpu, [sample.output.completion for sample in log.samples]]))
"""
LM_EVAL = """
import json, sys, time
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion
url, file, concurrency = sys.argv[1:4]
prompts = json.load(open(file))
lm = LocalChatCompletion(
    model="default_model", base_url=url + "/v1/chat/completions", num_concurrent=int(concurrency), max_retries=3,
    tokenizer_backend=None, max_gen_toks=TOKENS,
)
system = {"role": "system", "content": SYSTEM}
chats = [lm.apply_chat_template([system, {"role": "user", "content": prompt}]) for prompt in prompts]
options = {"temperature": 0.0, "max_gen_toks": TOKENS, "until": ["\\n\\n\\n\\n"]}
requests = [
    Instance(request_type="generate_until", doc={}, arguments=(chat, options), idx=index)
    for index, chat in enumerate(chats)
]
started, cpu = time.perf_counter(), time.process_time()
completions = lm.generate_until(requests, disable_tqdm=True)
seconds = time.perf_counter() - started
assert len(completions) == len(prompts)
print("RESULT", json.dumps([seconds, time.process_time() - cpu, completions]))
"""


def prompts(count: int) -> list[str]:
    return [f"Say {2 + n % 5} things about {TOPICS[n % len(TOPICS)]}, number {n}." for n in range(count)]


class Bench:
    """A suite and a server for all runs. Each run of punie-build gets a project of its own, with an empty cache."""

    def __init__(self, scratch: Path, count: int) -> None:
        self.scratch, self.count, self.warm = scratch, count, WarmServer()
        texts = prompts(count)
        cases = tuple(
            Case(id=f"c{n}", category="c", prompt=text, checks=(Keywords(words=("a", "the")),))
            for n, text in enumerate(texts)
        )
        self.suite = Suite(cases=cases, system=SYSTEM)
        self.served = ServedModel(model=paths.nano())
        self.runs, self.completions = 0, dict[str, list[str]]()
        self.canaries: tuple[Canary, Canary] | None = None
        (scratch / "prompts.json").write_text(json.dumps(texts))

    def eval_run(self, root: Path, concurrency: int, engine: Literal["server", "batch"] = "server") -> EvalRun:
        spec = GenerationSpec(arm="nano", suite="s", max_tokens=TOKENS, concurrency=concurrency, engine=engine)
        return EvalRun(
            root=root,
            served=self.served,
            spec=spec,
            suite=self.suite,
            weights="w",
            logs=root / "logs",
            notify=lambda _: None,
        )

    def run_suite(self, concurrency: int, engine: Literal["server", "batch"]) -> tuple[float, float, Path, int]:
        """Return (seconds, CPU seconds of this process, the folder of the answers, the number of requests that a second
        run sends)."""
        self.runs += 1
        root = self.scratch / f"run{self.runs}"
        out = root / "out"
        out.mkdir(parents=True)
        run = self.eval_run(root, concurrency, engine)
        if engine == "server":  # the canaries of the weights are computed in the first run only
            cache = ResponseCache(root / paths.responses(run.cache_name))
            if self.canaries:
                cache.add_canaries(*self.canaries)
            else:
                runner.run_in_process(run, cache, {})
                self.canaries = cache.canaries
        started, cpu = time.perf_counter(), time.process_time()
        _, sent = runner.collect_answers(run, self.warm, out)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        assert sent == self.count
        return seconds, cpu, out, runner.collect_answers(run, self.warm, out)[1]

    def run_peer(self, python: str, code: str, url: str, concurrency: int) -> tuple[float, float] | None:
        """Return the seconds and the CPU seconds of another program, or None if it fails."""
        code_text = code.replace("SYSTEM", repr(SYSTEM)).replace("TOKENS", str(TOKENS))
        arguments = [url, str(self.scratch / "prompts.json"), str(concurrency), str(self.scratch / "logs")]
        process = subprocess.run([python, "-c", code_text, *arguments], capture_output=True, text=True, check=False)
        results = [line for line in process.stdout.splitlines() if line.startswith("RESULT ")]
        if not results:
            print(process.stderr.strip().splitlines()[-1:] or process.stdout[-300:], file=sys.stderr)
            return None
        seconds, cpu, self.completions[code] = json.loads(results[0].removeprefix("RESULT "))
        return float(seconds), float(cpu)


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a process so far. Linux only; 0.0 elsewhere."""
    path = Path(f"/proc/{process}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


SCORE = """
import sys
from pathlib import Path
import msgspec
from punie_build.evaluation.scores import write_scores
from punie_build.evaluation.spec import Eval
from punie_build.evaluation.suite import Suite
suite, folder = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Suite), Path(sys.argv[2])
print(len(write_scores(Eval(arm="nano", suite="s"), suite, folder, folder).cases))
"""


def score_again(bench: Bench, out: Path) -> tuple[float, float]:
    """Return the CPU seconds of scoring 1,000 answers: (in this process, in a process with its start and imports)."""
    answers = answer_files.read_answers(out)
    folder = bench.scratch / "thousand"
    folder.mkdir(exist_ok=True)
    cases = [msgspec.structs.replace(bench.suite.cases[n % bench.count], id=f"t{n}") for n in range(1000)]
    answers = [msgspec.structs.replace(answers[n % len(answers)], case=case.id) for n, case in enumerate(cases)]
    answer_files.write(folder, answers, answer_files.read_proof(out))
    suite = msgspec.structs.replace(bench.suite, cases=tuple(cases))
    (folder / "suite.json").write_bytes(msgspec.json.encode(suite))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", SCORE, str(folder / "suite.json"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.process_time()
    scores.write_scores(Eval(arm="nano", suite="s"), suite, folder, folder)
    here = time.process_time() - started
    return here, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", help="a Python interpreter with inspect_ai, openai and lm_eval")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.prompts)
        try:
            measure(bench, options)
        finally:
            bench.warm.release()


def measure(bench: Bench, options: argparse.Namespace) -> None:
    """Run all programs in turn and print their figures."""
    best: dict[str, float] = {}
    used: dict[str, tuple[float, float]] = {}  # CPU seconds of the server and of the program, in the best run
    answers: dict[str, bytes] = {}
    repeated = 0  # requests of second runs
    name, log = bench.eval_run(bench.scratch, 8).cache_name, bench.scratch / "server.log"
    env = blas.environment(bench.scratch)
    with bench.warm.lend(name, bench.served, log, env) as server:
        process = server.child.process.pid  # started before the first measurement
    for _ in range(options.runs):
        for label, concurrency, engine in CONFIGURATIONS:
            before, key = cpu_of(process), f"punie-build, {label}"
            seconds, cpu, out, sent = bench.run_suite(concurrency, engine)
            if engine == "server":
                used[key] = min(used.get(key, (1e9, 0.0)), (cpu_of(process) - before, cpu))
            best[key] = min(seconds, best.get(key, seconds))
            answers[label], repeated = (out / "answers.jsonl").read_bytes(), repeated + sent
        with bench.warm.lend(name, bench.served, log, env) as server:
            for peer, code in PEERS.items() if options.peers else ():
                for concurrency in (1, 8):
                    label = f"{peer}, {concurrency} at a time"
                    before, result = cpu_of(process), bench.run_peer(options.peers, code, server.url, concurrency)
                    if result is not None:
                        best[label] = min(result[0], best.get(label, result[0]))
                        used[label] = min(used.get(label, (1e9, 0.0)), (cpu_of(process) - before, result[1]))
    for label, seconds in best.items():
        of_server, of_program = (1000 * cpu / options.prompts for cpu in used.get(label, (0.0, 0.0)))
        figures = f"{of_server:6.1f} + {of_program:5.1f} ms CPU a prompt (server + program)" if label in used else ""
        print(f"{label:<40} {options.prompts / seconds:7.1f} prompts/s  {figures}".rstrip())
    texts = [json.loads(line)["content"].strip() for line in answers["8 at a time"].splitlines()]
    for peer, completions in zip(PEERS, bench.completions.values(), strict=False):
        equal = sum(text == completion.strip() for text, completion in zip(texts, completions, strict=True))
        print(f"{peer} got the same text in {equal} of {len(texts)}")
    same = len(set(answers.values())) == 1
    print(f"greedy answers {'identical' if same else 'DIFFER'} at 1, at 8 and without a server")
    print(f"second runs sent {repeated} requests")
    in_process, with_start = score_again(bench, out)
    print(f"scoring 1,000 answers: {in_process:.3f} s CPU, with the start of a process {with_start:.2f} s CPU")


CONFIGURATIONS: tuple[tuple[str, int, Literal["server", "batch"]], ...] = (
    ("1 at a time", 1, "server"),
    ("8 at a time", 8, "server"),
    ("batch of 8, no server", 8, "batch"),
)
PEERS = {"Inspect": INSPECT, "lm-evaluation-harness": LM_EVAL}


if __name__ == "__main__":
    main()

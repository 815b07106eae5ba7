"""CPU and wall seconds of whole processes: punie-build, plain doit, Snakemake and DVC, in one run on one machine.

    ./run python benchmarks/engine.py                 all measures, six minutes
    ./run python benchmarks/engine.py --quick         fewer repetitions
    ./run python benchmarks/engine.py --ours noop100  one measure, without the other tools

CPU is user and system time of a process and of all its children. The tools run in turn, so that other load on the
machine affects all of them. To add a measure: a function `(engine, folder) -> repeat` and its row in `MEASURES`,
where `repeat` runs the measured work once. To add a tool: an Engine, named in `PEERS`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

PINNED = {"doit": "doit==0.37.0", "snakemake": "snakemake", "dvc": "dvc"}
READERS = 5  # tasks that read the large input
LARGE, ADAPTER = 1 << 30, 20_000_000  # bytes
SEEN = "head -c 64 large.bin > {}"  # what a peer's reader does


class Spent(NamedTuple):
    """Seconds of a process, and the number of targets that it wrote (after a switch: without the restored ones)."""

    cpu: float
    wall: float
    written: int = 0

    def without(self, other: Spent) -> Spent:
        return Spent(self.cpu - other.cpu, self.wall - other.wall, self.written)


Repeat = Callable[[], dict[str, Spent]]  # one repetition: row -> what it took


class Engine:
    """A tool that builds. A project of it is a folder: `copies`, `readers` and `adapter` write the three we measure."""

    name = ""
    runs: Sequence[str] = ()
    most = 1_000  # artifacts it can bear
    targets = "out/*"

    def __init__(self, bin_: Path, environment: dict[str, str]) -> None:
        self.bin, self.environment = bin_, environment

    def start(self, folder: Path) -> None:
        """An empty project."""
        (folder / "in").mkdir(parents=True)
        (folder / "out").mkdir()

    def copies(self, folder: Path, count: int) -> None:
        """`count` artifacts, each made from one file of its own."""
        raise NotImplementedError

    def readers(self, folder: Path) -> None:
        """A few artifacts made from `large.bin`."""
        raise NotImplementedError

    def adapter(self, folder: Path, rate: int) -> None:
        """One artifact of 20 MB, which `rate` decides."""
        raise NotImplementedError

    def build(self, folder: Path) -> Spent:
        return self.spend(folder, self.runs)

    def spend(self, folder: Path, command: Sequence[str]) -> Spent:
        """Run a command of the tool. Raises SystemExit with what it said if it fails."""
        before = self._targets(folder)
        with tempfile.TemporaryFile() as said:
            started = time.perf_counter()
            process = subprocess.Popen(
                [str(self.bin / command[0]), *command[1:]],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{said.read().decode()[-3000:]}")
        return Spent(usage.ru_utime + usage.ru_stime, wall, len(self._targets(folder) - before))

    def _targets(self, folder: Path) -> set[tuple[Path, int, int]]:
        files = [(path, path.stat()) for path in folder.glob(self.targets) if path.is_file()]
        return {(path, stat.st_ino, stat.st_mtime_ns) for path, stat in files}


class Ours(Engine):
    name = "punie-build"
    most = 10_000
    runs = ("doit",)
    targets = "data/*/*"
    # each with another number in it: no two stages are alike
    FILTERS = (
        '{{ type = "python-version", min = "3.{}" }}',
        '{{ type = "python-version", min = "3.{}" }}, {{ type = "content-quality" }}',
        '{{ type = "python-version", min = "3.{}" }}, {{ type = "min-messages", messages = 2 }}',
        '{{ type = "python-version", min = "3.{}" }}, {{ type = "language", languages = ["en"] }}',
        '{{ type = "python-version", min = "3.{}" }}, {{ type = "ends-with-assistant" }}',
    )
    PER_FILE = 10  # stages in one recipe file
    RECIPES = (
        "from punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts\n"
        "def task_all():\n    yield from artifacts()\n"
    )
    DODO = """
import random
from pathlib import Path
from punie_build.artifacts.registry import register
from punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import TaskInputs
from punie_build.engine.work import StepResult
from punie_build.schema.spec import Spec
class Number(Spec, frozen=True, kw_only=True):
    n: int
    rate: int
def step(work):
    {step}
    with open("ran", "a") as log:
        log.write("once\\n")
    return StepResult("made")
def inputs(recipe, entry):
    return TaskInputs(doc="", inputs=("{input}",))
register(ArtifactKind(
    name="number", spec=Number, namespace="number", folder="data", inputs=inputs, step=step, version=1,
))
def task_all():
    rate = int(Path("rate").read_text())
    yield from artifacts(recipes={{"number": {{f"s{{n}}": Number(n=n, rate=rate) for n in range({count})}}}})
"""

    def start(self, folder: Path) -> None:
        (folder / "recipes").mkdir(parents=True)

    def copies(self, folder: Path, count: int) -> None:
        self.start(folder)
        (folder / "dodo.py").write_text(self.RECIPES)
        recipes = ['[dataset.sample]\nsource = { type = "sample", max_examples = 40 }\n']
        for number in range(count - 1):
            filters = self.FILTERS[number % len(self.FILTERS)].format(number)
            recipes.append(f'[stage.s{number}]\nfrom = "sample"\nfilters = [{filters}]\n')
        for first in range(0, count, self.PER_FILE):
            text = "\n".join(recipes[first : first + self.PER_FILE])
            (folder / "recipes" / f"r{first}.toml").write_text(text)

    def readers(self, folder: Path) -> None:
        self.start(folder)
        (folder / "rate").write_text("0")
        step = '(work.out / "seen.bin").write_bytes((work.root / "large.bin").open("rb").read(64))'
        (folder / "dodo.py").write_text(self.DODO.format(step=step, input="large.bin", count=READERS))

    def adapter(self, folder: Path, rate: int) -> None:
        (folder / "rate").write_text(str(rate))
        step = f'(work.out / "adapter.bin").write_bytes(random.Random(work.spec.rate).randbytes({ADAPTER}))'
        (folder / "dodo.py").write_text(self.DODO.format(step=step, input="in/rows", count=1))


class Doit(Engine):
    name = "doit"
    runs = ("doit",)

    def copies(self, folder: Path, count: int) -> None:
        self.start(folder)
        _inputs(folder, count)
        (folder / "dodo.py").write_text(
            f"def task_copy():\n    for n in range({count}):\n"
            "        yield {'name': str(n), 'file_dep': [f'in/{n}'], 'targets': [f'out/{n}'],\n"
            "               'actions': [f'cp in/{n} out/{n}']}\n"
        )

    def readers(self, folder: Path) -> None:
        self.start(folder)
        (folder / "dodo.py").write_text(
            f"def task_see():\n    for n in range({READERS}):\n"
            "        yield {'name': str(n), 'file_dep': ['large.bin'], 'targets': [f'out/{n}'],\n"
            f"               'actions': [f'{SEEN.format('out/{n}')}']}}\n"
        )

    def adapter(self, folder: Path, rate: int) -> None:
        (folder / "rate").write_text(
            str(rate)
        )  # not in dodo.py: bytecode of the same second and size is not seen to be old
        (folder / "dodo.py").write_text(
            "from doit.tools import config_changed\ndef task_adapter():\n    rate = open('rate').read()\n"
            "    return {'file_dep': ['in/rows'], 'targets': ['out/adapter'], 'uptodate': [config_changed(rate)],\n"
            "            'actions': [f'python make.py {rate} out/adapter']}\n"
        )


class Snakemake(Engine):
    name = "snakemake"
    runs = ("snakemake", "--cores", "1")

    def copies(self, folder: Path, count: int) -> None:
        self.start(folder)
        _inputs(folder, count)
        self._rules(folder, count, "in/{n}", "cp {input} {output}")

    def readers(self, folder: Path) -> None:
        self.start(folder)
        self._rules(folder, READERS, "large.bin", SEEN.format("{output}"))

    def adapter(self, folder: Path, rate: int) -> None:
        rule = (
            "input: 'in/rows'\n    output: 'out/adapter'\n    params: rate={}\n"
            "    shell: 'python make.py {{params.rate}} {{output}}'"
        )
        (folder / "Snakefile").write_text(f"rule adapter:\n    {rule.format(rate)}\n")

    def _rules(self, folder: Path, count: int, input_: str, shell: str) -> None:
        (folder / "Snakefile").write_text(
            f"rule all:\n    input: expand('out/{{n}}', n=range({count}))\n"
            f"rule one:\n    input: '{input_}'\n    output: 'out/{{n}}'\n    shell: '{shell}'\n"
        )


class Dvc(Engine):
    name = "dvc"
    runs = ("dvc", "repro")
    most = 100  # beyond, each stage costs more than the one before

    def start(self, folder: Path) -> None:
        super().start(folder)
        self.spend(folder, ("dvc", "init", "--no-scm", "--quiet"))

    def copies(self, folder: Path, count: int) -> None:
        self.start(folder)
        _inputs(folder, count)
        self._stages(folder, {f"s{n}": (f"cp in/{n} out/{n}", f"in/{n}", f"out/{n}") for n in range(count)})

    def readers(self, folder: Path) -> None:
        self.start(folder)
        outputs = {f"s{n}": f"out/{n}" for n in range(READERS)}
        self._stages(folder, {name: (SEEN.format(out), "large.bin", out) for name, out in outputs.items()})

    def adapter(self, folder: Path, rate: int) -> None:
        (folder / "params.yaml").write_text(f"rate: {rate}\n")
        self._stages(folder, {"adapter": ("python make.py ${rate} out/adapter", "in/rows", "out/adapter")}, ("rate",))

    def _stages(self, folder: Path, stages: dict[str, tuple[str, str, str]], params: tuple[str, ...] = ()) -> None:
        table = {
            name: {"cmd": command, "deps": [input_], "outs": [output]} | ({"params": [*params]} if params else {})
            for name, (command, input_, output) in stages.items()
        }
        (folder / "dvc.yaml").write_text(json.dumps({"stages": table}))  # JSON is YAML


PEERS: tuple[type[Engine], ...] = (Doit, Snakemake, Dvc)


def _inputs(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / "in" / str(number)).write_text(f"{number}\n")


def no_op(count: int, engine: Engine, folder: Path) -> Repeat | None:
    """Everything is current, and a build finds that out."""
    if count > engine.most:
        return None
    engine.copies(folder, count)
    engine.build(folder)
    return lambda: {f"no-op, {count} artifacts": _idle(engine, folder)}


def _idle(engine: Engine, folder: Path) -> Spent:
    took = engine.build(folder)
    if took.written:
        raise SystemExit(
            f"{engine.name}: a build of what is current wrote {took.written} targets - nothing is measured"
        )
    return took


def check(engine: Engine, folder: Path) -> Repeat | None:
    """A fresh checkout: recipes and locks, no data."""
    if not isinstance(engine, Ours):
        return None  # they cannot say it without the data
    engine.copies(folder, 100)
    engine.build(folder)
    for target in [path for path in (folder / "data").iterdir() if path.is_dir()] + [folder / ".punie"]:
        shutil.rmtree(target)
    return lambda: {"`punie-build check`, 100 artifacts, no data": engine.spend(folder, ("punie-build", "check"))}


def large_input(engine: Engine, folder: Path) -> Repeat:
    """Tasks that read one large file, in a new project each time."""
    large = folder.parent / "large.bin"
    if not large.exists():
        block = random.Random(0).randbytes(1 << 20)
        with large.open("wb") as file:
            for _ in range(LARGE >> 20):
                file.write(block)

    def repeat() -> dict[str, Spent]:
        project = Path(tempfile.mkdtemp(dir=folder.parent))
        shutil.rmtree(project)
        engine.readers(project)
        os.link(large, project / "large.bin")
        what = f"{READERS} tasks on 1 GiB"
        found = {f"{what}: first build": engine.build(project)}
        (project / "large.bin").touch()
        found[f"{what}: after `touch`"] = engine.build(project)
        found[f"{what}: and once more"] = engine.build(project)
        shutil.rmtree(project)
        return found

    return repeat


MAKE = f"""import random, sys
open(sys.argv[2], "wb").write(random.Random(sys.argv[1]).randbytes({ADAPTER}))
open("ran", "a").write("once\\n")
"""


def switch_back(engine: Engine, folder: Path) -> Repeat:
    """A value of the recipe goes 1, 2, 1, 2 ...: what it takes to have the earlier 20 MB again, beyond a no-op."""
    engine.start(folder)
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "rows").write_text("rows\n")
    (folder / "make.py").write_text(MAKE)
    rates = [1, 2]
    for rate in rates:
        engine.adapter(folder, rate)
        engine.build(folder)

    def repeat() -> dict[str, Spent]:
        engine.adapter(folder, rates[0])
        rates.reverse()
        before = (folder / "ran").stat().st_size
        took = engine.build(folder)
        if not took.written:
            raise SystemExit(f"{engine.name}: a build after a switch wrote nothing - nothing is measured")
        took = took._replace(written=took.written if (folder / "ran").stat().st_size > before else 0)
        _idle(engine, folder)  # DVC's first no-op is slower: it reads what it restored
        return {"switch back, 20 MB: beyond a no-op": took.without(_idle(engine, folder))}

    return repeat


class Measure(NamedTuple):
    """A function, how many of the repetitions it gets, and goals for ours: row -> what is counted, seconds."""

    prepare: Callable[[Engine, Path], Repeat | None]
    share: float
    goals: dict[str, tuple[str, float]]


MEASURES = {
    "noop100": Measure(partial(no_op, 100), 1, {"no-op, 100 artifacts": ("CPU", 0.25)}),
    "noop1000": Measure(partial(no_op, 1_000), 1, {"no-op, 1000 artifacts": ("CPU", 0.5)}),
    "noop10000": Measure(partial(no_op, 10_000), 0.3, {"no-op, 10000 artifacts": ("CPU", 3)}),
    "check": Measure(check, 1, {"`punie-build check`, 100 artifacts, no data": ("CPU", 0.25)}),
    "large": Measure(
        large_input,
        0.3,
        {
            f"{READERS} tasks on 1 GiB: first build": ("wall", 2.5),
            f"{READERS} tasks on 1 GiB: and once more": ("wall", 0.6),
        },
    ),
    "switch": Measure(switch_back, 0.5, {"switch back, 20 MB: beyond a no-op": ("wall", 0.5)}),
}
SLOW = ("noop10000",)  # 10,000 artifacts are built first, in some minutes
Samples = dict[str, dict[str, list[Spent]]]  # row -> tool -> repetitions


def measured(engines: Sequence[Engine], measure: Measure, times: int) -> Samples:
    """Every tool prepares its project, then they take turns."""
    found: Samples = {}
    with tempfile.TemporaryDirectory(prefix="engine-") as place:
        repeats = {engine.name: measure.prepare(engine, Path(place, engine.name)) for engine in engines}
        for _ in range(max(1, round(times * measure.share))):
            for name, repeat in repeats.items():
                for row, took in repeat().items() if repeat else ():
                    found.setdefault(row, {}).setdefault(name, []).append(took)
    return found


def table(samples: Samples, heads: dict[str, str]) -> Iterator[str]:
    """Markdown: for each row and each of CPU and wall, minimum and median of every tool."""
    goals = {row: goal for measure in MEASURES.values() for row, goal in measure.goals.items()}
    yield f"| seconds: minimum / median | | goal | {' | '.join(heads.values())} |"
    yield f"|---|---|---|{'---|' * len(heads)}"
    for row, tools in samples.items():
        for index, unit in enumerate(("CPU", "wall")):
            cells = [_cell(tools.get(name, []), index) for name in heads]
            kind, goal = goals.get(row, ("", 0.0))
            yield f"| {row} | {unit} | {goal if kind == unit else ''} | {' | '.join(cells)} |"


def _cell(repetitions: Sequence[Spent], index: int) -> str:
    if not repetitions:
        return "-"
    seconds = [took[index] for took in repetitions]
    return f"{min(seconds):.2f} / {statistics.median(seconds):.2f}"


def remade(samples: Samples) -> Iterator[str]:
    """Which tools ran tasks again where nothing but a file's time, or a value seen before, had changed."""
    for row, tools in samples.items():
        if any(word in row for word in ("touch", "once more", "switch")):
            again = [name for name, repetitions in tools.items() if repetitions[0].written]
            if again:
                yield f"{row}: {', '.join(again)} ran the tasks again."


@contextmanager
def peers(folder: Path | None) -> Iterator[Path | None]:
    """The `bin` of an environment with the peers in it, or None if they cannot be had."""
    with tempfile.TemporaryDirectory(prefix="engine-peers-") as place:
        found = folder or Path(place, "peers")
        if not (found / "bin" / "dvc").exists():
            print("installing the peers (a minute)", file=sys.stderr)
            try:
                subprocess.run([sys.executable, "-m", "venv", found], check=True)
                subprocess.run([found / "bin" / "pip", "install", "--quiet", *PINNED.values()], check=True)
            except (OSError, subprocess.CalledProcessError):
                print("the peers cannot be installed: only punie-build is measured", file=sys.stderr)
                yield None
                return
        yield found / "bin"


@contextmanager
def all_engines(wanted: bool, folder: Path | None) -> Iterator[dict[str, Engine]]:
    """Head of the table -> tool."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    own = Ours(Path(sysconfig.get_path("scripts")), plain | path)  # with bytecode written, as it is for people
    heads: dict[str, Engine] = {f"punie-build {version('punie-build')}": own}
    with peers(folder) if wanted else _nothing() as bin_, tempfile.TemporaryDirectory(prefix="engine-home-") as home:
        if bin_:
            environment = plain | {
                "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
                "HOME": home,
                "DVC_SITE_CACHE_DIR": f"{home}/site",
                "DVC_NO_ANALYTICS": "1",
            }
            for peer in PEERS:
                heads[f"{peer.name} {_version(bin_, peer.name)}"] = peer(bin_, environment)
        yield heads


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _version(bin_: Path, package: str) -> str:
    ask = f"from importlib.metadata import version; print(version('{package}'))"
    return subprocess.run([bin_ / "python", "-c", ask], check=True, capture_output=True, text=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"some of {', '.join(MEASURES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 10")
    parser.add_argument(
        "--slow", action="store_true", help="10,000 artifacts, and DVC with 1000 stages, too: an hour or more"
    )
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="keep the peers' environment there, and use it again"
    )
    options = parser.parse_args()
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    options = _options()
    if options.slow:
        Dvc.most = Engine.most
    samples: Samples = {}
    with all_engines(not options.ours, options.peers and options.peers.resolve()) as engines:
        for name in options.measures or [name for name in MEASURES if options.slow or name not in SLOW]:
            print(f"{name} ...", file=sys.stderr)
            samples |= measured([*engines.values()], MEASURES[name], 3 if options.quick else 10)
    print("\n".join(table(samples, {engine.name: head for head, engine in engines.items()})))
    print("\n".join(["", *remade(samples)]))


if __name__ == "__main__":
    main()

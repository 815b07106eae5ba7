"""Builds on a real Dask cluster of processes on loopback, with a folder as the shared store."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from msgspec import Struct

from punie_build.storage import locks, paths
from tests.support import certificates
from tests.support import project as projects

pytest.importorskip("distributed", reason="needs the extra cluster")
pytestmark = pytest.mark.slow

RECIPE = f"""{projects.DATA_ONLY}
[adapter.tiny]
base = "nano"
data = "clean"
iters = 2
batch_size = 2
max_seq_length = 256
"""
TARGETS = ("data/sample", "data/clean", "adapters/tiny")


class Cluster(Struct):
    """A scheduler and its workers, as processes. `url` is the executor."""

    url: str
    folder: Path
    processes: list[subprocess.Popen[bytes]]
    variables: dict[str, str] = {}

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker, whose cache is its own."""
        number = len(self.processes)
        environment = os.environ | self.variables | {"XDG_CACHE_HOME": str(self.folder / f"cache{number}")}
        command = [sys.executable, "-P", "-m", "punie_build", "worker", self.url, *options]
        with (self.folder / f"worker{number}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process


@contextmanager
def running_cluster(folder: Path, variables: dict[str, str]) -> Iterator[Cluster]:
    """Start a scheduler, with variables of Dask for all its processes, and end it with its workers."""
    log = folder / "scheduler.log"
    command = [sys.executable, "-P", "-m", "distributed.cli.dask_scheduler"]
    command += ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with log.open("wb") as output:
        scheduler = subprocess.Popen(command, cwd=folder, env=os.environ | variables, stdout=output, stderr=output)
    cluster = Cluster("", folder, [scheduler], variables)
    try:
        for _ in range(600):
            if match := re.search(r"(tcp|tls)://(127.0.0.1:\d+)", log.read_text("utf-8")):
                break
            time.sleep(0.1)
        else:
            pytest.fail(log.read_text("utf-8"))
        cluster.url = f"{'dask' if match[1] == 'tcp' else 'dask+tls'}://{match[2]}"
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            process.send_signal(signal.SIGINT)
        for process in cluster.processes:
            process.wait(60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), {}) as cluster:
        cluster.start_worker()
        cluster.start_worker("--resource", "CUDA=1")
        yield cluster


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a shared store: the data of one test is there for the next."""
    return tmp_path_factory.mktemp("store").as_uri()


def run(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `punie-build WORD ...` in a process."""
    command = [sys.executable, "-P", "-m", "punie_build", *words]
    return subprocess.run(command, cwd=project, env=os.environ | variables, capture_output=True, text=True)


def build(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `punie-build build WORD ...` in a process."""
    return run(project, "build", *words, **variables)


def test_a_build_on_workers_has_the_files_of_a_local_one(tmp_path, cluster, store):
    remote, local = (projects.create(tmp_path / name, RECIPE) for name in ("remote", "local"))
    done = build(remote, "-n", "2", "--executor", cluster.url, PUNIE_BUILD_STORE=store)
    assert done.returncode == 0, done.stdout + done.stderr
    assert build(local, PUNIE_BUILD_STORE="").returncode == 0
    for target in TARGETS:
        records = [locks.read(root / paths.lock(target)) for root in (remote, local)]
        assert records[0].key == records[1].key
        assert records[0].outputs == records[1].outputs
    assert not (remote / ".punie" / "training").exists()  # it was trained elsewhere
    assert (remote / ".punie/logs/adapters/tiny/training.log").exists()


def test_an_executor_without_a_store_or_a_scheduler_is_a_sentence(tmp_path, cluster):
    project = projects.create(tmp_path, projects.SAMPLE)
    done = build(project, "--executor", cluster.url, PUNIE_BUILD_STORE="")
    assert "needs a shared store that the workers use too - set `store`" in done.stdout
    done = build(project, "--executor", "dask://127.0.0.1:9", PUNIE_BUILD_STORE=(tmp_path / "store").as_uri())
    assert "dask://127.0.0.1:9: no scheduler answers" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_interrupt_ends_the_training_on_the_worker(tmp_path, cluster, store):
    project = projects.create(tmp_path, RECIPE.replace("iters = 2", "iters = 5000"))
    command = [sys.executable, "-P", "-m", "punie_build", "build", "--executor", cluster.url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=project, env=os.environ | {"PUNIE_BUILD_STORE": store}, **pipes) as process:
        try:
            wait_until(lambda: trainings(cluster))
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=300)
        finally:
            process.kill()
    assert "Traceback" not in output
    wait_until(lambda: not trainings(cluster))
    assert not (project / "adapters" / "tiny").exists()


def trainings(cluster: Cluster) -> list[Path]:
    """Return the folders of the jobs that run on the workers and train."""
    return list(cluster.folder.glob("cache*/punie-build/cluster/*/job-*/project/data/*@preflight"))


def wait_until(condition) -> None:
    """Wait some minutes for a condition: a busy machine is slow."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen within five minutes")


SUITE = "".join(f'[[case]]\nid = "c{n}"\nprompt = "Say {n}."\nchecks = [{{ type = "no-call" }}]\n' for n in range(40))
EVAL = """
[suite.s]
file = "s.toml"

[eval.short]
arm = "nano"
suite = "s"
max_tokens = 2
engine = "batch"
"""


@pytest.mark.nightly
def test_two_workers_that_ask_one_suite_have_the_answers_of_one(tmp_path, cluster):
    cluster.start_worker("--resource", "CUDA=1")  # a second one with a device
    log = cluster.folder / f"worker{len(cluster.processes) - 1}.log"
    wait_until(lambda: "Registered to" in log.read_text("utf-8", "replace"))
    remote, local = (projects.create(tmp_path / name, EVAL, {"s.toml": SUITE}) for name in ("remote", "local"))
    done = build(remote, "--executor", cluster.url, PUNIE_BUILD_STORE=(tmp_path / "store").as_uri())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in 2 parts, each by a worker" in done.stdout
    assert "40 answers, 0 requests sent" in done.stdout
    [logs] = (remote / ".punie/logs/reports").glob("*@answers")
    assert {file.name.partition("-requests")[0] for file in logs.glob("*requests.log")} == {"part-1", "part-2"}
    assert build(local, PUNIE_BUILD_STORE="").returncode == 0
    target = f"reports/{logs.name}"
    records = [locks.read(root / paths.lock(target)) for root in (remote, local)]
    assert records[0].key == records[1].key
    assert records[0].outputs == records[1].outputs


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_training_whose_worker_is_killed_ends_on_another_with_equal_bytes(tmp_path, cluster):
    recipe = RECIPE.replace("iters = 2", "iters = 40")
    remote, local = (projects.create(tmp_path / name, recipe) for name in ("remote", "local"))
    cluster.start_worker("--resource", "CUDA=1")  # a second one that may train
    command = [sys.executable, "-P", "-m", "punie_build", "build", "--executor", cluster.url]
    environment = os.environ | {"PUNIE_BUILD_STORE": (tmp_path / "store").as_uri()}
    with subprocess.Popen(command, cwd=remote, env=environment, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: trainings(cluster))
        cache = trainings(cluster)[0].relative_to(cluster.folder).parts[0]
        nanny = cluster.processes[int(cache.removeprefix("cache"))].pid
        killed = [child for child in children(nanny) if b"spawn_main" in Path("/proc", child, "cmdline").read_bytes()]
        assert killed
        for child in killed:
            os.kill(int(child), signal.SIGKILL)
        assert process.wait(600) == 0
    assert build(local, PUNIE_BUILD_STORE="").returncode == 0
    outputs = [locks.read(root / paths.lock("adapters/tiny")).outputs for root in (remote, local)]
    assert outputs[0] == outputs[1]


def children(process: int) -> list[str]:
    """Return the numbers of the processes that a process started, by any of its threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


@pytest.mark.nightly
def test_a_cluster_on_hosts_by_ssh_lives_as_long_as_its_build(tmp_path):
    pytest.importorskip("asyncssh", reason="needs the extra cluster")
    keys, home = tmp_path / "keys", tmp_path / "home"
    keys.mkdir()
    (home / "punie-build").mkdir(parents=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.ssh_server", keys],
        cwd=projects.ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},  # of its workers
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(server.stdout.readline())
        connect = f'known_hosts = "{keys}/known_hosts", client_keys = ["{keys}/client"]'
        url = f"ssh://127.0.0.1:{port},127.0.0.1:{port}"
        project = projects.create(tmp_path / "project", RECIPE)
        (project / "pyproject.toml").write_text(
            f'[tool.punie-build]\nstore = "{(tmp_path / "store").as_uri()}"\nexecutor = "{url}"\n'
            f'executor_options = {{ python = "{sys.executable}", connect = {{ {connect} }} }}\n'
        )
        variables = {"XDG_CONFIG_HOME": str(home)}
        refused = run(project, "doctor", **variables)
        assert "you have not allowed it - `punie-build store allow`" in refused.stdout + refused.stderr
        assert run(project, "store", "allow", **variables).returncode == 0
        done = build(project, "-n", "2", **variables)
        nowhere = build(project, "--executor", "ssh://127.0.0.1:9", "--always", "dataset:sample", **variables)
    finally:
        server.kill()
        server.communicate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (project / ".punie" / "training").exists()
    assert [path for path in TARGETS if not (project / path).exists()] == []
    assert "ssh://127.0.0.1:9: no cluster starts there (" in nowhere.stdout
    assert "Traceback" not in nowhere.stdout + nowhere.stderr


@pytest.mark.nightly
def test_all_connections_of_a_cluster_may_be_encrypted(tmp_path):
    certificate = certificates.write(tmp_path)
    names = ("CA_FILE", *(f"{role}__{part}" for role in ("SCHEDULER", "WORKER", "CLIENT") for part in ("CERT", "KEY")))
    variables = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(certificate) for name in names}
    variables |= {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true", "DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls"}
    project = projects.create(tmp_path / "project", RECIPE)
    store = {"PUNIE_BUILD_STORE": (tmp_path / "store").as_uri()}
    with running_cluster(tmp_path, variables) as cluster:
        cluster.start_worker()
        assert cluster.url.startswith("dask+tls://")
        plain = build(project, "--executor", cluster.url.replace("+tls", ""), "dataset:sample", **store)
        assert "no scheduler answers" in plain.stdout
        assert not (project / "data/sample").exists()
        done = build(project, "--executor", cluster.url, "dataset:sample", **store, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "data/sample/train.jsonl").exists()


@pytest.mark.nightly
def test_a_build_whose_scheduler_goes_ends_with_a_sentence(tmp_path):
    project = projects.create(tmp_path / "project", RECIPE.replace("iters = 2", "iters = 5000"))
    store = {"PUNIE_BUILD_STORE": (tmp_path / "store").as_uri()}
    command = [sys.executable, "-P", "-m", "punie_build", "build"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with running_cluster(tmp_path, {}) as cluster:
        cluster.start_worker()
        command += ["--executor", cluster.url]
        with subprocess.Popen(command, cwd=project, env=os.environ | store, **pipes) as process:
            try:
                wait_until(lambda: trainings(cluster))
                cluster.processes[0].kill()
                output, _ = process.communicate(timeout=300)
            finally:
                process.kill()
    assert process.returncode != 0
    assert f"{cluster.url}: the scheduler is gone - start it, and build again" in output
    assert "Traceback" not in output
    assert not (project / "adapters/tiny").exists()
    assert (project / "data/clean").exists(), "what was finished stays"


@pytest.mark.nightly
def test_two_builds_of_one_project_and_another_share_a_cluster(tmp_path, cluster, store):
    first, second = (projects.create(tmp_path / name, RECIPE.replace("iters = 2", "iters = 3")) for name in "ab")
    command = [sys.executable, "-P", "-m", "punie_build", "build", "--executor", cluster.url]
    environment = os.environ | {"PUNIE_BUILD_STORE": store}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    builds = [subprocess.Popen(command, cwd=project, **quiet) for project in (first, first, second)]
    assert [process.wait(600) for process in builds] in ([0, 0, 0], [1, 0, 0], [0, 1, 0]), "one waits or is refused"
    outputs = [[locks.read(root / paths.lock(target)).outputs for target in TARGETS] for root in (first, second)]
    assert outputs[0] == outputs[1]


@pytest.mark.nightly
def test_a_worker_whose_disk_is_full_fails_the_build_with_a_sentence(tmp_path, small_disk):
    (tmp_path / "cache1").symlink_to(small_disk)  # of the first worker
    project = projects.create(tmp_path / "project", RECIPE)
    with running_cluster(tmp_path, {}) as cluster:
        cluster.start_worker()
        variables = {"PUNIE_BUILD_STORE": (tmp_path / "store").as_uri()}
        done = build(project, "--executor", cluster.url, "dataset:sample", **variables)
    assert done.returncode == 1
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project / "data/sample").exists()


@pytest.mark.nightly
def test_a_worker_that_is_cut_off_from_the_store_fails_the_build_with_a_sentence(tmp_path):
    """The worker reaches the S3 store at an address where nothing listens; the build reaches it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    project = projects.create(tmp_path / "project", RECIPE)
    with running_cluster(tmp_path, {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}) as cluster:
        cluster.start_worker()
        variables = {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "PUNIE_BUILD_STORE": "s3://punie"}
        create = "import s3fs; s3fs.S3FileSystem().mkdir('punie')"
        subprocess.run([sys.executable, "-c", create], env=os.environ | variables, check=True)
        started = time.monotonic()
        done = build(project, "--executor", cluster.url, "dataset:sample", **variables)
    server.stop()
    assert done.returncode == 1
    assert "the shared store s3://punie" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - started < 240
    assert not (project / "data/sample").exists()

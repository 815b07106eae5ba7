"""The GitHub Action and the Dockerfile: their shell steps run on a project, as far as this machine can."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from moto.server import ThreadedMotoServer

from punie_build.cli import main
from tests.support.project import ROOT, create

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "name" in step}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DATA = '[dataset.few]\nsource = { type = "sample", max_examples = 30 }\n'


def run_step(name: str, folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a step with bash as GitHub does, with the punie-build of this Python."""
    step = STEPS[name]
    assert set(values) == set(step["env"]), "each variable of the step has a value"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), **values}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path) -> Path:
    return create(tmp_path / "inner", DATA)


def test_an_input_of_the_action_is_used_and_every_used_input_is_declared():
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    assert all(value["description"] for value in ACTION["inputs"].values())


def test_a_step_of_the_action_puts_no_input_into_its_script():
    """An input with a quote or a command substitution would be run."""
    assert [name for name, step in STEPS.items() if "${{" in step.get("run", "")] == []
    assert all(step["shell"] == "bash" for step in STEPS.values() if "run" in step)


@pytest.mark.slow
def test_the_steps_of_the_action_check_and_build_a_project(project):
    folder = project.parent
    stale = run_step("Check", folder, DIRECTORY="inner", GATES="true")
    assert stale.returncode == 1, stale.stderr
    assert "dataset:few" in stale.stdout
    build = run_step("Build", folder, DIRECTORY="inner", GATES="true", TARGETS="dataset:few")
    assert build.returncode == 0, build.stdout + build.stderr
    assert (project / "data/few/train.jsonl").exists()
    current = run_step("Check", folder, DIRECTORY="inner", GATES="true")
    assert current.returncode == 0, current.stdout + current.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("gates", "code"), [("true", 1), ("false", 0)])
def test_a_failed_gate_fails_the_build_step_only_if_gates_are_held(tmp_path, gates, code):
    create(tmp_path, DATA + 'gates = [{ metric = "examples", min = 1000 }]\n')
    build = run_step("Build", tmp_path, DIRECTORY=".", GATES=gates, TARGETS="")
    assert bool(build.returncode) is bool(code), build.stdout + build.stderr


def test_the_dockerfile_copies_what_the_wheel_needs_and_runs_as_a_user():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "!models/nano" in ignored
    assert not {"docs", "README.md", "hatch_build.py", "punie_build", "LICENSE"} & set(ignored)
    final = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert re.search(r"^USER builder$", final, re.MULTILINE)
    assert final.index("USER builder") < final.index("ENTRYPOINT")
    assert 'ENTRYPOINT ["punie-build"]' in final


def test_the_services_of_the_compose_file_listen_on_loopback_and_have_commands_that_exist():
    text = (ROOT / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", text)) == {"127.0.0.1"}
    assert all(service["network_mode"] == "host" and "ports" not in service for service in services.values())
    for name in ("worker", "build"):
        command = services[name]["command"]
        options = main.parser_of(command).parse_args(command)
        assert "dask://127.0.0.1:8786" in vars(options).values()
    scheduler = [sys.executable, "-P", "-m", "distributed.cli.dask_scheduler", "--help"]
    options = subprocess.run(scheduler, capture_output=True, text=True, check=True).stdout
    assert {word for word in services["scheduler"]["command"] if word.startswith("--")} <= set(
        re.findall(r"--[\w-]+", options)
    )
    assert {name for service in services.values() for name in service.get("depends_on", ())} <= set(services)


@pytest.mark.slow
def test_the_bucket_of_the_compose_file_is_created_once_and_stays():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["bucket"]
    environment = service["environment"] | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    listing = [sys.executable, "-c", "import s3fs; print(s3fs.S3FileSystem().ls('/'))"]
    try:
        for _ in range(2):
            subprocess.run([sys.executable, *service["entrypoint"][1:]], env=environment, check=True)
        listed = subprocess.run(listing, env=environment, check=True, capture_output=True, text=True)
    finally:
        server.stop()
    assert listed.stdout == "['punie']\n"


@pytest.mark.real
def test_the_image_is_built_and_plans_a_mounted_project(project):
    if not _has_docker():
        pytest.skip("no daemon of docker")
    subprocess.run(["docker", "build", "-t", "punie-build:test", "."], cwd=ROOT, check=True)  # pragma: no cover
    command = ["docker", "run", "--rm", "-v", f"{project}:/project", "punie-build:test", "plan"]  # pragma: no cover
    done = subprocess.run(command, capture_output=True, text=True)  # pragma: no cover
    assert "dataset:few" in done.stdout, done.stderr  # pragma: no cover


def _has_docker() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def test_the_page_about_ci_lists_the_inputs_of_the_action():
    page = (ROOT / "docs/how-to/gate-in-ci.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == set(ACTION["inputs"])

"""Uploading: an adapter or a model as a folder of the Hugging Face Hub, and that folder to the Hub.

    .punie/publish/adapters/v1/   the target's files, its card, and provenance.json

One commit holds all of it: a repository never has new weights beside an old card.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from punie_build.engine import provenance
from punie_build.engine.task import AnyTask
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.reports import draw
from punie_build.storage import paths, store

TOKEN = "set HF_TOKEN, or log in with `hf auth login`; `--dry-run` needs none"  # noqa: S105 - a sentence


def prepare(project: Project, task: AnyTask) -> Path:
    """The folder as it would be uploaded. Raises UseError if the target is not one to publish, or not what its recipe gives."""
    if not draw.page_kind(task).card:
        raise UseError(f"{task.label}: {task.kind.name} is not published - adapters and models are")
    if not project.is_current(task.label):
        raise UseError(f"{task.label}: {project.state(task)} - `doit {task.label}` first")
    out = project.root / paths.upload_folder(task.target)
    shutil.rmtree(out, ignore_errors=True)
    lock = project.lock(task)
    for name in lock.outputs:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        store.copy(project.folder(task) / name, out / name)
    (out / paths.CARD).write_text(draw.card(project, task), encoding="utf-8")
    statement = json.dumps(provenance.statement(task, lock), indent=1)
    (out / "provenance.json").write_text(statement + "\n", encoding="utf-8")
    return out


def files(folder: Path) -> dict[str, int]:
    """The bytes of each file of a folder, by its path in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def upload(folder: Path, repo: str, message: str, private: bool) -> str:
    """Make the repository if it is not there, and commit the folder to it; where it is then. Raises UseError."""
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not get_token():
        raise UseError(f"{repo}: no token of the Hub - {TOKEN}")
    api = HfApi()
    try:
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        added = [CommitOperationAdd(place, str(folder / place)) for place in files(folder)]
        commit = api.create_commit(name, added, commit_message=message)
    except HFValidationError as error:
        raise UseError(f"{repo}: {error} - write owner/name") from None
    except (HfHubHTTPError, httpx.HTTPError, ValueError, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise UseError(
            f"{repo}: the Hub did not take it ({said}) - may this token write there? The folder is ready: {folder.name}"
        ) from None
    return str(commit.commit_url)

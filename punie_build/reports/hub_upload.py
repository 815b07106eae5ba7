"""Upload of adapters and models to the Hugging Face Hub.

    .punie/publish/adapters/v1/   the target's files, its card, `.eval_results/`, its lock and provenance.json

The folder is uploaded in one commit, so that a repository never has new weights beside an old card.
"""

from __future__ import annotations

import json
from pathlib import Path

from punie_build.engine import provenance
from punie_build.engine.task import AnyTask
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.reports import draw, eval_results, model_signature, published_folder
from punie_build.runtime.program import build_command
from punie_build.storage import atomic, locks, paths, store

TOKEN_HINT = "set HF_TOKEN, or log in with `hf auth login`; `--dry-run` needs no token"  # noqa: S105 - a message


def prepare(project: Project, task: AnyTask, key: Path | None = None) -> Path:
    """Write the folder to upload, signed with a private `key`. Raises UseError if the kind cannot be published or the
    artifact is not current."""
    if not draw.page_kind(task).card:
        raise UseError(f"{task.label}: {task.kind.name} cannot be published - choose an adapter or a model")
    if not project.is_current(task.label):
        raise UseError(f"{task.label}: {project.state(task)} - run `{build_command()} {task.label}` first")
    out = project.root / paths.upload_folder(task.target)
    atomic.remove(out)
    out.mkdir(parents=True)
    lock = project.lock(task)
    for name in lock.outputs:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        store.copy(project.folder(task) / name, out / name)
    (out / paths.CARD).write_text(draw.card(project, task), encoding="utf-8")
    results = getattr(draw.page_kind(task).load(project, task, lock=lock), "results", ())
    eval_results.write(project, results, out)
    statement = json.dumps(provenance.statement(task, lock), indent=1)
    (out / published_folder.PROVENANCE).write_text(statement + "\n", encoding="utf-8")
    (out / published_folder.LOCK).write_bytes(locks.encode(lock))
    if key:
        model_signature.sign(out, key)
    return out


def files(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file of a folder, by its path in the folder."""
    file_paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in file_paths}


def upload(folder: Path, repo: str, message: str, private: bool) -> str:
    """Create the repository if needed, commit the folder, and return the URL of the commit. Raises UseError."""
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not get_token():
        raise UseError(f"{repo}: no Hugging Face token - {TOKEN_HINT}")
    api = HfApi()
    try:
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        additions = [CommitOperationAdd(path, str(folder / path)) for path in files(folder)]
        commit = api.create_commit(name, additions, commit_message=message)
    except HFValidationError as error:
        raise UseError(f"{repo}: {error} - write owner/name") from None
    except (HfHubHTTPError, httpx.HTTPError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UseError(
            f"{repo}: the Hub rejected the upload ({reason}) - check that the token may write to this repository; "
            f"the folder is ready: {folder.name}"
        ) from None
    return str(commit.commit_url)

"""The commit of a repository of the Hugging Face Hub that a command names without one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from punie_build.errors import UseError

REPOSITORY = re.compile(r"([\w.-]+)/[\w.-]+(@[0-9a-f]{40})?")


def commit_of(repo: str, revision: str = "main", holds_data: bool = False) -> str:
    """Return the commit of a branch or tag of a repository of weights or, with `holds_data`, of data. Raises
    UseError."""
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        info = hub.dataset_info if holds_data else hub.model_info
        return str(info(repo, revision=revision).sha)
    except Exception as error:  # the client of the Hub passes on those of its HTTP library
        reason = str(error).splitlines()[0]
        raise UseError(f"{repo}@{revision}: {reason} - check the name, the revision and the network") from None


def with_commit(root: Path, name: str, holds_data: bool = False) -> str:
    """Return `org/name@commit` for `org/name`, with the latest commit, which is printed. Any other name, and a path in
    a folder that is here, is returned as it is. Raises UseError."""
    match = REPOSITORY.fullmatch(name)
    if not match or match[2] or (root / match[1]).is_dir():
        return name
    pinned = f"{name}@{commit_of(name, holds_data=holds_data)}"
    print(f"{name}: the latest commit - {pinned} names it", file=sys.stderr)
    return pinned

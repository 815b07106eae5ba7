"""The commit of a repository of the Hugging Face Hub that a command names without one."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from punie_build.errors import UseError

Kind = Literal["model", "dataset"]
REPOSITORY = re.compile(r"([\w.-]+)/[\w.-]+(@[0-9a-f]{40})?")


def commit_of(repo: str, kind: Kind = "model", revision: str = "main") -> str:
    """Return the commit of a branch or tag. Raises UseError."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().repo_info(repo, repo_type=kind, revision=revision).sha)
    except Exception as error:  # the client of the Hub passes on those of its HTTP library
        reason = str(error).splitlines()[0]
        raise UseError(f"{repo}@{revision}: {reason} - check the name, the revision and the network") from None


def with_commit(root: Path, name: str, kind: Kind = "model") -> str:
    """Return `org/name@commit` for `org/name`, with the latest commit, which is printed. Any other name, and a path in a
    folder that is here, is returned as it is. Raises UseError."""
    match = REPOSITORY.fullmatch(name)
    if not match or match[2] or (root / match[1]).is_dir():
        return name
    pinned = f"{name}@{commit_of(name, kind)}"
    print(f"{name}: the latest commit - {pinned} names it", file=sys.stderr)
    return pinned

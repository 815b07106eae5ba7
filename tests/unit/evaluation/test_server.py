"""The start of a model server."""

from __future__ import annotations

import asyncio
import json

import pytest

from punie_build.errors import ServerError
from punie_build.evaluation.server import ServedModel, start
from punie_build.storage import paths


def test_a_draft_of_another_vocabulary_is_refused_before_the_server_starts(tmp_path):
    draft = tmp_path / "draft"
    draft.mkdir()
    vocabulary = {f"w{number}": number for number in range(99)}
    (draft / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    log = tmp_path / "server.log"
    with pytest.raises(ServerError, match="draft draft: it numbers 99 of 99 tokens otherwise"):
        asyncio.run(start(ServedModel(model=paths.nano(), draft=draft), log, {}))
    assert not log.exists()

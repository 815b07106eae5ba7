"""Functions that read an artifact's own files and compare them with its recipe, by kind of artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from punie_build.data import verify as data_verify
from punie_build.evaluation import verify as evaluation_verify
from punie_build.export import model_folder
from punie_build.sweeps import verify as sweeps_verify
from punie_build.training import verify as training_verify

OF: dict[str, Callable[[Path, Any, Path | None], Iterator[str]]] = {
    "dataset": data_verify.data,
    "stage": data_verify.data,
    "mix": data_verify.data,
    "adapter": training_verify.adapter,
    "choice": sweeps_verify.choice,
    "model": model_folder.model,
    "answers": evaluation_verify.answers,
    "eval": evaluation_verify.scores,
}

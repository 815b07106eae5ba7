"""The log-probabilities of both answers of all pairs by a reference: the base, or the adapter that a training starts
from.

DPO compares with them. All adapters with the same pairs and the same start share one artifact, in which
`train.safetensors` and `valid.safetensors` hold `log_probabilities` (rows, 2) in nats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from punie_build.engine.work import StepResult, Work
from punie_build.schema.spec import Spec
from punie_build.training.spec import Tokenized

if TYPE_CHECKING:
    from punie_build.training.token_file import NumpyArray, TokenRows

SPLITS = ("train", "valid")
NAME = "log_probabilities"  # of the array in a file


class PairReference(Spec, frozen=True, kw_only=True):
    """The log-probabilities of the pairs in `tokens` by a base, or by the adapter `init` on it."""

    base: str
    tokens: Tokenized
    init: str | None = None
    description: str = ""

    @property
    def name(self) -> str:
        return f"{self.tokens.name}-{self.init}" if self.init else self.tokens.name


class ReferenceJob(Struct, frozen=True, kw_only=True):
    """job.json of the process: folders of the base, of its adapter if it has one, of the tokens and of the output."""

    base: str
    tokens: str
    out: str
    init: str | None = None


def reference(work: Work[PairReference]) -> StepResult:
    """Compute the log-probabilities in a process of its own."""
    tokens = work.inputs()[0]
    init = work.inputs()[-1] if work.spec.init else None
    compute(work.root, work.external("base"), tokens, work.out, work.logs, init)
    of_train, of_valid = (read(work.out, split) for split in SPLITS)
    gaps = of_train[:, 0] - of_train[:, 1]
    share = float((gaps > 0).mean())
    text = (
        f"{len(of_train)} training and {len(of_valid)} validation pairs; the wanted answer is likelier in {share:.0%}"
    )
    return StepResult(text, {"pairs": len(of_train), "wanted_likelier": share})


def compute(root: Path, base: Path, tokens: Path, out: Path, logs: Path, init: Path | None = None) -> None:
    """Write the log-probabilities of the pairs in a folder of tokens into `out`. Raises ModelError."""
    from punie_build.runtime import blas, child

    content = ReferenceJob(base=str(base), tokens=str(tokens), out=str(out), init=str(init) if init else None)
    job = child.job_file(logs / "reference.json", content)
    child.run("punie_build.training.loop.reference_process", [job], logs / "reference.log", blas.environment(root))


def read(folder: Path, split: str) -> NumpyArray:
    """Return the log-probabilities (rows, 2) of a split."""
    from safetensors.numpy import load_file

    return load_file(folder / f"{split}.safetensors")[NAME]


def rows_with_reference(tokens: Path, folder: Path | None, split: str) -> TokenRows:
    """Return the rows of a split, with the log-probabilities in a folder if there is one."""
    from punie_build.training import token_file

    rows = token_file.load(tokens / f"{split}.safetensors")
    return rows if folder is None else structs.replace(rows, reference=read(folder, split))

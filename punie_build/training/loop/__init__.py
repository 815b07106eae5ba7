"""The training loop with mlx, in a process of its own.

`process` is its entry point: it reads the job file, loads the base, applies LoRA and runs `trainer.Trainer`. No other
module imports this package; `training.distributed` starts it.
"""

__all__ = ("process",)

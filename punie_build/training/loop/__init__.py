"""The training loop with mlx, in a process of its own.

`process` is its entry point: it reads the job file, loads the base, applies LoRA and runs `trainer.Trainer`;
`training.distributed` starts it. `reference_process` computes log-probabilities of pairs. No other module imports this
package.
"""

__all__ = ("process", "reference_process")

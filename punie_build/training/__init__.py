"""Training of adapters: specs, tokenization, checkpoints, and the processes that tokenize and train.

Specs: `spec` (`Adapter`, `Lora`, `Tokenized`), `optimizer_spec`. Runs: `steps`, `launch`, `checkpoints`,
`batch_sampler`, `throughput`, `reference`, `mlx_lm_defaults`, `memory_ladder`. Files: `history` (metrics.jsonl),
`adapter_files`, `adapter_config`, `token_file`, `mlx_log`, `verify`.
No module here imports a heavy library at its top; the package `loop`, `token_loss` and the processes import mlx.
"""

__all__ = (
    "adapter_config",
    "adapter_files",
    "adapter_formats",
    "adopted",
    "adoption",
    "batch_sampler",
    "checkpoints",
    "history",
    "launch",
    "memory_ladder",
    "mlx_lm_defaults",
    "mlx_log",
    "optimizer_spec",
    "reference",
    "spec",
    "steps",
    "throughput",
    "token_file",
    "token_loss",
    "verify",
)

"""Training of adapters: specs, tokenization, batch sampling, checkpoints, and the processes that tokenize and train.

Public modules: `spec` (Adapter, Lora, Tokenized), `optimizer_spec`, `launch` (tokenize, train), `history`
(metrics.jsonl), `adapter_config`, `token_file` (TokenRows, TokenStats), `batch_sampler`, `checkpoints`, `throughput`,
`mlx_log`, `verify`. This package imports no heavy library; only `loop` and the processes import mlx.
"""

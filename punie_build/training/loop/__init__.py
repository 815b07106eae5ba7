"""The training loop with mlx. Runs in a process of its own; `process` is its entry point, and no other package
imports it."""

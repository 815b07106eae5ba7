"""Export of models: an adapter fused into its base, or a base alone, quantized and measured.

`spec` has `Model`, `steps` the step, `model_folder` the files of a model and their comparison with the recipe.
`process` and `fidelity` run with mlx in a process of their own; `job` is the file that starts it.
"""

__all__ = ("model_folder", "spec", "steps")

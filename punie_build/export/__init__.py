"""Export of models: an adapter fused into its base, or a base alone, quantized and measured.

`spec` has `Model`, `steps` the step, `model_folder` the files of a model and their comparison with the recipe.
`lora` reads an adapter for other programs, `peft_adapter` and `gguf_adapter` write it in their formats;
`gguf_model` and `gguf_vocabulary` write a model, `app_folder` the files of Ollama and LM Studio around it.
`process` and `fidelity` run with mlx in a process of their own; `job` is the file that starts it.
"""

__all__ = ("app_folder", "gguf_adapter", "gguf_model", "lora", "model_folder", "peft_adapter", "spec", "steps")

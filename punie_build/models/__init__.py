"""Base models: their specs, their folders, and facts that their files tell without mlx.

`spec` has `Base`, `locate` finds a base, `hub_download` downloads it, `origin` has its license. `architecture` and
`weights` read its layers and sizes, `safetensors` headers, `verify` the signature of its weights; `environment` has
the versions of mlx and BLAS for keys. `precision` is the only module that imports mlx at its top.

`gguf_base` converts a GGUF file, `gguf_names` has the names of tensors there, `gguf_rope` scaled frequencies.
`tokenizer` loads the tokenizer of a base; `served_template` is its chat template, as a server applies it,
`rendered_row` the one rendering of a conversation for it, `encoded_text` its token ids, `dropped_parts` the parts that
its chat template leaves out, `thoughts` the marks around thoughts.
"""

__all__ = (
    "architecture",
    "dropped_parts",
    "encoded_text",
    "environment",
    "gguf_base",
    "gguf_names",
    "gguf_rope",
    "gguf_tokenizer",
    "locate",
    "origin",
    "precision",
    "rendered_row",
    "safetensors",
    "served_template",
    "spec",
    "tensor_file",
    "thoughts",
    "tokenizer",
    "verify",
    "weights",
)

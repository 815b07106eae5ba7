"""The settings by which an arm is asked, where its variant or its training decides them."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from punie_build.evaluation.spec import GenerationSpec


def with_settings(spec: GenerationSpec, details: Any) -> GenerationSpec:
    """Return the generation of answers with the template arguments and the sampling in the details of its task."""
    if details.chat_template_args:
        spec = structs.replace(
            spec, serving=structs.replace(spec.serving, chat_template_args=details.chat_template_args)
        )
    return structs.replace(spec, sampling=details.sampling) if details.sampling else spec

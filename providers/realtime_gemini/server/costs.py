"""Costs: what a turn used, in the service's words."""

from __future__ import annotations

from realtime_core.events import Usage

from ..server_messages import ModalityTokens, UsageMetadata

__all__ = ("added", "metadata")


def added(one: Usage | None, other: Usage | None) -> Usage | None:
    """Give what two answers of a turn cost together."""
    if one is None or other is None:
        return one or other
    names = Usage.__struct_fields__
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in names})


def metadata(usage: Usage) -> UsageMetadata:
    """Give what a turn cost as the service tells it, by kinds of tokens."""
    written = usage.input_tokens - usage.input_audio_tokens - usage.input_image_tokens
    return UsageMetadata(
        prompt_token_count=usage.input_tokens,
        response_token_count=usage.output_tokens,
        cached_content_token_count=usage.cached_tokens or None,
        total_token_count=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=_details(
            ("TEXT", written),
            ("AUDIO", usage.input_audio_tokens),
            ("IMAGE", usage.input_image_tokens),
        ),
        response_tokens_details=_details(
            ("TEXT", usage.output_tokens - usage.output_audio_tokens),
            ("AUDIO", usage.output_audio_tokens),
        ),
    )


def _details(*counts: tuple[str, int]) -> tuple[ModalityTokens, ...]:
    return tuple(ModalityTokens(name, count) for name, count in counts if count > 0)

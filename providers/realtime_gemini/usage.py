"""Usage: what a turn has cost, as the library counts it."""

from __future__ import annotations

from collections.abc import Iterable

from realtime_core.events import Usage

from .server_messages import ModalityTokens, UsageMetadata

__all__ = ("usage_of",)


def usage_of(told: UsageMetadata) -> Usage:
    """Read what a turn has cost; thoughts are output, Vertex says `candidates` for the answer."""
    answer = told.response_token_count or told.candidates_token_count or 0
    given = told.response_tokens_details or told.candidates_tokens_details or ()
    taken = told.prompt_tokens_details or ()
    return Usage(
        input_tokens=(told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0),
        output_tokens=answer + (told.thoughts_token_count or 0),
        input_audio_tokens=_of(taken, "AUDIO"),
        output_audio_tokens=_of(given, "AUDIO"),
        input_image_tokens=_of(taken, "IMAGE") + _of(taken, "VIDEO"),
        cached_tokens=told.cached_content_token_count or 0,
    )


def _of(details: Iterable[ModalityTokens], modality: str) -> int:
    return sum(one.token_count or 0 for one in details if one.modality == modality)

"""OpenAI Realtime and every service that speaks its protocol: one codec, dialects as values."""

from __future__ import annotations

from .calls import Answer, ClientSecret, answer_offer, hang_up, mint
from .endpoint import Access, Door, reach
from .providers import azure_openai, azure_voice_live, openai, openai_beta, xai
from .service import AZURE_OPENAI, AZURE_VOICE_LIVE, OPENAI, OPENAI_BETA, XAI_GROK, Service

__all__ = (
    "AZURE_OPENAI",
    "AZURE_VOICE_LIVE",
    "OPENAI",
    "OPENAI_BETA",
    "XAI_GROK",
    "Access",
    "Answer",
    "ClientSecret",
    "Door",
    "Service",
    "answer_offer",
    "azure_openai",
    "azure_voice_live",
    "hang_up",
    "mint",
    "openai",
    "openai_beta",
    "reach",
    "xai",
)

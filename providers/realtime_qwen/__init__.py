"""Qwen-Omni Realtime: the codec of the OpenAI family in Alibaba's dialect."""

from __future__ import annotations

from .codec import QwenCodec
from .endpoint import GATEWAYS, REGIONS
from .models import DEFAULT_MODEL, MODELS, Model, capabilities
from .options import Options
from .providers import qwen

__all__ = (
    "DEFAULT_MODEL",
    "GATEWAYS",
    "MODELS",
    "REGIONS",
    "Model",
    "Options",
    "QwenCodec",
    "capabilities",
    "qwen",
)

"""Nova Sonic on Amazon Bedrock: one codec, a table of models, one signed exchange of HTTP/2."""

from __future__ import annotations

from .credentials import Credentials
from .providers import nova

__all__ = ("Credentials", "nova")

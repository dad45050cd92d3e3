"""The sides: every provider with its far side, inside the process and over sockets."""

from __future__ import annotations

from tests.parity.far import Side
from tests.parity.far_gemini import gemini_inside, gemini_over_a_socket
from tests.parity.far_local import local_inside
from tests.parity.far_nova import nova_inside, nova_over_tls
from tests.parity.far_openai import openai_inside, openai_over_a_socket
from tests.parity.far_qwen import qwen_inside, qwen_over_a_socket

__all__ = ("SIDES", "SOCKETS")

SIDES: dict[str, Side] = {
    "openai": openai_inside,
    "gemini": gemini_inside,
    "nova": nova_inside,
    "qwen": qwen_inside,
    "local": local_inside,
}
"""By the provider's name; the local voice has no wire: it is its engine, with scripted parts."""

SOCKETS: dict[str, Side] = {
    "openai": openai_over_a_socket,
    "gemini": gemini_over_a_socket,
    "nova": nova_over_tls,
    "qwen": qwen_over_a_socket,
}

"""How servers hang up and how turns end, as typed errors; keys are never quoted."""

from __future__ import annotations

import pytest

from realtime_core.errors import (
    AuthFailed,
    ContentFiltered,
    IncompleteTurn,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    Unavailable,
)
from realtime_gemini.failures import closed, quoted, unfinished


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1000, "", None),
        (1001, "", SessionExpired),
        (1002, "", InvalidRequest),
        (1003, "", InvalidRequest),
        (1005, "", Unavailable),
        (1006, "", Unavailable),
        (1007, "Request contains an invalid argument.", InvalidRequest),
        (1007, "Thinking level must be specified", InvalidRequest),
        (1007, "API key not valid. Please pass a valid API key.", AuthFailed),
        (1008, "models/none is not found for API version v1beta", InvalidRequest),
        (1008, "Operation is not implemented, or supported, or enabled.", InvalidRequest),
        (1008, "Method doesn't allow unregistered callers", AuthFailed),
        (1008, "BidiGenerateContent session expired", SessionExpired),
        (1008, "BidiGenerateContent session not found", InvalidRequest),
        (1009, "", InvalidRequest),
        (1011, "Internal error encountered.", Unavailable),
        (1011, "You exceeded your current quota, please check your plan", RateLimited),
        (1011, "Resource has been exhausted", Unavailable),
        (1011, "RESOURCE_EXHAUSTED", RateLimited),
        (1011, "Deadline expired before operation could complete.", SessionExpired),
        (1012, "", Unavailable),
        (1013, "", Unavailable),
    ],
)
def test_hanging_up(code: int, reason: str, error: type[RealtimeError] | None) -> None:
    read = closed(code, reason)
    assert type(read) is (error or type(None))
    if read is not None:
        assert read.code == str(code)
        assert (reason or f"code {code}") in read.what
        assert read.cause
        assert read.fix


def test_what_may_be_tried_again() -> None:
    """Bad keys, bad requests and policies never heal by waiting; the rest may."""
    codes = (1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1012)
    again = {code for code in codes if (error := closed(code, "")) is not None and error.retryable}
    assert again == {1001, 1006, 1011, 1012}


@pytest.mark.parametrize(
    "secret",
    [
        "AIzaSyA1234567890abcdefghijklmnopqrstuvw",
        "AQ.Ab8RN6I_abcdefghijkl-mnop",
        "ya29.a0AfH6SMBx-abc_def.ghi",
        "auth_tokens/3f2a-bc_d",
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ4In0",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_keys_are_blotted(secret: str) -> None:
    read = closed(1008, f"The key {secret} is no good, see ?key={secret}&x=1.")
    assert read is not None
    assert secret not in str(read)
    assert "***" in read.what


@pytest.mark.parametrize(
    "words",
    [
        "models/gemini-2.5-flash-native-audio-preview-12-2025 is not found",
        "google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        "Invalid value at 'setup.generation_config.response_modalities[0]'",
    ],
)
def test_other_words_are_not(words: str) -> None:
    assert quoted(words) == words


def test_long_reasons_are_cut() -> None:
    assert len(quoted("no " * 5_000)) == 1_000


@pytest.mark.parametrize(
    ("reason", "status", "error"),
    [
        (None, "completed", None),
        ("", "completed", None),
        ("TURN_COMPLETE_REASON_UNSPECIFIED", "completed", None),
        ("NEED_MORE_INPUT", "completed", None),
        ("MALFORMED_FUNCTION_CALL", "failed", IncompleteTurn),
        ("RESPONSE_REJECTED", "failed", ContentFiltered),
        ("PROHIBITED_INPUT_CONTENT", "failed", ContentFiltered),
        ("INPUT_IP_PROHIBITED", "failed", ContentFiltered),
        ("GENERATED_AUDIO_SAFETY", "failed", ContentFiltered),
        ("BLOCKLIST", "failed", ContentFiltered),
        ("MAX_REGENERATION_REACHED", "incomplete", IncompleteTurn),
        ("SOMETHING_NEW", "incomplete", IncompleteTurn),
    ],
)
def test_turns(reason: str | None, status: str, error: type[RealtimeError] | None) -> None:
    told, read = unfinished(reason)
    assert told == status
    assert type(read) is (error or type(None))
    assert read is None or (read.code == reason and read.cause)

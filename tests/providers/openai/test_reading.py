"""What a server says of the session, the user, limits and errors."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.epoch import RequestId, ResponseId
from realtime_core.events import (
    Error,
    Interrupted,
    RateLimit,
    RateLimits,
    ResponseStarted,
    Unknown,
    Usage,
    UserTranscript,
    Warning,
)
from realtime_core.frames import CreateResponse
from realtime_openai.dialect import XAI
from tests.providers.openai.wires import (
    CREATED,
    DONE,
    I,
    U,
    fault,
    heard,
    item,
    means,
    opened,
    said,
    stated,
    turned,
    user,
)

USER_ITEM = {"id": U, "type": "message", "role": "user", "content": [{"type": "input_audio"}]}


# --- the user ---------------------------------------------------------------------------------


class TestUserWords:
    def test_before_the_commit_and_after_the_answer(self) -> None:
        """Its place in the conversation is told at the commit, the words whenever they come."""
        late = turned("Hello.", "completed")
        committed = said("input_audio_buffer.committed", item_id=U)
        events = means(turned("Hel", "delta"), committed, CREATED, DONE, late)
        assert [e for e in events if isinstance(e, UserTranscript)] == [
            user("Hel"),
            user("Hel"),
            user("Hello.", final=True),
        ]

    def test_nothing_follows_the_final(self) -> None:
        final, more = turned("Hello.", "completed"), turned(" again", "delta")
        committed = said("input_audio_buffer.committed", item_id=U)
        failed = said("conversation.item.input_audio_transcription.failed", item_id=U, error={})
        assert means(final, more, committed, final, failed) == (user("Hello.", final=True),)

    @pytest.mark.parametrize(
        ("usage", "read"),
        [
            ({"type": "duration", "seconds": 3}, Usage(seconds=3.0)),
            (
                {
                    "type": "tokens",
                    "total_tokens": 22,
                    "input_tokens": 13,
                    "output_tokens": 9,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 13},
                },
                Usage(input_tokens=13, output_tokens=9, input_audio_tokens=13),
            ),
            (None, None),
        ],
    )
    def test_what_writing_it_down_cost(self, usage: Any, read: Usage | None) -> None:
        name = "conversation.item.input_audio_transcription.completed"
        wire = said(name, item_id=U, content_index=0, transcript="Hello.", usage=usage)
        assert means(wire) == (user("Hello.", final=True, usage=read),)

    def test_what_could_not_be_written_down(self) -> None:
        name = "conversation.item.input_audio_transcription.failed"
        error = {"type": "server_error", "code": None, "message": "No deployment.", "param": None}
        assert means(said(name, item_id=U, content_index=0, error=error)) == (
            Warning(field="transcribe_user", why="No deployment."),
            user("", final=True),
        )

    def test_grok_tells_all_so_far_each_time(self) -> None:
        name = "conversation.item.input_audio_transcription"
        snapshot = said(f"{name}.updated", item_id=U, transcript="Hello my")
        so_far = said(
            f"{name}.completed", item_id=U, transcript="Hello my name", status="in_progress"
        )
        last = said(
            f"{name}.completed", item_id=U, transcript="Hello, my name.", status="completed"
        )
        assert means(snapshot, so_far, last, snapshot, dialect=XAI) == (
            user("Hello my"),
            user("Hello my name"),
            user("Hello, my name.", final=True),
        )

    def test_a_silence_that_ran_out(self) -> None:
        """The server prompts itself; its silence becomes no turn of the user."""
        span = {"audio_start_ms": 0, "audio_end_ms": 5_000, "item_id": U}
        prompt = {"id": "item_s", "type": "message", "role": "system"}
        events = means(
            said("input_audio_buffer.timeout_triggered", **span),
            said("conversation.item.added", item=prompt),
            said("conversation.item.done", item=prompt),
            said("input_audio_buffer.committed", item_id=U),
            said("conversation.item.added", item=USER_ITEM),
            CREATED,
            turned("", "completed"),
        )
        assert [type(event) for event in events] == [
            Unknown,
            UserTranscript,
            ResponseStarted,
            UserTranscript,
        ]
        assert events[-1] == user("", final=True)


# --- limits and errors ------------------------------------------------------------------------


def test_rate_limits() -> None:
    limits = [
        {"name": "requests", "limit": 10_000, "remaining": 9_999, "reset_seconds": 0.008},
        {"name": "tokens", "limit": 2_000_000, "remaining": 1_999_000, "reset_seconds": 0.03},
    ]
    assert means(said("rate_limits.updated", rate_limits=limits)) == (
        RateLimits(
            limits=(
                RateLimit("requests", 10_000.0, 9_999.0, 0.008),
                RateLimit("tokens", 2_000_000.0, 1_999_000.0, 0.03),
            )
        ),
    )


class TestErrors:
    @pytest.mark.parametrize(
        ("about", "request_named"), [("create q 1", "q 1"), ("update", None), (None, None)]
    )
    def test_of_a_message(self, about: str | None, request_named: str | None) -> None:
        (event,) = means(fault(about))
        assert isinstance(event, Error)
        assert (event.recoverable, event.request) == (True, request_named)

    @pytest.mark.parametrize("about", ["truncate i", "delete i", "commit"])
    def test_of_what_is_of_no_weight(self, about: str) -> None:
        assert means(fault(about)) == (Warning(field=about.split(maxsplit=1)[0], why="No."),)

    def test_of_a_cancel(self) -> None:
        for code in ("response_cancel_not_active", None):
            assert means(fault("cancel r", code)) == (
                Interrupted(cause="provider", response=ResponseId("r")),
            )

    def test_of_a_cancel_that_is_not_named(self) -> None:
        (event,) = means(fault(None, "response_cancel_not_active"))
        assert event == Warning(field="cancel", why="No.")

    def test_of_a_create_that_is_not_named(self) -> None:
        codec, state = opened()
        state = codec.encode(state, CreateResponse(request=RequestId("q"))).unwrap().state
        refusal = fault("event_7", "conversation_already_has_active_response")
        state, (first,) = heard(codec, state, refusal)
        _, (second,) = heard(codec, state, refusal)
        assert isinstance(first, Error)
        assert isinstance(second, Error)
        assert [first.request, second.request] == ["q", None]

    def test_with_next_to_nothing_in_it(self) -> None:
        wire = said("error", error={"type": None, "code": 500, "message": None})
        (event,) = means(wire)
        assert isinstance(event, Error)
        assert event.error.code == "500"


@pytest.mark.parametrize(
    "wire",
    [
        said("ping", timestamp=1),
        said("conversation.created", conversation={"id": "conv_1"}),
        said("input_audio_buffer.cleared"),
        said("conversation.item.truncated", item_id=I, content_index=0, audio_end_ms=1500),
        said("conversation.item.deleted", item_id=I),
        said("session.created", session={}),
    ],
)
def test_what_is_no_news(wire: bytes) -> None:
    assert means(wire) == ()


def test_what_is_remembered_is_bounded() -> None:
    """However many answers never end, items are named and words never come."""
    codec, state = opened()
    for n in range(600):
        state = codec.encode(state, CreateResponse(request=RequestId(f"q{n}"))).unwrap().state
        state, _ = heard(
            codec,
            state,
            said("response.created", response={"id": f"r{n}", "metadata": None}),
            said("response.output_item.added", response_id=f"r{n}", item=item(id=f"i{n}")),
            said("input_audio_buffer.committed", item_id=f"u{n}"),
            stated(name="look", response_id=f"r{n}", call_id=f"c{n}"),
        )
    sizes = {name: len(getattr(state, name)) for name in ("open", "ended", "items", "words")}
    assert max(sizes.values()) <= 256
    assert max(len(state.calls), len(state.asked), len(state.written)) <= 64
    assert heard(codec, state, said("response.created", response={"id": "r590"}))[1] == ()

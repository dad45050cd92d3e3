"""Answers, in the orders of the protocol sheet and in others: begun once, ended once."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.epoch import CallId, ItemId, RequestId
from realtime_core.errors import ContentFiltered, IncompleteTurn, RateLimited
from realtime_core.events import (
    AudioOutput,
    AudioOutputDone,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Unknown,
    Usage,
)
from realtime_core.frames import CreateResponse
from realtime_core.testing.conformance import check_coded, conforms
from realtime_openai.codec import OpenAICodec
from realtime_openai.dialect import BETA, GA, XAI, Dialect
from realtime_openai.memory import Memory
from tests.providers.openai.wires import (
    CREATED,
    DONE,
    OF,
    PART,
    PCM,
    SOUND,
    STARTED,
    I,
    R,
    U,
    added,
    heard,
    item,
    means,
    opened,
    planned,
    response,
    said,
    stated,
    turned,
    user,
    words,
)

USER_ITEM = {"id": U, "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
SPOKEN_TURN = (
    said("input_audio_buffer.speech_started", audio_start_ms=1236, item_id=U),
    turned(" Hel", "delta"),
    said("input_audio_buffer.speech_stopped", audio_end_ms=2100, item_id=U),
    said("input_audio_buffer.committed", previous_item_id=None, item_id=U),
    said("conversation.item.added", previous_item_id=None, item=USER_ITEM),
    said("conversation.item.done", previous_item_id=None, item=USER_ITEM),
    CREATED,
    added(content=[]),
    said("conversation.item.added", previous_item_id=U, item=item(phase="final_answer")),
    PART,
    said("response.output_audio_transcript.delta", **OF, delta="Hi "),
    SOUND,
    turned("lo.", "delta"),
    said("response.output_audio_transcript.delta", **OF, delta="there."),
    turned("Hello.", "completed"),
    SOUND,
    said("response.output_audio.done", **OF),
    said("response.output_audio_transcript.done", **OF, transcript="Hi there."),
    said("response.content_part.done", **OF, part={"type": "audio", "transcript": "Hi there."}),
    said("conversation.item.done", previous_item_id=U, item=item(status="completed")),
    said("response.output_item.done", response_id=R, output_index=0, item=item(status="completed")),
    DONE,
)


def test_a_spoken_turn() -> None:
    sound = AudioOutput(response=R, item=I, pcm=PCM, format=planned().output_format)
    assert means(*SPOKEN_TURN) == (
        SpeechStarted(item=U, audio_ms=1236),
        user(" Hel"),
        SpeechStopped(item=U, audio_ms=2100),
        user(" Hel"),
        STARTED,
        words("Hi "),
        sound,
        user(" Hello."),
        words("there."),
        user("Hello.", final=True),
        sound,
        AudioOutputDone(response=R, item=I),
        words("Hi there.", final=True),
        ResponseDone(response=R, status="completed"),
    )


def test_it_keeps_the_one_grammar() -> None:
    acknowledged = said("session.updated", session={})
    assert conforms(OpenAICodec(GA), planned(), [acknowledged, *SPOKEN_TURN]) == []


def test_a_written_answer() -> None:
    assert means(
        CREATED,
        added(),
        said("response.content_part.added", **OF, part={"type": "text", "text": ""}),
        said("response.output_text.delta", **OF, delta="Fog"),
        said("response.output_text.delta", **OF, delta="gy."),
        said("response.output_text.done", **OF, text="Foggy."),
    ) == (
        STARTED,
        ResponseText(response=R, item=I, text="Fog", is_complete=False),
        ResponseText(response=R, item=I, text="gy.", is_complete=False),
        ResponseText(response=R, item=I, text="Foggy.", is_complete=True),
    )


# --- tools ------------------------------------------------------------------------------------


def call(id: str = "item_f", status: str = "completed", **fields: Any) -> dict[str, Any]:
    known = {"name": "look", "call_id": "call_x1", "arguments": '{"at":1}', "status": status}
    return item("function_call", id, **{**known, **fields})


def whole(done: dict[str, Any]) -> bytes:
    return said("response.output_item.done", response_id=R, output_index=1, item=done)


LOOK = ToolCall(
    response=R, item=ItemId("item_f"), call=CallId("call_x1"), name="look", arguments='{"at":1}'
)


class TestTools:
    def test_side_by_side_while_an_item_still_speaks(self) -> None:
        named = {"item_id": "item_g", "call_id": "call_x2", "name": "listen", "output_index": 2}
        events = means(
            CREATED,
            added(),
            said("response.output_text.delta", **OF, delta="One "),
            said("response.output_item.added", response_id=R, item=call(arguments="")),
            said("response.function_call_arguments.delta", delta='{"a', call_id="call_x1"),
            said("response.output_text.delta", **OF, delta="moment."),
            stated(name="look"),
            stated("{}", **named),
            whole(call()),
            said("response.output_text.done", **OF, text="One moment."),
            whole(call("item_g", call_id="call_x2", name="listen", arguments="{}")),
            DONE,
        )
        assert [e for e in events if isinstance(e, ToolCall)] == [
            LOOK,
            ToolCall(
                response=R,
                item=ItemId("item_g"),
                call=CallId("call_x2"),
                name="listen",
                arguments="{}",
            ),
        ]
        assert check_coded(events) == []

    def test_a_name_that_only_the_item_tells(self) -> None:
        begun = said("response.output_item.added", response_id=R, item=call(arguments=""))
        assert means(CREATED, begun, stated(), dialect=BETA) == (STARTED, LOOK)
        assert means(CREATED, stated(), whole(call()), dialect=BETA) == (STARTED, LOOK)
        assert means(CREATED, stated(name=None), whole(call())) == (STARTED, LOOK)

    @pytest.mark.parametrize("half", ["", '{"at', '{"at":1} and', "\\ud800"])
    def test_arguments_that_were_cut_short_are_no_call(self, half: str) -> None:
        """They are said to be done all the same when the answer is cut."""
        cut = whole(call(status="incomplete", arguments=half))
        assert means(CREATED, stated(half, name="look"), cut) == (STARTED,)

    def test_no_arguments_are_an_empty_object(self) -> None:
        for nothing in ("", None):
            (_, event) = means(CREATED, stated("", name="look"), whole(call(arguments=nothing)))
            assert isinstance(event, ToolCall)
            assert event.arguments == "{}"

    @pytest.mark.parametrize("lacking", [{"name": None}, {"call_id": ""}])
    def test_a_call_nobody_can_answer(self, lacking: dict[str, Any]) -> None:
        assert means(CREATED, whole(call(**lacking))) == (STARTED,)

    def test_tools_that_the_server_runs_itself(self) -> None:
        mcp = item(
            "mcp_call", "item_m", name="search", arguments="{}", output="[]", server_label="s"
        )
        events = means(
            said("mcp_list_tools.in_progress", item_id="item_l"),
            said("mcp_list_tools.completed", item_id="item_l"),
            CREATED,
            said("response.output_item.added", response_id=R, item=mcp),
            said("response.mcp_call_arguments.delta", response_id=R, item_id="item_m", delta="{"),
            said(
                "response.mcp_call_arguments.done", response_id=R, item_id="item_m", arguments="{}"
            ),
            said("response.mcp_call.in_progress", item_id="item_m"),
            said("response.mcp_call.completed", item_id="item_m"),
            said("conversation.item.done", item=mcp),
            whole(mcp),
            DONE,
        )
        assert [e.name for e in events if isinstance(e, Unknown)] == [
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "response.output_item.done",
        ]
        assert events[-1] == ResponseDone(response=R, status="completed")


# --- how answers begin and end ----------------------------------------------------------------


class TestBirth:
    def asked(self, dialect: Dialect, *requests: str) -> tuple[OpenAICodec, Memory]:
        codec, state = opened(dialect)
        for name in requests:
            state = codec.encode(state, CreateResponse(request=RequestId(name))).unwrap().state
        return codec, state

    def test_our_requests_are_told_from_the_servers_own(self) -> None:
        codec, state = self.asked(GA, "q1", "q2")
        _, events = heard(
            codec,
            state,
            said("response.created", response=response(id="r1")),
            said("response.created", response=response(id="r2", metadata={"request": "q2"})),
            said("response.created", response=response(id="r3", metadata={"request": 7})),
            said("response.created", response=response(id="r4", metadata={"request": "other's"})),
        )
        assert [e.request for e in events if isinstance(e, ResponseStarted)] == [
            None,
            "q2",
            None,
            "other's",
        ]

    @pytest.mark.parametrize("dialect", [GA, BETA, XAI])
    def test_a_server_without_marks_answers_what_it_was_asked_last(self, dialect: Dialect) -> None:
        """Whoever leaves out the metadata altogether keeps none, whatever its dialect.

        A request that it passed over in silence must not shift all that follow.
        """
        codec, state = self.asked(dialect, "passed over", "q")
        aside = CreateResponse(request=RequestId("aside"), conversation="none")
        state = codec.encode(state, aside).unwrap().state
        created = [said("response.created", response={"id": f"r{n}"}) for n in range(3)]
        _, events = heard(codec, state, *created)
        assert [e.request for e in events if isinstance(e, ResponseStarted)] == ["q", "aside", None]

    def test_a_repeated_beginning_or_end_says_nothing(self) -> None:
        assert means(CREATED, CREATED, DONE, DONE, CREATED) == (
            STARTED,
            ResponseDone(response=R, status="completed"),
        )

    @pytest.mark.parametrize(
        "first",
        [
            SOUND,
            added(),
            PART,
            DONE,
            stated(name="look"),
            said("response.output_audio.done", **OF),
            said("response.output_text.delta", **OF, delta="a"),
            said("response.output_text.done", **OF, text="a"),
            said("response.output_audio_transcript.delta", **OF, delta="a"),
            said("response.output_audio_transcript.done", **OF, transcript="a"),
        ],
    )
    def test_who_joins_in_the_middle_is_told_of_a_beginning(self, first: bytes) -> None:
        events = means(first, DONE)
        assert events[0] == STARTED
        assert check_coded(events) == []

    def test_what_comes_after_the_end_does_not_begin_again(self) -> None:
        assert means(CREATED, DONE, SOUND)[2:] == (
            AudioOutput(response=R, item=I, pcm=PCM, format=planned().output_format),
        )


class TestEnd:
    @pytest.mark.parametrize(
        ("status", "details", "read", "error"),
        [
            ("completed", None, "completed", None),
            ("completed", "unimplemented", "completed", None),
            ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, "interrupted", None),
            ("cancelled", {"type": "cancelled", "reason": "client_cancelled"}, "cancelled", None),
            ("incomplete", {"reason": "max_output_tokens"}, "incomplete", IncompleteTurn),
            ("incomplete", {"reason": "content_filter"}, "incomplete", ContentFiltered),
            ("incomplete", None, "incomplete", IncompleteTurn),
            ("failed", {"error": {"code": "rate_limit_exceeded"}}, "failed", RateLimited),
            ("later", None, "completed", None),
        ],
    )
    def test_statuses(self, status: str, details: Any, read: str, error: type | None) -> None:
        over = response(status, status_details=details)
        (_, event) = means(CREATED, said("response.done", response=over))
        assert isinstance(event, ResponseDone)
        assert (event.status, event.by_provider) == (read, True)
        assert isinstance(event.error, error or type(None))

    def test_the_cost(self) -> None:
        usage = {
            "total_tokens": 205,
            "input_tokens": 41,
            "output_tokens": 164,
            "input_token_details": {
                "text_tokens": 14,
                "audio_tokens": 20,
                "image_tokens": 7,
                "cached_tokens": 3,
                "cached_tokens_details": {"text_tokens": 3, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 28, "audio_tokens": 136, "reasoning_tokens": 0},
        }
        read = Usage(
            input_tokens=41,
            output_tokens=164,
            input_audio_tokens=20,
            output_audio_tokens=136,
            cached_tokens=3,
            input_image_tokens=7,
        )
        for wire in (
            said("response.done", response=response("completed", usage=usage)),
            said("response.done", response=response("completed", usage={}), usage=usage),
        ):
            assert means(CREATED, wire)[1] == ResponseDone(
                response=R, status="completed", usage=read
            )

    def test_nulls_where_a_server_knows_nothing(self) -> None:
        nothing = dict.fromkeys(("object", "role", "content", "name", "call_id", "arguments"))
        empty = {"id": I, "type": "message", "status": None, **nothing}
        events = means(
            CREATED,
            said("response.output_item.added", response_id=R, item=empty),
            said("response.output_item.done", response_id=R, item=empty),
            said("response.done", response={"id": R, "status": "completed", "output": [empty]}),
        )
        assert events == (STARTED, ResponseDone(response=R, status="completed"))

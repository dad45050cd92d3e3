"""The codec as a whole: total over any bytes, opening, barge-in as the protocol tells it."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from returns.result import Failure, Success

from realtime_core.codec import CancelResponse, DeleteItem, Media, Resume, TruncateItem
from realtime_core.config import Message, SessionConfig
from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.errors import AuthFailed, InvalidRequest, ProtocolViolation, Unsupported
from realtime_core.events import (
    AudioOutput,
    Connected,
    Disconnected,
    Unknown,
)
from realtime_core.frames import (
    ActivityEnd,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Hold,
    Interrupt,
    Text,
    Video,
)
from realtime_core.state import Phase
from realtime_core.testing.conformance import HOSTILE, conforms, total
from realtime_core.testing.fold import Fold
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import GA, XAI
from tests.laws.stories import many
from tests.providers.openai.wires import (
    BEGUN,
    DIALECTS,
    ENDED,
    OF,
    Carrier,
    heard,
    opened,
    planned,
    said,
    sound,
    texts,
)

BOTH: tuple[Carrier, ...] = ("socket", "call")
TURN = (
    said("session.created", session={}),
    said("session.updated", session={}),
    *BEGUN,
    sound(),
    said("response.output_audio_transcript.delta", **OF, delta="Hello"),
    said("response.output_audio.done", **OF),
    said("response.output_audio_transcript.done", **OF, transcript="Hello"),
    ENDED,
)


class TestTotal:
    """Any bytes give events, an unknown event or one typed fault, twice the same."""

    @pytest.mark.parametrize("wire", HOSTILE, ids=lambda wire: repr(wire)[:40])
    @pytest.mark.parametrize("carrier", BOTH)
    def test_hostile(self, wire: str | bytes, carrier: Carrier) -> None:
        codec, state = opened(carrier=carrier)
        assert total(codec, state, wire) == []

    @many
    @given(st.binary(max_size=64) | st.text(st.characters(codec=None), max_size=64))
    def test_any_bytes(self, wire: bytes | str) -> None:
        codec, state = opened()
        assert total(codec, state, wire) == []

    @many
    @given(st.data())
    def test_any_fields_of_a_known_event(self, data: st.DataObject) -> None:
        """Wrong types in what is known are a fault, and whatever passes gives a sound event."""
        json: st.SearchStrategy[Any] = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
            ),
            max_leaves=8,
        )
        name = data.draw(st.sampled_from(sorted(server.KNOWN)))
        fields = data.draw(st.dictionaries(st.sampled_from(NAMES), json, max_size=6))
        wire = msgspec.json.encode({**fields, "type": name})
        codec, state = opened(carrier=data.draw(st.sampled_from(BOTH)))
        assert total(codec, state, wire) == []
        result = codec.decode(state, wire)
        if isinstance(result, Failure):
            assert isinstance(result.failure(), ProtocolViolation)

    @many
    @given(st.sampled_from(TURN), st.integers(0, 400), st.binary(min_size=1, max_size=3))
    def test_mutated_frames(self, wire: bytes, place: int, noise: bytes) -> None:
        codec, state = opened()
        state, _ = heard(codec, state, *BEGUN)
        broken = wire[:place] + noise + wire[place + len(noise) :]
        assert total(codec, state, broken) == []
        assert total(codec, state, wire[:place]) == []

    @given(st.lists(st.sampled_from(TURN), max_size=12), st.sampled_from(sorted(DIALECTS)))
    def test_frames_in_any_order(self, wires: list[bytes], name: str) -> None:
        codec = OpenAICodec(DIALECTS[name])
        assert conforms(codec, planned(DIALECTS[name]), wires, honest=False) == []

    @pytest.mark.parametrize("name", DIALECTS)
    def test_an_honest_turn(self, name: str) -> None:
        codec = OpenAICodec(DIALECTS[name])
        assert conforms(codec, planned(DIALECTS[name]), TURN) == []

    def test_the_reason_is_told(self) -> None:
        codec, state = opened()
        fault = codec.decode(state, b'{"type":"response.done","response":{"id":7}}').failure()
        assert isinstance(fault, ProtocolViolation)
        assert "response.done" in fault.what
        assert "$.response.id" in fault.cause

    def test_what_a_later_server_says_is_passed_on(self) -> None:
        codec, state = opened()
        long = said("response.smile", width="w" * 5_000)
        after, (event,) = heard(codec, state, long)
        assert after is state
        assert isinstance(event, Unknown)
        assert (event.name, len(event.data)) == ("response.smile", 1_000)
        text = codec.decode(state, '{"type":"x","a":"é"}').unwrap().events[0]
        assert text == Unknown(name="x", data='{"type":"x","a":"é"}')


NAMES = sorted(
    {name for kind in server.MEANT for name in kind.__struct_fields__}
    | {"id", "status", "metadata", "usage", "output", "type", "name", "call_id", "reason", "code"}
)


class TestSound:
    """Sound arrives whole, in whatever alphabet and however it is cut."""

    def test_the_url_safe_alphabet_and_lacking_padding(self) -> None:
        codec, state = opened()
        state, _ = heard(codec, state, *BEGUN)
        pcm = b"\xff\xfe\xfb\xef" * 5
        for text in (base64.urlsafe_b64encode(pcm), base64.b64encode(pcm).rstrip(b"=")):
            for name in ("response.output_audio.delta", "response.audio.delta"):
                wire = said(name, **OF, delta=text.decode())
                (event,) = codec.decode(state, wire).unwrap().events
                assert isinstance(event, AudioOutput)
                assert event.pcm == pcm

    @pytest.mark.parametrize("delta", ["%%%", "AAA-%", "A", "AAAA\n", "é", None, 7, ["AAAA"]])
    def test_what_is_no_base64(self, delta: object) -> None:
        codec, state = opened()
        wire = said("response.output_audio.delta", **OF, delta=delta)
        assert isinstance(codec.decode(state, wire).failure(), ProtocolViolation)

    @given(st.lists(st.binary(max_size=9), max_size=8))
    def test_samples_that_were_split_are_joined(self, pieces: list[bytes]) -> None:
        codec, state = opened()
        _, events = heard(codec, state, *BEGUN, *[sound(piece) for piece in pieces])
        pieces_out = [event.pcm for event in events if isinstance(event, AudioOutput)]
        whole = b"".join(pieces)
        assert all(len(piece) % 2 == 0 for piece in pieces_out)
        assert b"".join(pieces_out) == whole[: len(whole) // 2 * 2]

    def test_half_a_sample_does_not_leak_into_the_next_part(self) -> None:
        codec, state = opened()
        state, _ = heard(codec, state, *BEGUN, sound(b"\1\2\3"))
        following = {**OF, "content_index": 1}
        part = said("response.content_part.added", **following, part={"type": "audio"})
        _, (event,) = heard(codec, state, part, sound(b"\4\5"))
        assert isinstance(event, AudioOutput)
        assert event.pcm == b"\4\5"


class TestOpening:
    """The session is open when the server has acknowledged the settings, and not before."""

    def test_only_the_acknowledgement_connects(self) -> None:
        codec = OpenAICodec(GA)
        state = codec.greet(planned(), None).state
        state, events = heard(codec, state, said("session.created", session={"voice": "x"}))
        assert events == ()
        session = {"model": "gpt-realtime", "audio": {"output": {"voice": "marin"}}}
        state, (event,) = heard(codec, state, said("session.updated", session=session))
        assert isinstance(event, Connected)
        assert (event.session_id, event.config.model) == ("", "gpt-realtime")
        assert event.config.voice == "marin"
        assert heard(codec, state, said("session.updated", session=session)) == (state, ())

    @pytest.mark.parametrize(
        ("session", "model", "voice"),
        [
            ({"model": "grok", "voice": "ara"}, "grok", "ara"),
            ({"voice": {"name": "alloy", "type": "openai"}}, "", "alloy"),
            ({"voice": {"name": 7}, "model": ["m"], "audio": {"output": []}}, "", ""),
            ({"audio": {"output": {"voice": {"id": "voice_1"}}}}, "", ""),
            ({}, "", ""),
        ],
    )
    def test_what_is_in_force(self, session: dict[str, Any], model: str, voice: str) -> None:
        codec = OpenAICodec(XAI)
        state = codec.greet(planned(XAI), None).state
        _, (event,) = heard(codec, state, said("session.updated", session=session))
        assert isinstance(event, Connected)
        assert (event.config.model, event.config.voice) == (model, voice)

    @pytest.mark.parametrize(
        ("kind", "code", "error"),
        [
            ("invalid_request_error", "invalid_api_key", AuthFailed),
            ("invalid_request_error", "invalid_model", InvalidRequest),
            ("invalid_request_error", "missing_model", InvalidRequest),
            ("insufficient_quota", "insufficient_quota", AuthFailed),
            ("invalid_request_error", "beta_api_shape_disabled", InvalidRequest),
            ("invalid_request_error", "unknown_parameter", InvalidRequest),
        ],
    )
    def test_an_error_before_that_is_the_end(self, kind: str, code: str, error: type) -> None:
        session = Fold(OpenAICodec(GA), planned())
        session.link()
        fault = {"type": kind, "code": code, "message": "No.", "param": None, "event_id": None}
        session.receive(said("error", error=fault))
        session.drain()
        assert session.state.phase is Phase.CLOSED
        ended = session.events[-1]
        assert isinstance(ended, Disconnected)
        assert not ended.clean
        assert isinstance(ended.error, error)
        assert ended.error is not None
        assert ended.error.code == code
        assert not any(isinstance(event, Connected) for event in session.events)

    def test_the_conversation_so_far_goes_along(self) -> None:
        history = (Message("user", "Hi"), Message("assistant", "Hello"))
        plan = planned(history=history)
        first = OpenAICodec(GA).greet(plan, None)
        later = OpenAICodec(GA).greet(plan, Resume(3, history=(*history, Message("user", "And?"))))
        assert [len(first.wires), len(later.wires)] == [3, 4]
        assert later.state.conn == 3
        assert all(b"conversation.item.create" in wire for wire in texts(later.wires)[1:])

    def test_options_that_are_none_are_refused(self) -> None:
        refused = agree(GA.capabilities, SessionConfig(options={"sped": 1}))
        assert isinstance(refused.failure(), Unsupported)


class TestCarriers:
    """Over a call sound and pictures travel beside the messages."""

    def test_frames_of_a_call(self) -> None:
        codec, state = opened(carrier="call")
        assert codec.encode(state, Audio(b"\1\2")).unwrap().wires == (Media("audio", b"\1\2"),)
        assert codec.encode(state, Video(b"jpeg")).unwrap().wires == (Media("video", b"jpeg"),)
        for command in (TruncateItem(ItemId("i"), 24_000, 24_000), DeleteItem(ItemId("i"))):
            assert codec.encode(state, command) == Success(((state), (), ()))

    @pytest.mark.parametrize("frame", [CommitAudio(), ActivityEnd()])
    def test_a_word_about_sound_goes_behind_it(self, frame: Frame) -> None:
        codec, state = opened(carrier="call")
        mark, commit = codec.encode(state, frame).unwrap().wires
        assert mark == Media("audio", b"")
        assert commit == b'{"type":"input_audio_buffer.commit","event_id":"commit"}'

    @pytest.mark.parametrize("carrier", BOTH)
    def test_what_both_send(self, carrier: Carrier) -> None:
        codec, state = opened(carrier=carrier)
        for frame in (Text("Hi"), ClearAudio(), CreateResponse(request=RequestId("q"))):
            assert len(texts(codec.encode(state, frame).unwrap().wires)) == 1
        assert codec.encode(state, Close()).unwrap().wires == ()

    @pytest.mark.parametrize("carrier", BOTH)
    @pytest.mark.parametrize("frame", [Heard(ItemId("i"), 1), Hold(), Interrupt()])
    def test_what_the_machine_keeps_to_itself(self, frame: Frame, carrier: Carrier) -> None:
        codec, state = opened(carrier=carrier)
        assert isinstance(codec.encode(state, frame).failure(), Unsupported)

    def test_a_cancel_without_a_call_is_one_message(self) -> None:
        codec, state = opened()
        (wire,) = codec.encode(state, CancelResponse(ResponseId("r"))).unwrap().wires
        assert client.decode(texts((wire,))[0]).event_id is not UNSET

"""What callers may wish and providers may offer, at random."""

from __future__ import annotations

from hypothesis import strategies as st

from realtime_core.audio import PCM_16K, PCM_24K, AudioFormat
from realtime_core.capability import Capabilities
from realtime_core.config import (
    Lanes,
    Latest,
    Message,
    Outlet,
    SessionConfig,
    Slide,
    Suspend,
    ToolSpec,
    TurnDetection,
)
from realtime_core.epoch import CallId, ItemId
from realtime_core.schedule import Exponential, Recurs

__all__ = ("capabilities", "configs")

words = st.text(max_size=20)
formats = st.builds(
    AudioFormat,
    st.sampled_from((8_000, 16_000, 24_000, 48_000)),
    st.sampled_from(("pcm16", "f32", "pcmu", "pcma")),
    st.integers(1, 2),
)
counts = st.integers(0, 10_000)
policies = st.one_of(
    st.builds(Suspend, counts), st.builds(Slide, counts, counts), st.builds(Latest)
)
configs = st.builds(
    SessionConfig,
    model=words,
    voice=words,
    instructions=words,
    modalities=st.sampled_from(((), ("audio",), ("text",), ("audio", "text"))),
    input_format=st.none() | formats,
    output_format=st.none() | formats,
    turn_detection=st.builds(
        TurnDetection,
        mode=st.sampled_from(("server", "semantic", "manual")),
        authority=st.sampled_from(("provider", "local", "application")),
        threshold=st.none() | st.floats(0, 1),
        silence_ms=st.none() | counts,
    ),
    tools=st.lists(st.builds(ToolSpec, words, words), max_size=2).map(tuple),
    temperature=st.none() | st.floats(0, 2),
    history=st.lists(
        st.builds(
            Message,
            st.sampled_from(("user", "assistant", "system", "tool_call", "tool_result")),
            words,
            item=st.none() | words.map(ItemId),
            call=st.none() | words.map(CallId),
        ),
        max_size=3,
    ).map(tuple),
    lanes=st.builds(Lanes, policies, policies, st.builds(Suspend, st.integers(1, 9_000))),
    outlet=st.builds(Outlet, st.floats(1, 600), st.sampled_from(("pause", "drop", "fail"))),
    retry=st.just(Exponential().jittered().both(Recurs(3))),
    options=st.dictionaries(words, st.none() | st.booleans() | counts | words, max_size=3),
)


flags = st.booleans()
offered = st.lists(st.sampled_from((PCM_16K, PCM_24K, AudioFormat(8_000, "pcmu"))), unique=True)
authorities = st.lists(
    st.sampled_from(("provider", "local", "application")), unique=True, min_size=1
)
capabilities = st.builds(
    Capabilities,
    provider=st.just("any"),
    audio_in=offered.map(tuple),
    audio_out=offered.map(tuple),
    text_out=flags,
    tools=flags,
    user_transcripts=flags,
    authorities=authorities.map(tuple),
    manual_turns=flags,
    history=flags,
    voices=st.sampled_from(((), ("ann", "joe"))),
)

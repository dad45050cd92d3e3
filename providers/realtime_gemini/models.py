"""What each Live model can do, as data.

One row a model, found by its name or the beginning of it. Facts: Google's pages on the models and
the Live API (September 2026), and what servers were seen to refuse. `capabilities` says the same in
the library's words.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_core.capability import Capabilities, ModelInfo

__all__ = (
    "DEVELOPER_MODEL",
    "MODELS",
    "VERTEX_MODEL",
    "VOICES",
    "Behaviour",
    "Model",
    "Service",
    "capabilities",
    "model_of",
)

Service = Literal["developer", "vertex"]
Behaviour = Literal["BLOCKING", "NON_BLOCKING"]

DEVELOPER_MODEL = "gemini-3.8-live"
VERTEX_MODEL = "gemini-live-2.5-flash-native-audio"

VOICES = (
    *("Puck", "Charon", "Kore", "Fenrir", "Aoede", "Leda", "Orus", "Zephyr", "Achernar", "Achird"),
    *("Algenib", "Algieba", "Alnilam", "Autonoe", "Callirrhoe", "Despina", "Enceladus", "Erinome"),
    *("Gacrux", "Iapetus", "Laomedeia", "Pulcherrima", "Rasalgethi", "Sadachbia", "Sadaltager"),
    *("Schedar", "Sulafat", "Umbriel", "Vindemiatrix", "Zubenelgenubi"),
)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. What no source denies is taken to be there."""

    speaks: bool = True
    writes: bool = False
    """Answers can be text alone; models of native audio only speak."""
    typed: Literal["content", "realtime"] = "content"
    """How typed words are sent. `realtime`: such a model closes (1007) at ordered content once it
    has spoken, so that nothing can be put right in what it remembers."""
    converses: bool = True
    """Takes typed text, pictures, instructions and tools; a translator takes sound alone."""
    language: bool = False
    """Takes a language for its speech; models of native audio choose by themselves."""
    thinks: Literal["none", "budget", "level", "required"] = "none"
    """How its thinking is set: not at all, by tokens, by a level, by a level it insists on."""
    affective: bool = False
    proactive: Literal["no", "choice", "always"] = "no"
    """Whether it may keep silent where it is not meant."""
    updates: bool = False
    """Takes other instructions and tools while the session runs (`contextUpdate`)."""
    behaviours: tuple[Behaviour, ...] = ("BLOCKING", "NON_BLOCKING")
    """How calls can be declared; the first is what it does when nothing is declared."""
    schedules: bool = True
    """Takes `scheduling` with the result of a call that does not block."""
    hosts: tuple[str, ...] = ("googleSearch", "codeExecution", "urlContext")
    """Tools that the provider runs by itself."""
    hears_itself: bool = False
    """Reports when the user starts and stops to speak (`voiceActivity`)."""
    seeds: bool = False
    """Takes the history as a phase of its own (`historyConfig`), on the Developer API."""
    translates: bool = False


_NATIVE = Model(thinks="budget", affective=True, proactive="choice")
_THIRD = Model(
    typed="realtime",
    thinks="level",
    behaviours=("BLOCKING",),
    schedules=False,
    hosts=("googleSearch",),
    hears_itself=True,
    seeds=True,
)
_LATEST = Model(
    proactive="always",
    updates=True,
    behaviours=("NON_BLOCKING", "BLOCKING"),
    hosts=("googleSearch",),
    hears_itself=True,
    seeds=True,
)

MODELS: dict[str, Model] = {
    "gemini-3.8-live-extended-thinking": Model(
        thinks="required",
        proactive="always",
        updates=True,
        behaviours=("NON_BLOCKING",),
        schedules=False,
        hosts=("googleSearch",),
        hears_itself=True,
        seeds=True,
    ),
    "gemini-3.8-live": _LATEST,
    "gemini-3.1-flash-live": _THIRD,
    "gemini-3.5-live-translate": Model(
        converses=False, translates=True, behaviours=(), schedules=False, hosts=()
    ),
    "gemini-2.5-flash-native-audio": _NATIVE,
    "gemini-live-2.5-flash-native-audio": _NATIVE,
    "gemini-live-2.5-flash": Model(writes=True, language=True),
    "gemini-robotics-er": Model(speaks=False, writes=True, thinks="budget"),
}
"""By the beginning of the name; the longest that fits is the one."""


def model_of(name: str) -> Model:
    """Find a model by its name, with or without the path before it; unknown ones are as the latest.

    Of an unknown one nothing is assumed that a server is known to refuse.
    """
    short = name.rpartition("/")[2]
    fits = max((known for known in MODELS if short.startswith(known)), key=len, default="")
    return MODELS.get(fits, Model(language=True, thinks="level", writes=True))


def capabilities(model: str = "", service: Service = "developer") -> Capabilities:
    """Give what a model can do over a service; without a name, the service's default model."""
    name = model or (DEVELOPER_MODEL if service == "developer" else VERTEX_MODEL)
    known = model_of(name)
    return Capabilities(
        provider="gemini" if service == "developer" else "gemini-vertex",
        audio_in=(PCM_16K,),
        audio_out=(PCM_24K,) if known.speaks else (),
        text_in=known.converses,
        text_out=known.writes,
        images=known.converses,
        tools=known.converses,
        parallel_tools=known.converses,
        tool_reply="automatic",
        user_transcripts=True,
        agent_transcripts=known.speaks,
        speech_events=known.hears_itself,
        authorities=("provider", "local", "application"),
        manual_turns=known.converses,
        commit=service == "developer" and known.converses,
        truncate=known.converses and known.typed == "content",
        delete=known.converses and known.typed == "content",
        one_response=True,
        update=known.updates,
        history=known.converses,
        resumption="handle",
        voices=VOICES if known.speaks else (),
        models=(ModelInfo(name=name.rpartition("/")[2], source="Google"),),
        note=_NOTE,
    )


_NOTE = (
    "The wire has no cancel: an interrupted answer is silenced here at once, and what the model is"
    " told of it follows when it has stopped. `CommitAudio` says that the microphone paused; audio"
    " cannot be cleared."
)

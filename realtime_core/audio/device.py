"""The sound devices of this machine, and the microphone: frames to iterate over.

Opening and closing wait for a bounded time, and after the block no stream and no thread is left.
Needs the extra `audio` (sounddevice), which is loaded only when a device is opened or asked for.
The loudspeaker is in `speaker`.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol, cast

import anyio
from anyio import to_thread

from ..errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable
from ..frames import Audio
from .format import PCM_16K, AudioFormat

__all__ = (
    "GLANCE",
    "PATIENCE",
    "Agreement",
    "Microphone",
    "Stream",
    "absence",
    "agreed",
    "microphone",
    "running",
    "stuck",
)

Direction = Literal["input", "output"]

PATIENCE = 4.0
"""Seconds a device has for its first sound (some need two), and for each further one."""
GLANCE = 0.005
"""Seconds between two looks at what a device's own thread has done."""
_LEAVE = 2.0
"""Seconds that closing a device may take."""
_CHUNK_MS = 20


class Stream(Protocol):
    """An open device, as far as it is used here; sounddevice does not carry its types."""

    time: float
    """The device's clock, in seconds."""

    def start(self) -> None:
        """Begin to call back."""
        ...

    def abort(self) -> None:
        """Stop at once."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


class _Library(Protocol):
    PortAudioError: type[Exception]
    RawInputStream: Callable[..., Stream]
    RawOutputStream: Callable[..., Stream]
    check_input_settings: Callable[..., None]
    check_output_settings: Callable[..., None]
    query_devices: Callable[..., dict[str, Any]]


def _library() -> _Library:
    try:
        return cast("_Library", importlib.import_module("sounddevice"))
    except ImportError as problem:
        raise RealtimeException(
            InvalidRequest(
                what="Sound devices need the extra `audio`.",
                cause="the package sounddevice is not installed",
                fix="Type: pip install 'realtime-core[audio]'",
            )
        ) from problem
    except OSError as problem:
        raise RealtimeException(
            InvalidRequest(
                what=f"Sound devices cannot be used: {problem}.",
                cause="the system's library PortAudio is missing",
                fix="Type: apt-get install libportaudio2 (Debian, Ubuntu), "
                "dnf install portaudio (Fedora), or brew install portaudio (macOS).",
            )
        ) from problem


def absence(direction: Direction) -> RealtimeError | None:
    """Tell why there is no microphone (`input`) or loudspeaker (`output`); None if there is one.

    Blocks for as long as the system takes to list its devices.
    """
    try:
        _device(_library(), direction)
    except RealtimeException as refusal:
        return refusal.error
    return None


def _device(library: _Library, direction: Direction) -> dict[str, Any]:
    try:
        return library.query_devices(kind=direction)
    except (library.PortAudioError, ValueError) as problem:
        raise RealtimeException(_absent(direction, problem)) from problem


def _absent(direction: Direction, problem: Exception) -> RealtimeError:
    name = "microphone" if direction == "input" else "loudspeaker"
    return Unavailable(
        what=f"There is no {name} that can be used ({problem}).",
        cause="none is connected, or the system's sound service does not run or shows none",
        fix="Connect or enable one, or do without: speech can come from files and go to one.",
    )


class Agreement(NamedTuple):
    """What a device agrees to."""

    library: _Library
    direction: Direction
    format: AudioFormat


async def agreed(direction: Direction, rate: int) -> Agreement:
    """Take the rate in Hz, in mono, where the default device takes it, else the device's own.

    Raises `RealtimeException` where there is no device, or the extra is missing.
    """
    return await to_thread.run_sync(_agree, direction, rate)


def _agree(direction: Direction, rate: int) -> Agreement:
    library = _library()
    own = round(float(_device(library, direction)["default_samplerate"]))
    check = library.check_input_settings if direction == "input" else library.check_output_settings
    problem: Exception = ValueError("no format fits")
    for candidate, channels in ((rate, 1), (own, 1), (own, 2)):
        try:
            check(samplerate=candidate, channels=channels, dtype="int16")
        except (library.PortAudioError, ValueError) as refusal:
            problem = refusal
        else:
            format = AudioFormat(rate=candidate, channels=channels)
            return Agreement(library, direction, format)
    raise RealtimeException(_absent(direction, problem))


@asynccontextmanager
async def running(
    agreement: Agreement, callback: Callable[..., None], begun: Callable[[], bool]
) -> AsyncGenerator[Stream]:
    """Run the device while the block is open; enters once `begun` says that it works.

    A device that stays silent is closed and opened once more; then `RealtimeException` is raised.
    """
    stream = await _begun(agreement, callback, begun)
    try:
        yield stream
    finally:
        await _end(stream)


async def _begun(
    agreement: Agreement, callback: Callable[..., None], begun: Callable[[], bool]
) -> Stream:
    for _ in range(2):
        stream = await to_thread.run_sync(_start, agreement, callback)
        try:
            with anyio.move_on_after(PATIENCE):
                while not begun():  # noqa: ASYNC110 - a foreign thread's doing
                    await anyio.sleep(GLANCE)
                return stream
        except BaseException:
            await _end(stream)
            raise
        await _end(stream)
    raise RealtimeException(stuck("it was opened twice and gave no sign of life"))


def _start(agreement: Agreement, callback: Callable[..., None]) -> Stream:
    library, direction, format = agreement
    make = library.RawInputStream if direction == "input" else library.RawOutputStream
    try:
        stream = make(
            samplerate=format.rate,
            channels=format.channels,
            blocksize=format.rate * _CHUNK_MS // 1000,
            dtype="int16",
            latency="low",
            callback=callback,
        )
        try:
            stream.start()
        except BaseException:
            stream.close()
            raise
    except library.PortAudioError as problem:
        raise RealtimeException(_absent(direction, problem)) from problem
    return stream


async def _end(stream: Stream) -> None:
    def end() -> None:
        stream.abort()
        stream.close()

    with anyio.move_on_after(_LEAVE, shield=True):
        await to_thread.run_sync(end, abandon_on_cancel=True)


def stuck(how: str) -> RealtimeError:
    """Say that a device that was there does not work."""
    return Unavailable(
        what=f"The sound device does not work: {how}.",
        cause="it was unplugged, another program holds it, or the sound service hangs",
        fix="Try again, or choose another default device in the system's settings.",
    )


class Microphone(AsyncIterator[Audio]):
    """What the microphone hears, in frames of 20 ms; old ones are dropped, counted.

    For one consumer. Raises `RealtimeException` when the device has stopped. Cancelling a pending
    `__anext__` loses nothing.
    """

    def __init__(self, format: AudioFormat, room: int) -> None:
        self.format = format
        self.dropped = 0
        """Frames that nobody took in time."""
        self.calls = 0
        """How often the device has called."""
        self._room = room
        self._frames = deque[bytes]()
        self._lock = Lock()

    def hear(self, data: Any, *_: object) -> None:  # noqa: ANN401 - a buffer of the library's
        """Take what the device recorded; called in its own thread."""
        with self._lock:
            self.calls += 1
            self._frames.append(bytes(data))
            if len(self._frames) > self._room:
                self._frames.popleft()
                self.dropped += 1

    async def __anext__(self) -> Audio:
        with anyio.move_on_after(PATIENCE):
            while not self._frames:  # noqa: ASYNC110 - a foreign thread's doing
                await anyio.sleep(GLANCE)
            with self._lock:
                return Audio(self._frames.popleft(), self.format)
        raise RealtimeException(stuck("the microphone has fallen silent"))


@asynccontextmanager
async def microphone(
    rate: int = PCM_16K.rate, *, buffer_ms: int = 1_000
) -> AsyncGenerator[Microphone]:
    """Open the default microphone; its `format` has this rate in Hz, or else the device's own.

    Raises `RealtimeException` where there is none, it does not start, or the extra is missing.
    """
    agreement = await agreed("input", rate)
    ear = Microphone(agreement.format, buffer_ms // _CHUNK_MS)
    async with running(agreement, ear.hear, lambda: ear.calls > 0):
        yield ear

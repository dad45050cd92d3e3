"""Cameras, the screen and films, read by calls that block: for the grabber's process only.

Each gives the newest picture when it is asked, or says in three parts why there is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ..errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from PIL.Image import Image

__all__ = ("PATIENCE", "Camera", "Eye", "Film", "Screen", "Seen", "devices_of")

PATIENCE = 8.0
"""Seconds a camera has for its first picture, and for each further one."""
_LATE = 1.0
"""Seconds of decoding after which a film that plays in real time gives what it has."""
_SOON = 0.005
"""Seconds after which a camera that has nothing yet is asked again."""


class Seen(NamedTuple):
    """A picture, the moment it was taken on the monotonic clock, and how many were left out."""

    image: Image
    at: float
    missed: int = 0


class Eye(Protocol):
    """Something to look through."""

    def look(self) -> Seen | None:
        """Give the newest picture, waiting for one that was not given yet; None at the end."""
        ...


# --- the screen -----------------------------------------------------------------------------------


class Screen:
    """All of the screen, as it is when it is asked."""

    def look(self) -> Seen:
        """Take a picture of it."""
        from PIL import ImageGrab  # noqa: PLC0415 - an extra

        try:
            return Seen(ImageGrab.grab(), time.monotonic())
        except Exception as problem:  # a foreign library, and a foreign program under it
            raise RealtimeException(
                Unavailable(
                    what=f"The screen cannot be seen: {problem}.",
                    cause="there is none, or the system does not let this program see it",
                    fix="Run it in a desktop session, and allow screen recording in its settings.",
                )
            ) from problem


# --- cameras --------------------------------------------------------------------------------------

Opening = tuple[str, str, Mapping[str, str]]
"""A way to open a camera: its name, FFmpeg's name for the system's cameras, and options."""

_LARGE = {"video_size": "1280x720"}
_FAST = {"framerate": "30"}


def devices_of(system: str, name: str) -> tuple[Opening, ...]:
    """Give the ways to open a camera on a system, the best first; a number counts from 0."""
    if system == "darwin":
        return tuple((name, "avfoundation", options) for options in (_LARGE | _FAST, _FAST, {}))
    if system == "win32":
        return ((f"video={_windows_name(name)}", "dshow", {}),)
    path = f"/dev/video{name}" if name.isdecimal() else name
    return ((path, "v4l2", _LARGE), (path, "v4l2", {}))


def _windows_name(name: str) -> str:
    import av  # noqa: PLC0415 - an extra

    if not name.isdecimal():
        return name
    known = [one for one in av.enumerate_input_devices("dshow") if "video" in one.media_types]
    return known[int(name)].description if int(name) < len(known) else name


class Camera:
    """A camera; a thread keeps its newest picture, so that none is old when it is asked for."""

    def __init__(self, *ways: Opening) -> None:
        self._container = _opened(ways)
        self._changed = Condition()
        self._newest: tuple[VideoFrame, float] | None = None
        self._missed = 0
        self._failure: str = ""
        Thread(target=self._run, daemon=True, name="camera").start()

    def look(self) -> Seen:
        """Wait for the next picture."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._failure, PATIENCE)
            if self._newest is None:
                raise RealtimeException(_blind(self._failure or "it gives no picture"))
            (frame, at), missed = self._newest, self._missed
            self._newest, self._missed = None, 0
        return Seen(_image(frame), at, missed)

    def _run(self) -> None:
        failure = "it has stopped"
        try:
            for frame in _patiently(self._container):
                with self._changed:
                    self._missed += self._newest is not None
                    self._newest = frame, time.monotonic()
                    self._changed.notify_all()
        except Exception as problem:  # whatever it is, the camera is gone
            failure = _why(problem)
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


def _opened(ways: tuple[Opening, ...]) -> InputContainer:
    import av  # noqa: PLC0415 - an extra

    problem = "there is no way to open one"
    for name, system, options in ways:
        try:
            return av.open(name, format=system, options=dict(options))
        except (OSError, ValueError) as refusal:
            problem = _why(refusal)
    raise RealtimeException(_blind(problem))


def _patiently(container: InputContainer) -> Iterator[VideoFrame]:
    """Decode; some systems say "nothing yet" instead of waiting."""
    while True:
        try:
            yield from container.decode(video=0)
        except BlockingIOError:
            time.sleep(_SOON)
        else:
            return


def _blind(why: str) -> RealtimeError:
    return Unavailable(
        what=f"There is no camera that can be used ({why}).",
        cause="none is connected, another program holds it, or the system does not allow it",
        fix="Connect or allow one, or name another: a number from 0, or the system's name for it.",
    )


# --- films ----------------------------------------------------------------------------------------


class Film:
    """A video file: played at `pace` times its speed, or picture by picture where `pace` is 0."""

    def __init__(self, path: str, pace: float = 1.0) -> None:
        import av  # noqa: PLC0415 - an extra

        self._pace = pace
        try:
            container = av.open(path)
            container.streams.video[0].thread_type = "AUTO"
            self._frames = iter(container.decode(video=0))
            self._ahead = next(self._frames, None)
        except (OSError, ValueError, IndexError) as problem:
            raise RealtimeException(_no_film(path, problem)) from problem
        self._path = path
        self._first = self._time(self._ahead) if self._ahead is not None else 0.0
        self._begun: float | None = None

    def look(self) -> Seen | None:
        """Give the picture that is due, waiting for one; begins to play when first called."""
        asked = time.monotonic()
        begun = self._begun = asked if self._begun is None else self._begun
        newest: tuple[VideoFrame, float] | None = None
        missed = -1
        while self._ahead is not None:
            due = begun + (self._time(self._ahead) - self._first) / self._pace if self._pace else 0
            if due > time.monotonic():
                if newest is not None:
                    break
                time.sleep(due - time.monotonic())
            newest, missed = (self._ahead, due or asked), missed + 1
            self._ahead = self._next()
            if not self._pace or time.monotonic() - asked > _LATE:
                break
        return Seen(_image(newest[0]), newest[1], missed) if newest is not None else None

    def _next(self) -> VideoFrame | None:
        try:
            return next(self._frames, None)
        except (OSError, ValueError) as problem:
            raise RealtimeException(_no_film(self._path, problem)) from problem

    def _time(self, frame: VideoFrame) -> float:
        return frame.time or 0.0


def _no_film(path: str, problem: Exception) -> RealtimeError:
    return InvalidRequest(
        what=f"{path!r} cannot be played: {_why(problem)}.",
        cause="the file is damaged, holds no pictures, or is of a kind that is not known",
        fix="Use a video file that a player shows, such as MP4 or WebM.",
    )


def _why(problem: Exception) -> str:
    return str(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__)


def _image(frame: VideoFrame) -> Image:
    """Make a picture of a frame, upright."""
    image = cast("Image", cast("Any", frame).to_image())
    turn = getattr(frame, "rotation", 0)
    return image.rotate(turn, expand=True) if turn else image

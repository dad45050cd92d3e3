"""Cameras, the screen and films, in this process: what they give, when, and how they fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_core.errors import InvalidRequest, RealtimeException, Unavailable
from realtime_core.video import devices
from realtime_core.video.devices import Camera, Film, Screen, Seen, devices_of
from tests.core.video.clips import Image, av, film_of

LAVFI = ("color=c=0x405060:size=320x240:rate=20,realtime", "lavfi", dict[str, str]())


class Clock:
    """A clock that moves when it is told to, or slept on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(devices, "time", made)
    return made


def level(seen: Seen | None) -> int:
    assert seen is not None
    return round(seen.image.getpixel((10, 10))[0], -1)  # type: ignore[index]


# --- films ----------------------------------------------------------------------------------------


def test_a_film_plays_in_real_time(tmp_path: Path, clock: Clock) -> None:
    film = Film(str(film_of(tmp_path / "a.mp4", *range(10, 110, 10))))
    assert (level(film.look()), clock.now) == (10, 100.0)
    clock.now += 0.35
    seen = film.look()
    assert (level(seen), seen and seen.missed) == (40, 2)
    assert seen is not None
    assert seen.at == pytest.approx(100.3)
    assert level(film.look()) == 50
    assert clock.now == pytest.approx(100.4), "the next one was waited for"
    clock.now += 5
    seen = film.look()
    assert (level(seen), seen and seen.missed) == (100, 4)
    assert film.look() is None
    assert film.look() is None


def test_a_film_can_be_faster_or_come_picture_by_picture(tmp_path: Path, clock: Clock) -> None:
    path = str(film_of(tmp_path / "a.mp4", *range(10, 110, 10)))
    fast = Film(path, 2.0)
    fast.look()
    clock.now += 0.21
    assert level(fast.look()) == 50
    each = Film(path, 0.0)
    assert [level(each.look()) for _ in range(10)] == list(range(10, 110, 10))
    assert each.look() is None
    assert clock.now == 100.21


def test_a_film_that_cannot_keep_up_gives_what_it_has(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(str(film_of(tmp_path / "a.mp4", *range(10, 110, 10))))
    film.look()
    decode = film._next

    def slowly() -> Any:
        clock.now += 0.6
        return decode()

    monkeypatch.setattr(film, "_next", slowly)
    clock.now += 10
    seen = film.look()
    assert (level(seen), seen and seen.missed) == (30, 1)


@pytest.mark.parametrize("content", [b"", b"These are words."])
def test_what_is_no_film_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(RealtimeException, match="cannot be played") as refused:
        Film(str(path))
    assert isinstance(refused.value.error, InvalidRequest)
    assert refused.value.error.fix


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(container.streams[0].encode(frame))
    with pytest.raises(RealtimeException, match="cannot be played"):
        Film(str(path))


def test_a_film_that_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(str(film_of(tmp_path / "a.mp4", 10, 20, 30)), 0.0)

    def broken() -> Iterator[Any]:
        raise av.InvalidDataError(1, "damaged")
        yield

    monkeypatch.setattr(film, "_frames", broken())
    with pytest.raises(RealtimeException, match="damaged"):
        film.look()


def test_a_picture_that_was_filmed_lying_is_turned_upright() -> None:
    frame: Any = SimpleNamespace(to_image=lambda: Image.new("RGB", (40, 20)), rotation=-90)
    assert devices._image(frame).size == (20, 40)
    frame.rotation = 0
    assert devices._image(frame).size == (40, 20)


# --- cameras --------------------------------------------------------------------------------------


def test_a_camera_gives_its_newest_picture() -> None:
    camera = Camera(("nowhere", "v4l2", {}), LAVFI)
    first = camera.look()
    assert first.image.size == (320, 240)
    assert first.image.getpixel((9, 9)) == pytest.approx((0x40, 0x50, 0x60), abs=4)
    time.sleep(0.3)
    asked = time.monotonic()
    later = camera.look()
    assert later.missed >= 2
    assert asked - later.at < 0.2
    assert camera.look().at > later.at


def test_without_a_camera_it_says_so() -> None:
    for ways in ((), (("/dev/no-such-camera", "v4l2", dict[str, str]()),)):
        with pytest.raises(RealtimeException, match="There is no camera") as refused:
            Camera(*ways)
        assert isinstance(refused.value.error, Unavailable)
        assert refused.value.error.fix


class Device:
    """What FFmpeg makes of a camera, in the test's hands."""

    def __init__(self, *decodings: Callable[[], Iterator[Any]]) -> None:
        self._decodings = list(decodings)

    def decode(self, *, video: int) -> Iterator[Any]:
        assert video == 0
        return self._decodings.pop(0)()


def picture() -> Iterator[Any]:
    yield SimpleNamespace(to_image=lambda: Image.new("RGB", (4, 4)))


def not_yet() -> Iterator[Any]:
    raise BlockingIOError
    yield


def gone() -> Iterator[Any]:
    raise OSError(19, "No such device")
    yield


def mute() -> Iterator[Any]:
    time.sleep(1)
    yield from picture()


@pytest.mark.parametrize(
    ("decodings", "why"),
    [
        ((not_yet, picture), "it has stopped"),
        ((gone,), "No such device"),
        ((mute,), "it gives no picture"),
    ],
)
def test_a_camera_that_stops_says_so(
    decodings: tuple[Callable[[], Iterator[Any]], ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(*decodings)
    monkeypatch.setattr(av, "open", lambda *_, **__: device)
    monkeypatch.setattr(devices, "PATIENCE", 0.2)
    camera = Camera(LAVFI)
    if picture in decodings:
        assert camera.look().image.size == (4, 4)
    with pytest.raises(RealtimeException, match=why):
        camera.look()


def test_each_system_has_its_way_to_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [way[0] for way in devices_of("linux", "1")] == ["/dev/video1"] * 2
    assert devices_of("linux", "/dev/v4l/by-id/eye")[-1] == ("/dev/v4l/by-id/eye", "v4l2", {})
    assert {way[:2] for way in devices_of("darwin", "0")} == {("0", "avfoundation")}
    known = [
        SimpleNamespace(description="Microphone", media_types=["audio"]),
        SimpleNamespace(description="USB Eye", media_types=["video"]),
    ]
    monkeypatch.setattr(av, "enumerate_input_devices", lambda _: known, raising=False)
    assert devices_of("win32", "0") == (("video=USB Eye", "dshow", {}),)
    assert devices_of("win32", "1") == (("video=1", "dshow", {}),)
    assert devices_of("win32", "My Eye") == (("video=My Eye", "dshow", {}),)


# --- the screen -----------------------------------------------------------------------------------


def test_the_screen_is_seen_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    grab: Any = pytest.importorskip("PIL.ImageGrab")
    monkeypatch.setattr(grab, "grab", lambda: Image.new("RGB", (30, 20)))
    assert Screen().look().image.size == (30, 20)

    def refused() -> None:
        raise OSError("X connection failed")

    monkeypatch.setattr(grab, "grab", refused)
    with pytest.raises(RealtimeException, match="X connection failed") as told:
        Screen().look()
    assert told.value.error.fix
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.ImageGrab", None)
    with pytest.raises(ImportError):
        Screen().look()

"""Lanes: frames that wait for the provider, with a stated policy for each kind.

Order is the order of the pushes over all kinds. What a policy drops is the oldest of its own kind,
counted; at every instant offered = sent + dropped + refused + waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from .config import Lanes, Latest, Policy, Slide, Suspend
from .errors import LaneFull, RealtimeException
from .frames import Audio, ClearAudio, Frame, Video
from .signals import Signal

__all__ = ("Balance", "Drop", "Inlet", "LaneName", "lane_of")

LaneName = Literal["audio", "video", "control"]


class Balance(NamedTuple):
    """What became of the frames of one lane."""

    offered: int = 0
    sent: int = 0
    dropped: int = 0
    refused: int = 0
    waiting: int = 0


class _Waiting(NamedTuple):
    order: int
    frame: Frame
    since: float
    size: float


class Drop(NamedTuple):
    """Frames that a policy gave up: why, how many, and their milliseconds of audio."""

    lane: LaneName
    reason: str
    frames: int
    ms: float


class Inlet:
    """The lanes of one session, taken in the order of the pushes."""

    __slots__ = ("_lanes", "_order", "_policies", "balances", "drops", "filled", "room", "video_at")

    def __init__(self, lanes: Lanes) -> None:
        self.filled = Signal()
        """Given when a frame waits."""
        self.room = Signal()
        """Given when a frame left a lane."""
        self.balances: dict[LaneName, Balance] = {
            "audio": Balance(),
            "video": Balance(),
            "control": Balance(),
        }
        self.drops = deque[Drop]()
        """Drops that were not reported yet; whoever reports them clears this."""
        self.video_at = float("-inf")
        """When the next picture may leave, in monotonic seconds."""
        self._policies: dict[LaneName, Policy] = {
            "audio": lanes.audio,
            "video": lanes.video,
            "control": lanes.control,
        }
        self._lanes: dict[LaneName, deque[_Waiting]] = {
            "audio": deque(),
            "video": deque(),
            "control": deque(),
        }
        self._order = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits in any lane."""
        return not any(self._lanes.values())

    def full(self, frame: Frame) -> bool:
        """Whether this frame finds no room in its lane, whatever the lane's policy."""
        name = lane_of(frame)
        lane, policy = self._lanes[name], self._policies[name]
        if isinstance(policy, Latest) or not lane:
            return bool(lane)
        return sum(waiting.size for waiting in lane) + _size(frame) > policy.cap

    def put(self, frame: Frame, at: float) -> None:
        """Queue a frame by its lane's policy; raises `LaneFull` where that may not drop.

        Never suspends. A `ClearAudio` takes the audio that waits with it.
        """
        name = lane_of(frame)
        self._count(name, offered=1)
        match self._policies[name]:
            case Suspend() if self.full(frame):
                self._count(name, refused=1)
                raise RealtimeException(
                    LaneFull(
                        what=f"The {name} lane is full.",
                        cause="the network or the provider takes less than is pushed",
                        fix="Use `await session.send(...)`, or give the lane the policy `Slide`.",
                    )
                )
            case Latest():
                self._drop(name, "newer", _filled(self._lanes[name]))
            case Slide():
                self._drop(name, "full", lambda: self.full(frame))
            case _:
                pass
        if isinstance(frame, ClearAudio):
            self._drop("audio", "cleared", _filled(self._lanes["audio"]))
        self._order += 1
        self._lanes[name].append(_Waiting(self._order, frame, at, _size(frame)))
        self._count(name, waiting=1)
        self.filled.give()

    def policy(self, frame: Frame) -> Policy:
        """Give the policy of a frame's lane."""
        return self._policies[lane_of(frame)]

    def passed(self, frame: Frame, *, refused: bool) -> None:
        """Count a frame that went straight through, or was refused there."""
        self._count(lane_of(frame), offered=1, sent=int(not refused), refused=int(refused))

    def refuse(self, frame: Frame) -> None:
        """Count a frame that was refused after it was taken."""
        self._count(lane_of(frame), sent=-1, refused=1)

    def take(self, at: float) -> Frame | None:
        """Give the frame that is next and may leave now, or None."""
        self._age(at)
        ready: list[LaneName] = [
            name
            for name, lane in self._lanes.items()
            if lane and (name != "video" or at >= self.video_at)
        ]
        if not ready:
            return None
        name = min(ready, key=lambda name: self._lanes[name][0].order)
        waiting = self._lanes[name].popleft()
        self._count(name, waiting=-1, sent=1)
        self.room.give()
        return waiting.frame

    def next_at(self) -> float | None:
        """Give the time at which a picture that must wait may leave, if that is all that waits."""
        waiting = [name for name, lane in self._lanes.items() if lane]
        return self.video_at if waiting == ["video"] else None

    def withdraw(self, name: LaneName) -> None:
        """Drop what waits in one lane, for a caller who wants it sent no more."""
        self._drop(name, "withdrawn", _filled(self._lanes[name]))

    def abandon(self, reason: str) -> None:
        """Drop everything that waits, for a session that is over."""
        for name, lane in self._lanes.items():
            self._drop(name, reason, _filled(lane))

    def _age(self, at: float) -> None:
        for name, policy in self._policies.items():
            if isinstance(policy, Slide):
                self._drop(name, "too old", _older(self._lanes[name], at - policy.max_age / 1000))

    def _drop(self, name: LaneName, reason: str, unwanted: Callable[[], bool]) -> None:
        count, ms = 0, 0.0
        while unwanted():
            count, ms = count + 1, ms + self._lanes[name].popleft().size
        if count:
            self._count(name, waiting=-count, dropped=count)
            self.drops.append(Drop(name, reason, count, ms if name == "audio" else 0.0))
            self.room.give()

    def _count(
        self,
        name: LaneName,
        *,
        offered: int = 0,
        sent: int = 0,
        dropped: int = 0,
        refused: int = 0,
        waiting: int = 0,
    ) -> None:
        before = self.balances[name]
        self.balances[name] = Balance(
            before.offered + offered,
            before.sent + sent,
            before.dropped + dropped,
            before.refused + refused,
            before.waiting + waiting,
        )


def _filled(lane: deque[_Waiting]) -> Callable[[], bool]:
    return lambda: bool(lane)


def _older(lane: deque[_Waiting], than: float) -> Callable[[], bool]:
    return lambda: bool(lane) and lane[0].since < than


def lane_of(frame: Frame) -> LaneName:
    """Tell in which lane a frame waits."""
    match frame:
        case Audio():
            return "audio"
        case Video():
            return "video"
        case _:
            return "control"


def _size(frame: Frame) -> float:
    return frame.format.milliseconds(len(frame.pcm)) if isinstance(frame, Audio) else 1.0

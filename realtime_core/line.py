"""A line: one connection as the driver holds it, with the messages that wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from anyio import CancelScope

from .codec import Wire
from .link import Wires
from .signals import Signal

__all__ = ("Line",)


class Line:
    """Messages on their way out over one connection, and the scopes that end it."""

    __slots__ = (
        "_wires",
        "bytes_waiting",
        "conn",
        "filled",
        "hanging_up",
        "scope",
        "sending",
        "straight",
        "talk",
    )

    def __init__(self, conn: int) -> None:
        self.conn = conn
        self.filled = Signal()
        """Given when a message waits, or the line is to be hung up."""
        self.bytes_waiting = 0
        self.sending = False
        """Whether the connection has yet to accept what it was handed."""
        self.hanging_up = False
        self.scope = CancelScope()
        """Holds the whole connection, dialling and taking leave included."""
        self.talk: CancelScope | None = None
        """Holds the exchange of messages, once the connection stands."""
        self.straight: Callable[[Wires], bool] | None = None
        """Hands messages to the connection at once, unless it tells that it has no room."""
        self._wires = deque[Wire]()

    @property
    def waiting(self) -> bool:
        """Whether a message waits."""
        return bool(self._wires)

    @property
    def backed_up(self) -> bool:
        """Whether something would have to wait behind what the connection has not accepted."""
        return self.sending or bool(self._wires)

    def put(self, wires: Wires) -> None:
        """Send these messages at once, or let them wait behind the others."""
        if self.straight is not None and not self.backed_up and self.straight(wires):
            return
        for wire in wires:
            self._wires.append(wire)
            self.bytes_waiting += len(wire)
        self.filled.give()

    def take(self) -> Wires:
        """Give everything that waits."""
        wires = tuple(self._wires)
        self._wires.clear()
        self.bytes_waiting = 0
        return wires

    def hang_up(self, deadline: float) -> None:
        """End once what waits was sent, by the deadline; at once if no connection stands yet."""
        self.hanging_up = True
        self.scope.deadline = deadline
        if self.talk is None:
            self.scope.cancel()
        self.filled.give()

"""Responses: the answers of a session one by one, each a scope that ends when the answer is cut.

What runs inside `async with response` (the body, and the tasks it starts) stops in the same tick in
which the response is fenced; its clean-up can still ask what was heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from types import TracebackType

from anyio.abc import TaskGroup

from .beside import together
from .driver import Driver
from .epoch import Epoch, ResponseId, is_stale
from .events import HeardItem, Kind, RealtimeEvent, ResponseDone, ResponseStarted
from .interruption import reached
from .signals import Signal
from .state import Phase

__all__ = ("Response", "Responses", "heard_of")


def heard_of(driver: Driver, response: ResponseId) -> tuple[HeardItem, ...]:
    """Give what has reached the ear of a response's items so far, or had when it was cut."""
    return reached(driver.state.ledger, response, driver.outlet.delivered, driver.played())


class Responses(AsyncIterator["Response"]):
    """The answers that are given from here on, for one consumer of the session's events.

    Ends with the session. Cancelling a pending `__anext__` loses nothing. Iterating over an answer
    takes from the same events; what belongs to no answer is handed to `others`.
    """

    def __init__(
        self,
        driver: Driver,
        events: AsyncIterator[RealtimeEvent],
        others: Callable[[RealtimeEvent], object],
    ) -> None:
        self._driver = driver
        self._events = events
        self._others = others
        self._born = deque[Response]()
        self._live: dict[ResponseId | None, Response] = {}
        self._taken = Signal()
        self._taking = False
        self._over = False

    async def __anext__(self) -> Response:
        while not self._born:
            if self._over:
                raise StopAsyncIteration
            await self.advance()
        return self._born.popleft()

    async def advance(self) -> None:
        """Take one more event and hand it to whom it belongs; or let another task do so."""
        if self._taking:
            await self._taken.wait()
            return
        self._taking = True
        try:
            event = await anext(self._events, None)
        finally:
            self._taking = False
            self._taken.give()
        if event is None:
            self._over = True
            for response in self._live.values():
                response.over = True
            return
        if isinstance(event, ResponseStarted) and event.response is not None:
            response = Response(self, self._driver, event, event.response)
            self._live[event.response] = response
            self._born.append(response)
        owner = self._live.get(event.response)
        if owner is None:
            self._others(event)
            return
        owner.put(event)
        if isinstance(event, ResponseDone):
            del self._live[event.response]


class Response(AsyncIterator[RealtimeEvent]):
    """One answer: its events, its scope, and what was heard of it.

    Iterating gives its events from `ResponseStarted` to `ResponseDone`. `async with response as
    tasks` gives a task group; leaving the block waits for its tasks, and a cut cancels body and
    tasks alike and ends the block without an exception. What a task raises comes out of the block.
    """

    def __init__(
        self, responses: Responses, driver: Driver, started: ResponseStarted, id: ResponseId
    ) -> None:
        self.id = id
        self.epoch: Epoch = started.epoch
        """The interrupt fence to which it is bound."""
        self.started = started
        self.done: ResponseDone | None = None
        """Its end, once that was taken from the session's events."""
        self.over = False
        """Whether no more of its events will come."""
        self._responses = responses
        self._driver = driver
        self._events = deque[RealtimeEvent]()
        self._held: AbstractAsyncContextManager[TaskGroup] | None = None

    @property
    def heard(self) -> tuple[HeardItem, ...]:
        """What has reached the ear of it so far, or had when it was cut; also after that."""
        return heard_of(self._driver, self.id)

    @property
    def fenced(self) -> bool:
        """Whether it was cut."""
        known = self._driver.state.ledger.responses.get(self.id)
        return is_stale(self.epoch, self._driver.state.epoch) if known is None else known.fenced

    def put(self, event: RealtimeEvent) -> None:
        """Queue one of its events."""
        self._events.append(event)
        if isinstance(event, ResponseDone):
            self.done, self.over = event, True

    async def __anext__(self) -> RealtimeEvent:
        while True:
            while self._events:
                event = self._events.popleft()
                stale = is_stale(self.epoch, self._driver.state.epoch)
                if not (stale and event.kind is Kind.PERISHABLE):
                    return event
            if self.over:
                raise StopAsyncIteration
            await self._responses.advance()

    async def __aenter__(self) -> TaskGroup:
        self._held = self._scope()
        return await self._held.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._held is not None  # noqa: S101 - entered before
        return await self._held.__aexit__(kind, raised, trace)

    @asynccontextmanager
    async def _scope(self) -> AsyncGenerator[TaskGroup]:
        with ExitStack() as left:  # once the block's tasks have ended, too
            async with together() as tasks:
                scope = tasks.cancel_scope
                if self.fenced or self._driver.state.phase is Phase.CLOSED:
                    scope.cancel()
                self._driver.scopes.enter(scope, self.epoch, self.id)
                left.callback(self._driver.scopes.leave, scope)
                yield tasks

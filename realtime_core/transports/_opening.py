"""Opening: from an address to a pipe, over TCP or TLS, directly or through a proxy.

Whatever goes wrong on this way is one typed error, in which no secret of the proxy shows.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import NamedTuple

import anyio

from ..errors import InvalidRequest, RealtimeError, RealtimeException, TimedOut, Unavailable
from ._connecting import connect
from ._proxy import Proxy, ask
from ._sockets import Pipe, SecureSocket, Socket

__all__ = ("Way", "blotted", "opened", "reached", "within")


class Way(NamedTuple):
    """Where to go, and how."""

    host: str
    port: int
    ssl: tls.SSLContext | None = None
    """None: no TLS."""
    protocol: str = ""
    """What the server must agree to speak behind TLS (ALPN); empty: nothing is said of it.

    It is set on the context for the moment of the handshake, in place of what it names otherwise.
    """
    proxy: Proxy | None = None


class _Agreed(SecureSocket):
    @property
    def protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()


async def opened(way: Way, patience: float) -> Pipe:
    """Connect, and agree on keys, within so many seconds.

    Raises `RealtimeException` and nothing else. Cancelling leaves nothing.
    """
    with within(patience, way.host, () if way.proxy is None else way.proxy[2:]):
        return await reached(way)


@contextmanager
def within(patience: float, host: str, secrets: Iterable[str] = ()) -> Generator[None]:
    """Bound the time that a block takes to connect; what goes wrong in it becomes one error."""
    try:
        with anyio.fail_after(patience):
            yield
    except TimeoutError:
        error: RealtimeError = TimedOut(
            what=f"No connection to {host} stood within {patience:g} s.",
            cause="the network, or a server that hangs",
        )
    except tls.SSLCertVerificationError as problem:
        error = InvalidRequest(
            what=f"The certificate of {host} is not trusted.",
            cause=problem.verify_message,
            fix="Check the address, or pass the `ssl` context that trusts it.",
        )
    except (OSError, EOFError) as problem:
        error = Unavailable(
            what=f"No connection to {host} could be made.",
            cause=blotted(str(problem), secrets) or type(problem).__name__,
            fix="Check the network and the address.",
        )
    else:
        return
    raise RealtimeException(error)


async def reached(way: Way) -> Pipe:
    """Connect, and agree on keys; raises what went wrong as it comes. Cancelling leaves nothing."""
    socket = await connect(*((way.host, way.port) if way.proxy is None else way.proxy[:2]))
    try:
        if way.proxy is not None:
            name = f"[{way.host}]" if ":" in way.host else way.host
            await ask(socket, way.proxy, f"{name}:{way.port}")
        return socket if way.ssl is None else await _secured(way, way.ssl, socket)
    except BaseException:
        socket.close()
        raise


async def _secured(way: Way, context: tls.SSLContext, socket: Socket) -> Pipe:
    if not way.protocol:
        secure = _Agreed(socket, context, hostname=way.host)
    else:
        context.set_alpn_protocols([way.protocol])
        secure = _Agreed(socket, context, hostname=way.host)
        context.set_alpn_protocols([])
    await secure.handshake()
    if way.protocol and secure.protocol != way.protocol:
        raise RealtimeException(_unspoken(way))
    return secure


def _unspoken(way: Way) -> RealtimeError:
    return InvalidRequest(
        what=f"{way.host} does not speak {way.protocol}.",
        cause="another kind of server, or a proxy in between that takes TLS apart",
        fix="Check the address.",
    )


def blotted(text: str, secrets: Iterable[str]) -> str:
    """Give a text from outside without what must not be shown."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return text

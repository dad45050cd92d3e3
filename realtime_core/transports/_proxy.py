"""A way through an HTTP proxy: CONNECT, asked before anything is said to the server.

Nothing is ever sent to a proxy but the server's name and the proxy's own credentials.
"""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..config import Secret
from ..errors import AuthFailed, InvalidRequest, RealtimeError, RealtimeException, Unavailable
from ._http import BadHead, read_head, written_head
from ._sockets import Pipe

__all__ = ("Proxy", "ask", "proxy_at")


class Proxy(NamedTuple):
    """Where a proxy listens, and what it wants to know."""

    host: str
    port: int
    password: str
    basic: str
    """User and password as HTTP sends them; empty where there are none."""


def proxy_at(address: str | Secret) -> Proxy:
    """Read `http://[user:password@]host[:port]`; raises `RealtimeException`, which quotes none."""
    text = address.reveal() if isinstance(address, Secret) else address
    found: Proxy | None = None
    try:
        url = urlsplit(text)
        if url.scheme == "http" and url.hostname:
            user, password = unquote(url.username or ""), unquote(url.password or "")
            basic = b64encode(f"{user}:{password}".encode()).decode() if user else ""
            found = Proxy(url.hostname, url.port or 80, password, basic)
    except ValueError:  # it quotes the address: raised below, outside of it
        pass
    if found is None:
        raise RealtimeException(
            InvalidRequest(
                what="The address of the proxy cannot be used.",
                cause="only proxies that are spoken to over plain HTTP are known",
                fix="Give it as http://host:port or http://user:password@host:port.",
            )
        )
    return found


async def ask(pipe: Pipe, proxy: Proxy, to: str) -> None:
    """Ask for a way to `host:port`; raises `RealtimeException` where there is none."""
    headers = {"Host": to}
    if proxy.basic:
        headers["Proxy-Authorization"] = f"Basic {proxy.basic}"
    await pipe.send(written_head(f"CONNECT {to} HTTP/1.1", headers))
    try:
        head = await read_head(pipe)
        status = head.start[1]
    except BadHead:
        status = ""
    if not status.startswith("2"):
        raise RealtimeException(_refusal(proxy.host, status))


def _refusal(host: str, status: str) -> RealtimeError:
    if status == "407":
        return AuthFailed(
            what=f"The proxy {host} asks for credentials.",
            cause="none were given, or wrong ones",
            fix="Put them into the proxy's address: http://user:password@host:port.",
            code=status,
        )
    return Unavailable(
        what=f"The proxy {host} gives no way to the server.",
        cause=f"it answered with HTTP status {status}" if status else "it does not speak HTTP",
        fix="Check the address of the proxy and what it allows.",
        code=status,
    )

"""The endpoint: which host a connection goes to, and what it shows there.

Regions are hosts, and a key belongs to one of them. Read when a connection is made, as is the
environment.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_openai.endpoint import Access, Door, reach
from realtime_openai.service import Service

from .dialect import NESTED
from .models import DEFAULT_MODEL

__all__ = ("GATEWAYS", "QWEN", "REGIONS", "Place", "arrive")

_BEIJING, _SINGAPORE = "dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"
_PATH = "/api-ws/v1"

REGIONS = {
    "beijing": _BEIJING,
    "singapore": _SINGAPORE,
    "cn-beijing": _BEIJING,
    "ap-southeast-1": _SINGAPORE,
    "cn-hongkong": "cn-hongkong.dashscope.aliyuncs.com",
}
"""Hosts that serve every customer of a region."""
GATEWAYS = (
    "cn-beijing",
    "ap-southeast-1",
    "cn-hongkong",
    "us-east-1",
    "eu-central-1",
    "ap-northeast-1",
)
"""Regions in which a workspace has a host of its own."""

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ENDS = ("/realtime", "/inference")

QWEN = Service(
    dialect=NESTED,
    key_variable="DASHSCOPE_API_KEY",
    base_url=f"https://{_BEIJING}{_PATH}",
    base_variable="DASHSCOPE_WEBSOCKET_BASE_URL",
    header_variables=(("X-DashScope-WorkSpace", "DASHSCOPE_WORKSPACE"),),
    keyless=True,
    model=DEFAULT_MODEL,
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of where to go; what is None is taken from the vendor's own variables."""

    region: str | None = None
    workspace: str | None = None


async def arrive(access: Access, place: Place) -> Door:
    """Find out where to go and with which key, without going there.

    An address goes before a region, and what is given before what a variable says. Raises
    `RealtimeException`: what `reach` raises, and `InvalidRequest` where no host is meant.
    """
    space = place.workspace
    if space is None:
        space = os.environ.get("DASHSCOPE_WORKSPACE", "")
    told = "" if place.region else os.environ.get(QWEN.base_variable, "")
    address = access.base_url or told
    for end in _ENDS:
        address = address.rstrip("/").removesuffix(end)
    if not address:
        region = place.region or os.environ.get("DASHSCOPE_REGION", "") or "beijing"
        address = f"https://{_host(region, space)}{_PATH}"
    service = replace(QWEN, base_url=address) if _is_the_vendors(address) else QWEN
    headers = (("X-DashScope-WorkSpace", place.workspace),)
    return await reach(replace(access, service=service, base_url=address, headers=headers))


def _is_the_vendors(address: str) -> bool:
    try:
        return (urlsplit(address).hostname or "").endswith(".aliyuncs.com")
    except ValueError:
        return False


def _host(region: str, workspace: str) -> str:
    if workspace and not _LABEL.fullmatch(workspace):
        raise RealtimeException(
            InvalidRequest(
                what="The id of the workspace cannot be used.",
                cause="it holds more than letters, digits and hyphens",
                fix="Copy it from the console: `workspace=` or DASHSCOPE_WORKSPACE.",
            )
        )
    if workspace and region in GATEWAYS:
        return f"{workspace}.{region}.maas.aliyuncs.com"
    if region in REGIONS:
        return REGIONS[region]
    known = region in GATEWAYS
    raise RealtimeException(
        InvalidRequest(
            what=f"There is no host for the region {region!r}.",
            cause="this region serves workspaces alone" if known else "a misspelt region",
            fix="Give `workspace=` too, or choose beijing or singapore."
            if known
            else f"Known: {', '.join(dict.fromkeys((*REGIONS, *GATEWAYS)))}.",
        )
    )

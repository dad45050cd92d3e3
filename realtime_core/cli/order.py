"""A command that remembers in which order its options were given, also across different options.

What a list option alone cannot tell: `--say a --text b --say c` are three turns in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from typer.core import TyperCommand

__all__ = ("InOrder", "in_order")

_KEY = "realtime_core.cli.order"


class InOrder(TyperCommand):
    """Keeps the order of the options for `in_order`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        """Parse as ever, after a first look at the order."""
        given = cast("Any", self).make_parser(ctx).parse_args(args=list(args))[2]
        ctx.meta[_KEY] = tuple(str(parameter.name) for parameter in given)
        return super().parse_args(ctx, args)


def in_order(ctx: Any, values: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:  # noqa: ANN401
    """Give (option, value) pairs of these list options as they stood on the command line."""
    left = {name: iter(given) for name, given in values.items()}
    return tuple((name, next(left[name])) for name in ctx.meta[_KEY] if name in left)

"""A neural network in a file, run by ONNX Runtime: one thread, no spinning.

ONNX Runtime has no type stubs; what this package uses of it is named here and nowhere else. A run
releases the interpreter lock, may be called from several threads at once, and ends early with
`Stopped` when its `Brake` is pulled from another thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from realtime_core.errors import RealtimeException, Unavailable, Unsupported

__all__ = ("Array", "Brake", "Network", "Stopped", "floats")

Array = NDArray[Any]


class Stopped(Exception):  # noqa: N818 - not a fault: the caller no longer wants the result
    """The run was stopped because nobody waits for its result."""


class _Options(Protocol):
    terminate: bool


class _Session(Protocol):
    def run(
        self, names: Sequence[str] | None, feeds: Mapping[str, Array], options: _Options | None
    ) -> list[Array]: ...


class Brake:
    """Stops what runs with it, from any thread, for good; pulling it twice is the same as once."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options = cast("_Options", _onnxruntime().RunOptions())

    def pull(self) -> None:
        """Stop: a run in progress ends at its next operator, a later one at once."""
        self.options.terminate = True

    @property
    def pulled(self) -> bool:
        """Whether `pull` was called."""
        return self.options.terminate


class Network:
    """One model file, loaded; a frozen thing that sessions and threads share.

    Raises `RealtimeException` with `Unsupported` when ONNX Runtime is not installed, and with
    `Unavailable` when the file cannot be loaded. Loading blocks for up to 0.2 s.
    """

    __slots__ = ("_session",)

    def __init__(self, path: Path) -> None:
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as problem:
            raise RealtimeException(
                Unavailable(
                    what=f"The model file {path.name} could not be loaded: {problem}.",
                    cause="a damaged file, or an ONNX Runtime too old for it",
                    fix="Type `realtime models verify`, then `realtime models install`.",
                )
            ) from problem
        self._session = cast("_Session", session)

    def run(
        self, feeds: Mapping[str, Array], *names: str, brake: Brake | None = None
    ) -> list[Array]:
        """Give the named outputs (all where none is named); `Stopped` when the brake is pulled."""
        if brake is None:
            return self._session.run(names or None, feeds, None)
        if brake.pulled:
            raise Stopped
        try:
            return self._session.run(names or None, feeds, brake.options)
        except Exception as problem:
            if brake.pulled:
                raise Stopped from problem
            raise


def _onnxruntime() -> Any:  # noqa: ANN401 - the library is untyped
    try:
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional extra
    except ImportError as problem:
        raise RealtimeException(
            Unsupported(
                what="The local voice needs ONNX Runtime, which is not installed.",
                cause="the extra `local` was left out",
                fix="Type: pip install 'realtime-core[local]'",
                field="onnxruntime",
            )
        ) from problem
    return onnxruntime


def floats(pcm: bytes) -> NDArray[np.float32]:
    """Turn signed 16-bit samples into numbers from -1 to 1; an odd last byte is left out."""
    whole = pcm if len(pcm) % 2 == 0 else pcm[:-1]
    return np.frombuffer(whole, dtype="<i2").astype(np.float32) / np.float32(32768)

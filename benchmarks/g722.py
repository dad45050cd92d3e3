"""G.722 at 64 kbit/s as 16 kHz samples: the coding of the human recordings that Debian packages.

Follows the ITU-T recommendation block by block; pure Python, about a tenth of real time.
"""

from __future__ import annotations

import array

__all__ = ("decoded",)

_QM2 = (-7408, -1616, 7408, 1616)
_QM4 = (
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
    20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
)  # fmt: skip
_QM6 = (
    -136, -136, -136, -136, -24808, -21904, -19008, -16704,
    -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
    -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576,
    -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
    24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192,
    10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032,
    1688, 1360, 1040, 728, 432, 136, -432, -136,
)  # fmt: skip
_WL = (-60, -30, 58, 172, 334, 538, 1198, 3042)
_RL42 = (0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0)
_WH = (0, -214, 798)
_RH2 = (2, 1, 2, 1)
_ILB = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
)  # fmt: skip
_QMF = (3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11)


class _Band:
    """The adaptive predictor of one half of the spectrum (blocks 3 and 4)."""

    def __init__(self, scale: int) -> None:
        self.nb = 0
        self.det = scale
        self.s = 0
        self._sz = 0
        self._r = [0, 0]
        self._p = [0, 0]
        self._a = [0, 0]
        self._d = [0] * 6
        self._b = [0] * 6

    def adapt(self, d: int) -> None:
        """Take in the quantized difference signal."""
        r, p = _clip(self.s + d), _clip(self._sz + d)
        a1, a2 = self._a
        same1 = (p < 0) == (self._p[0] < 0)
        same2 = (p < 0) == (self._p[1] < 0)
        wd1 = _clip(a1 << 2)
        wd2 = min(-wd1 if same1 else wd1, 32767)
        wd3 = (wd2 >> 7) + (128 if same2 else -128) + ((a2 * 32512) >> 15)
        a2 = max(-12288, min(12288, wd3))
        wd3 = _clip((192 if same1 else -192) + ((a1 * 32640) >> 15))
        limit = _clip(15360 - a2)
        a1 = max(-limit, min(limit, wd3))
        step = 0 if d == 0 else 128
        before = self._d
        self._b = [
            _clip((step if (d < 0) == (old < 0) else -step) + ((b * 32640) >> 15))
            for b, old in zip(self._b, before, strict=True)
        ]
        self._d = [d, *before[:5]]
        self._r, self._p, self._a = [r, self._r[0]], [p, self._p[0]], [a1, a2]
        wd1 = (a1 * _clip(2 * self._r[0])) >> 15
        wd2 = (a2 * _clip(2 * self._r[1])) >> 15
        pole = _clip(wd1 + wd2)
        zero = 0
        for b, old in zip(self._b, self._d, strict=True):
            zero += (b * _clip(2 * old)) >> 15
        self._sz = _clip(zero)
        self.s = _clip(pole + self._sz)


def decoded(data: bytes) -> bytes:
    """Give the signed 16-bit little-endian samples of a G.722 stream."""
    low, high, history = _Band(32), _Band(8), [0] * 24
    samples = array.array("h")
    for code in data:
        ih, il = code >> 6, code & 63
        rlow = max(-16384, min(16383, low.s + ((low.det * _QM6[il]) >> 15)))
        dlow = (low.det * _QM4[il >> 2]) >> 15
        low.nb = max(0, min(18432, ((low.nb * 127) >> 7) + _WL[_RL42[il >> 2]]))
        low.det = _scale(low.nb, 8)
        low.adapt(dlow)
        dhigh = (high.det * _QM2[ih]) >> 15
        rhigh = max(-16384, min(16383, dhigh + high.s))
        high.nb = max(0, min(22528, ((high.nb * 127) >> 7) + _WH[_RH2[ih]]))
        high.det = _scale(high.nb, 10)
        high.adapt(dhigh)
        history = [*history[2:], rlow + rhigh, rlow - rhigh]
        even, odd = history[0::2], history[1::2]
        samples.append(_clip(sum(map(int.__mul__, odd, reversed(_QMF))) >> 11))
        samples.append(_clip(sum(map(int.__mul__, even, _QMF)) >> 11))
    if array.array("h", [1]).tobytes() != b"\1\0":
        samples.byteswap()
    return samples.tobytes()


def _scale(nb: int, shift: int) -> int:
    index, move = (nb >> 6) & 31, shift - (nb >> 11)
    wide = _ILB[index] << -move if move < 0 else _ILB[index] >> move
    return wide << 2


def _clip(value: int) -> int:
    return -32768 if value < -32768 else min(value, 32767)

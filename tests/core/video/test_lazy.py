"""Importing the packages loads neither numpy nor pillow nor soundfile."""

from __future__ import annotations

import subprocess
import sys


def test_importing_audio_and_video_is_light() -> None:
    program = (
        "import sys\n"
        "import realtime_core.audio, realtime_core.audio.format, realtime_core.video\n"
        "print([name for name in ('numpy', 'PIL', 'soundfile') if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"

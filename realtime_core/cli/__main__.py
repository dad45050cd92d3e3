"""`python -m realtime_core.cli`: the `realtime` command."""

from __future__ import annotations

from . import main

raise SystemExit(main())

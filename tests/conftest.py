"""What every test shares: both backends, and how long hypothesis looks.

`REALTIME_LAWS=deep` looks long, from a seed that is printed; `--hypothesis-seed` repeats it.
`REALTIME_LAWS=mutants` looks in the same places every time, and stops at the first finding.
"""

from __future__ import annotations

import os
import secrets

import pytest
from hypothesis import Phase, settings

SEED_OPTION = "hypothesis_seed"
PROFILE = os.environ.get("REALTIME_LAWS", "default")
DEEP = PROFILE == "deep"

settings.register_profile("default", deadline=None, print_blob=True, max_examples=25)
settings.register_profile("deep", deadline=None, print_blob=True, max_examples=5_000)
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=100,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
settings.load_profile(PROFILE)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if DEEP and config.getoption(SEED_OPTION) is None:
        setattr(config.option, SEED_OPTION, str(secrets.randbits(32)))


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption(SEED_OPTION)
    return f"laws: {PROFILE}, seed {'random' if seed is None else seed}"


@pytest.fixture(scope="session", params=["asyncio", "trio"], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)

"""Services: who offers the Live API, and what differs at their doors, as values.

Nothing in this package asks for a name; a model's own ways are in `models`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .models import DEVELOPER_MODEL, VERTEX_MODEL
from .models import Service as Dialect

__all__ = ("DEVELOPER_API", "VERTEX", "Service")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two doors: its address, what opens it, and which variables tell both."""

    name: str
    """The provider's name."""
    dialect: Dialect
    """Which of the two it is, for the table of models and the codec."""
    model: str
    """The model where none is chosen."""
    base_url: str
    """The vendor's own address; `{location}` stands for the place of the data centre."""
    places: Mapping[str, str] = {}
    """Addresses of locations that have one of another form."""
    base_variable: str
    path: str
    """Where sessions are below the address, with `{version}`."""
    version: str
    """The version of the API that is asked for."""
    versions: Mapping[str, str] = {}
    """Another version, by the field of a setup (a dot between names) that only this one has."""
    token_version: str = ""
    """The version that makes and takes ephemeral tokens; empty: there are none."""
    key_option: str
    """The factory's argument for what opens the door."""
    key_variables: tuple[str, ...]
    """The first that is set is taken."""
    key_header: str
    """`Authorization` carries a bearer token, any other header the bare key."""
    located: bool = False
    """Whether models belong to a project at a location."""


DEVELOPER_API = Service(
    name="gemini",
    dialect="developer",
    model=DEVELOPER_MODEL,
    base_url="https://generativelanguage.googleapis.com",
    base_variable="GOOGLE_GEMINI_BASE_URL",
    path="/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent",
    version="v1beta",
    versions={
        "generationConfig.enableAffectiveDialog": "v1alpha",
        "proactivity": "v1alpha",
    },
    token_version="v1alpha",  # noqa: S106 - a version
    key_option="api_key",
    key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    key_header="x-goog-api-key",
)
"""The documented version is the default; others refuse (1007) what only `v1alpha` knows."""

VERTEX = Service(
    name="gemini-vertex",
    dialect="vertex",
    model=VERTEX_MODEL,
    base_url="https://{location}-aiplatform.googleapis.com",
    places={
        "global": "https://aiplatform.googleapis.com",
        "us": "https://aiplatform.us.rep.googleapis.com",
        "eu": "https://aiplatform.eu.rep.googleapis.com",
    },
    base_variable="GOOGLE_VERTEX_BASE_URL",
    path="/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent",
    version="v1beta1",
    key_option="token",
    key_variables=("CLOUDSDK_AUTH_ACCESS_TOKEN",),
    key_header="Authorization",
    located=True,
)
"""It has all fields in one version, and nothing at `v1alpha`. The token's variable is gcloud's."""

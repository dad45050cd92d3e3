"""Rules: which setups the service takes. Pure tables; what is not told in them passes.

A server of another provider's sessions has no models of the vendor's: only the form is judged then.
"""

from __future__ import annotations

from typing import cast

from ..client_messages import Setup
from .address import Address
from .book import Complaint, Fields
from .wish import Wish

__all__ = ("judged", "shape", "takes_scheduling", "takes_updates")

_MODES = {"AUDIO", "TEXT"}
_LEVELS = {"LOW", "MEDIUM", "HIGH"}
_GENERATION = frozenset(
    {
        "audioTranscriptionConfig",
        "candidateCount",
        "enableAffectiveDialog",
        "frequencyPenalty",
        "maxOutputTokens",
        "mediaResolution",
        "presencePenalty",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "seed",
        "speechConfig",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
        "translationConfig",
    }
)
_SCHEMA = frozenset(
    {
        "anyOf",
        "default",
        "description",
        "enum",
        "example",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
_EXTENDED = "extended-thinking"


def shape(setup: Setup, wish: Wish) -> Complaint | None:
    """Say what no model takes."""
    modes = wish.generation_config.response_modalities
    names = [one.name for one in wish.functions]
    if not setup.model:
        return Complaint(1007, "setup.model is required.")
    if strange := sorted((setup.generation_config or {}).keys() - _GENERATION):
        return _unknown(strange[0], "setup.generation_config")
    if modes is not None and (len(modes) != 1 or modes[0] not in _MODES):
        return Complaint(1007, "Exactly one response modality, AUDIO or TEXT, is supported.")
    if not all(names) or len(set(names)) < len(names):
        return Complaint(1007, "Function declarations need names, each its own.")
    return None


def judged(setup: Setup, wish: Wish, address: Address) -> Complaint | None:
    """Say what this service, or this model of the vendor's, does not take."""
    return _of_service(setup, wish, address) or _of_model(wish) or _of_schemas(wish)


def _of_service(setup: Setup, wish: Wish, address: Address) -> Complaint | None:
    vertex = address.service == "vertex"
    prefix = "projects/" if vertex else "models/"
    if not setup.model.startswith(prefix):
        return Complaint(1008, f"Unexpected model name: it begins with {prefix!r}.")
    transparent = wish.session_resumption is not None and wish.session_resumption.transparent
    for given, right, name in (
        (setup.explicit_vad_signal, vertex, "explicit_vad_signal"),
        (transparent, vertex, "transparent"),
        (setup.labels, not vertex, "labels"),
        (setup.history_config, not vertex, "history_config"),
    ):
        if given and not right:
            return _unknown(name, "setup")
    return None


def _of_model(wish: Wish) -> Complaint | None:
    model, generation = wish.model.rpartition("/")[2], wish.generation_config
    native = "native-audio" in model or model.startswith("gemini-3")
    extended = _EXTENDED in model
    level = generation.thinking_config.thinking_level
    if native and wish.written:
        return Complaint(1007, "Response modality TEXT is not supported by this model.")
    if extended and level not in _LEVELS:
        return Complaint(1007, "Thinking level must be specified.")
    if model.startswith("gemini-3.8-live") and not extended and level:
        return Complaint(1007, "Thinking level is not supported by this model.")
    if extended and any(one.behavior == "BLOCKING" for one in wish.functions):
        return Complaint(1007, "BLOCKING functions are not supported by this model.")
    if generation.enable_affective_dialog and "native-audio" not in model:
        return Complaint(1007, "Affective dialog is not supported by this model.")
    return None


def takes_scheduling(wish: Wish) -> bool:
    """Tell whether a result may say when it is to be spoken of."""
    return _EXTENDED not in wish.model


def takes_updates(wish: Wish) -> bool:
    """Tell whether instructions and tools may change while the session runs."""
    return "gemini-3.8" in wish.model


def _of_schemas(wish: Wish) -> Complaint | None:
    for one in wish.functions:
        strange = _strange(one.parameters)
        if strange:
            return _unknown(strange, f"setup.tools.{one.name}.parameters")
    return None


def _strange(schema: object) -> str:
    """Name a word of a schema that is not of the subset."""
    if not isinstance(schema, dict):
        return ""
    fields = cast("Fields", schema)
    if own := sorted(fields.keys() - _SCHEMA):
        return own[0]
    properties, several = fields.get("properties"), fields.get("anyOf")
    inner: list[object] = [fields.get("items")]
    if isinstance(properties, dict):
        inner += cast("Fields", properties).values()
    if isinstance(several, list):
        inner += cast("list[object]", several)
    return next((strange for one in inner if (strange := _strange(one))), "")


def _unknown(name: str, where: str) -> Complaint:
    what = f'Invalid JSON payload received. Unknown name "{name}" at {where!r}: Cannot find field.'
    return Complaint(1007, what)

"""The grammar of what a client says, as the protocol sheet has it: a judge that knows no code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from realtime_core.codec import Wire

__all__ = ("judged", "names", "told_history")

INSIDE = {"TEXT": "textInput", "AUDIO": "audioInput", "TOOL": "toolResult"}


def events(wires: Iterable[Wire]) -> list[tuple[str, dict[str, Any]]]:
    found = list[tuple[str, dict[str, Any]]]()
    for wire in wires:
        assert isinstance(wire, bytes)
        (one,) = msgspec.json.decode(wire, type=dict[str, dict[str, dict[str, Any]]])[
            "event"
        ].items()
        found.append(one)
    return found


def names(wires: Iterable[Wire]) -> list[str]:
    """Give what is said, shortly: `sessionStart`, `+TEXT/SYSTEM`, `textInput`, `-` ..."""
    said = list[str]()
    for name, fields in events(wires):
        begins = name == "contentStart"
        opened = f"+{fields['type']}/{fields['role']}" if begins else name
        said.append("-" if name == "contentEnd" else opened)
    return said


def judged(wires: Iterable[Wire], *, complete: bool = False) -> str:
    """Say what is wrong; nothing where all is right. `complete`: everything is closed, too."""
    stage, prompt, used, audio = 0, None, set[str](), None
    inner: dict[str, Any] | None = None
    """Stages: nothing, session, prompt, audio begun, audio ended, prompt ended, session ended."""
    for place, (name, fields) in enumerate(events(wires)):
        wrong = f"{place}: {name} at stage {stage}"
        if prompt is not None and name != "sessionEnd" and fields.get("promptName") != prompt:
            return wrong
        match name:
            case "sessionStart" if stage == 0:
                stage = 1
            case "promptStart" if stage == 1:
                stage, prompt = 2, fields["promptName"]
            case "contentStart" if stage in {2, 3} and inner is None:
                if fields["contentName"] in used:
                    return wrong
                if not used and fields["role"] != "SYSTEM":
                    return wrong
                used.add(fields["contentName"])
                if fields["type"] == "AUDIO":
                    if stage != 2:
                        return wrong
                    stage, audio = 3, fields["contentName"]
                elif (fields["type"] == "TOOL" or fields["interactive"]) and stage != 3:
                    return wrong
                else:
                    inner = fields
            case "audioInput" if stage == 3 and fields["contentName"] == audio:
                pass
            case "textInput" | "toolResult" if inner is not None:
                if INSIDE[inner["type"]] != name or fields["contentName"] != inner["contentName"]:
                    return wrong
            case "contentEnd" if inner is not None:
                if fields["contentName"] != inner["contentName"]:
                    return wrong
                inner = None
            case "contentEnd" if stage == 3 and fields["contentName"] == audio:
                stage = 4
            case "promptEnd" if stage in {2, 4} and inner is None:
                stage = 5
            case "sessionEnd" if stage in {1, 5}:
                stage = 6
            case _:
                return wrong
    return "not closed" if complete and stage not in {0, 6} else ""


def told_history(wires: Iterable[Wire]) -> list[tuple[str, list[str]]]:
    """Give the blocks of the history, with their pieces."""
    blocks = list[tuple[str, list[str]]]()
    for name, fields in events(wires):
        if name == "contentStart":
            blocks.append((fields["role"] if not fields["interactive"] else "", []))
        elif name == "textInput":
            blocks[-1][1].append(fields["content"])
    return [block for block in blocks if block[0] in {"USER", "ASSISTANT"}]

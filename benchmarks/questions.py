"""Twenty simple questions with the answers that count as right, as data.

They were written down before any model saw them. An answer is right when the pattern is found in
it, case ignored; that measures knowing, not eloquence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ("QUESTIONS", "Question")


class Question(NamedTuple):
    """A question as it is spoken, and a pattern of the answers that are right."""

    text: str
    accepted: str

    def right(self, answer: str) -> bool:
        """Tell whether the answer holds an accepted one."""
        return re.search(self.accepted, answer, re.IGNORECASE) is not None


QUESTIONS = (
    Question("What is the capital of France?", r"\bparis\b"),
    Question("How many days are in a week?", r"\bseven\b|\b7\b"),
    Question("What color is the sky on a clear day?", r"\bblue\b"),
    Question("What is two plus three?", r"\bfive\b|\b5\b"),
    Question("Which planet is the largest in our solar system?", r"\bjupiter\b"),
    Question("What is the opposite of hot?", r"\bcold\b"),
    Question("How many legs does a spider have?", r"\beight\b|\b8\b"),
    Question("What do bees make?", r"\bhoney\b"),
    Question("In which country is the city of Tokyo?", r"\bjapan\b"),
    Question("At how many degrees Celsius does water freeze?", r"\bzero\b|\b0\b|\b0°"),
    Question("Who wrote Romeo and Juliet?", r"\bshakespeare\b"),
    Question("How many months are in a year?", r"\btwelve\b|\b12\b"),
    Question("What is the name of the planet we live on?", r"\bearth\b"),
    Question("What gas do people need to breathe to live?", r"\boxygen\b"),
    Question("What is ten minus four?", r"\bsix\b|\b6\b"),
    Question("Which animal says meow?", r"\bcats?\b|\bkittens?\b"),
    Question("What is the largest ocean on Earth?", r"\bpacific\b"),
    Question("What language is spoken in Brazil?", r"\bportuguese\b"),
    Question("How many hours are in a day?", r"\b24\b|\btwenty[ -]?four\b"),
    Question("What is the capital of Italy?", r"\brome\b"),
)

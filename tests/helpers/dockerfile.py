"""The Dockerfile, taken apart."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined."""

    word: str
    rest: str


def instructions() -> list[Instruction]:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [
        Instruction(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
        for line in text.splitlines()
        if line
    ]


def stages() -> list[list[Instruction]]:
    """What follows each FROM, with it."""
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def only(stage: list[Instruction], word: str) -> str:
    (instruction,) = [instruction for instruction in stage if instruction.word == word]
    return instruction.rest


def variables(stage: list[Instruction]) -> dict[str, str]:
    """What ENV sets; `$PATH` is left as it stands."""
    pairs = [pair for i in stage if i.word == "ENV" for pair in shlex.split(i.rest)]
    return dict(pair.split("=", 1) for pair in pairs)

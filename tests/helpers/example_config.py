"""config.example.toml, as it stands and with every key in force."""

from __future__ import annotations

from helpers.world import REPOSITORY

EXAMPLE = REPOSITORY / "config.example.toml"


def uncommented() -> str:
    """The example with every key put in force; prose has a space after the sign."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return "\n".join(
        line[1:] if line[:1] == "#" and line[1:2].strip() else line for line in text.splitlines()
    )

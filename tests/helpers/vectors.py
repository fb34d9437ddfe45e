"""Load the recorded answers of the reference signer (tests/vectors/README.md says where they come from)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).resolve().parent.parent / "vectors"


@cache
def load(family: str) -> dict[str, Any]:
    """The whole file of one family, e.g. `load("runes")["cases"]`."""
    content: dict[str, Any] = json.loads((DIRECTORY / f"{family}.json").read_text())
    return content

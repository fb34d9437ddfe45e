"""An empty home for each test of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import Command


@pytest.fixture
def signerd(tmp_path: Path) -> Command:
    """Commands in an empty home."""
    return Command(tmp_path)

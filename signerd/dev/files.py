"""How the local Greenlight writes its files: owner only, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(path: Path) -> Path:
    """Create `path` (mode 0700) with its parents, if needed, and return it."""
    if not path.is_dir():
        # Not mkdir's own `parents`: it gives them the process's default mode.
        make_directory(path.parent)
        path.mkdir(mode=0o700)
    return path


def write(path: Path, content: bytes) -> Path:
    """Replace `path` (mode 0600) in one step and return it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
    return path


def restrict(path: Path) -> None:
    """Owner only (0600)."""
    path.chmod(0o600)


def remove(path: Path) -> None:
    """Remove a file that may not be there."""
    path.unlink(missing_ok=True)

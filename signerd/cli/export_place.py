"""Where the files of an export are: plaintext, encrypted backup, RESTORE file; and whose they are."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signerd.errors import OutputError, SignerdError

if TYPE_CHECKING:
    from signerd.core.restore_guide import SecretLayout
    from signerd.units import NodeId

_HINT = "move it away, or choose another place with -o"
_LONGEST_GUIDE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Three names that belong together; `plain` is absolute."""

    plain: Path

    @classmethod
    def of(cls, plain: Path) -> Place:
        return cls(plain.absolute())

    @classmethod
    def choose(cls, named: str | None, earlier: Path | None, node_id: NodeId) -> Place:
        """What was typed, or where an earlier run began, or here. Raises OutputError."""
        if named is None and earlier is not None:
            return cls.of(earlier)
        path = Path(named or ".")
        if path.is_dir() or (named or "").endswith("/"):
            path = path / f"node-{node_id.hex()[:16]}.backup"
        place = cls.of(path)
        if not place.plain.parent.is_dir():
            directory = place.plain.parent
            raise OutputError(
                f"{directory} is not a directory", hint=f"make it first: mkdir {shlex.quote(str(directory))}"
            )
        return place

    @property
    def encrypted(self) -> Path:
        return self.plain.with_name(self.plain.name + ".enc")

    @property
    def guide(self) -> Path:
        return self.plain.with_name(self.plain.name + ".RESTORE.md")

    def holds(self, size: int) -> bool:
        """Whether a plaintext of that size is there."""
        try:
            return self.plain.is_file() and self.plain.stat().st_size == size
        except OSError:
            return False

    def require_free(self, node_id: NodeId) -> None:
        """That nothing of somebody else's is in the way, before anything that cannot be undone is done.

        Raises OutputError.
        """
        if os.path.lexists(self.plain) and not self.encrypted.exists():
            raise OutputError(f"{self.plain} is there already", hint=_HINT)
        if os.path.lexists(self.guide) and not self._is_guide_of(node_id):
            raise OutputError(f"{self.guide} is there already, and not from this command", hint=_HINT)
        if not os.access(self.plain.parent, os.W_OK | os.X_OK):
            raise OutputError(
                f"{self.plain.parent} cannot be written to", hint="choose another place with -o"
            )

    def write_guide(self, text: str, node_id: NodeId) -> None:
        """One that is there already stays: it may have notes in it. Raises OutputError."""
        from signerd.store import files

        try:
            files.write_atomically(self.guide, text.encode("utf-8", "surrogateescape"), exclusive=True)
        except files.AlreadyThere:
            if not self._is_guide_of(node_id):
                raise

    def secret_layout(self, secret: Path) -> SecretLayout:
        """What kind of file the secret is, so that the steps say how Core Lightning gets at the 32 bytes."""
        from signerd.store import files

        if os.environ.get("CREDENTIALS_DIRECTORY") == str(secret.parent):
            return "other"  # it is gone when this command has ended
        try:
            content = files.read_bounded(secret, 4096)
        except SignerdError:
            return "other"
        if len(content) == 32:
            return "raw"
        return "words" if content.replace(b"\n", b" ").replace(b" ", b"").isalpha() else "other"

    def _is_guide_of(self, node_id: NodeId) -> bool:
        from signerd.core import restore_guide
        from signerd.store import files

        try:
            text = files.read_bounded(self.guide, _LONGEST_GUIDE).decode(errors="replace")
        except SignerdError:
            return False
        return text.startswith(restore_guide.first_line(node_id) + "\n")

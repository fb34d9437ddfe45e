"""What `init`, `seal` and `unseal` share: sealed bytes, and the proof that they open again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signerd.cli import node_secret, output

if TYPE_CHECKING:
    from signerd.units import Secret


@dataclass(frozen=True, slots=True)
class NewSeal:
    """What is written, and how what was written is opened: from the passphrase, as at every start."""

    content: bytes
    _passphrase: Secret
    _path: Path

    def check(self, written: bytes) -> Secret:
        """The secret in what was read back from the disk. Raises WrongPassphrase."""
        from signerd.core import secret_layout

        return secret_layout.read(written, source=str(self._path), passphrase=self._passphrase)


def new_seal(secret: Secret, passphrase: Secret, path: Path) -> NewSeal:
    """A secret under a passphrase, for a file at `path`. Raises MemoryShort."""
    from signerd.core import sealed_secret

    node_secret.require_memory()
    output.talk("sealing, and opening it again to be sure…")
    key = sealed_secret.derive_key(passphrase)
    content = sealed_secret.seal(secret, key, secrets.token_bytes(sealed_secret.HEADER_SIZE))
    return NewSeal(content, passphrase, path)

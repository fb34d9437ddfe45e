"""Load the node's keys for a command: first protect the process, then read the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys


def load_keys(settings: Settings) -> NodeKeys:
    """The keys that follow from the secret file. Raises InputMissing or SecretError."""
    from signerd.core.keys.node import NodeKeys
    from signerd.daemon import hardening
    from signerd.store import secret_file

    hardening.refuse_core_dumps()
    hardening.lock_memory()  # where it cannot be, `signerd run` says so
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY") == str(settings.secret_file.parent)
    return NodeKeys.derive(secret_file.read_secret(settings.secret_file, handed_over=handed_over))

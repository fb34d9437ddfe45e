"""Load the node's keys for a command: first protect the process, then open the file, once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.units import Secret


def load_keys(settings: Settings, *, hosted: bool = True) -> NodeKeys:
    """The keys that follow from the secret file. A passphrase is looked for only if the file has one.

    `hosted` refuses the keys that Core Lightning itself has from a mnemonic container. Raises InputMissing,
    SecretError, Sealed, WrongPassphrase or MemoryShort.
    """
    from signerd.core import secret_container, secret_layout
    from signerd.core.keys.node import NodeKeys
    from signerd.store import secret_file

    protect_process()
    path = settings.secret_file
    content = secret_file.read_content(path, handed_over=is_handed_over(settings))
    source, derivation = str(path), settings.derivation
    is_container = secret_layout.recognise(content, source=source) is secret_layout.Layout.CONTAINER
    if is_container and derivation == "core-lightning":
        if hosted:
            raise secret_layout.not_hosted(source)
        passphrase = find_passphrase(settings, content)
        return secret_container.node_keys(content, passphrase, source=source)
    passphrase = find_passphrase(settings, content)
    return NodeKeys.derive(
        secret_layout.read(content, source=source, passphrase=passphrase, derivation=derivation)
    )


def find_passphrase(settings: Settings, content: bytes) -> Secret | None:
    """The passphrase of the secret file's content, from where the settings say; None if it needs none.

    Raises Sealed where nothing says it, SecretError for a content that none would open, and MemoryShort.
    """
    from signerd.cli import passphrase
    from signerd.core import secret_layout

    source = str(settings.secret_file)
    if not secret_layout.needs_passphrase(content, source=source, derivation=settings.derivation):
        return None
    found = passphrase.current(settings)
    if found is None:
        raise secret_layout.sealed(content, source=source)
    if secret_layout.recognise(content, source=source) is secret_layout.Layout.SEALED:
        require_memory()
    return found


def require_memory() -> None:
    """Say that a passphrase costs too much memory, where the kernel would say it by ending us."""
    from signerd.core import sealed_secret
    from signerd.daemon import memory_room

    memory_room.require(sealed_secret.KEY_MEMORY)


def protect_process() -> None:
    """Before a secret is in memory: no core dumps, no swapping."""
    from signerd.daemon import hardening

    hardening.refuse_core_dumps()
    hardening.lock_memory()  # where it cannot be, `signerd run` says so


def is_handed_over(settings: Settings) -> bool:
    """Whether a service manager made the secret file for this process alone."""
    return os.environ.get("CREDENTIALS_DIRECTORY") == str(settings.secret_file.parent)

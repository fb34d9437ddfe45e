"""`signerd seal`: put the node secret under a passphrase, in the form that Core Lightning has for that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, passphrase, sealing
from signerd.errors import Sealed, SecretError, UsageError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.secret_layout import Layout
    from signerd.store.secret_file import Held
    from signerd.units import Secret

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--keep", is_flag=True, help="Keep the old file beside it, under its name and .previous.")
@click.option(
    "-o", "--output", "target", type=_PATH, metavar="FILE", help="Write there, and leave the secret as it is."
)
@click.option("--change", is_flag=True, help="Change the passphrase of a secret that has one.")
@click.option("--new-passphrase-file", type=_PATH, metavar="FILE", help="A file with the new passphrase.")
@click.option("--new-passphrase-fd", type=options.DESCRIPTOR, metavar="N", help="A descriptor that has it.")
@click.option("--yes", is_flag=True, help="The words are written down; do not ask.")
@options.as_json
@options.common
def command(
    *,
    keep: bool,
    target: Path | None,
    change: bool,
    new_passphrase_file: Path | None,
    new_passphrase_fd: int | None,
    yes: bool,
    json: bool,
    **common: Any,
) -> None:
    """Put the node secret under a passphrase: 73 bytes, which Core Lightning's own tools open too.

    The passphrase is typed twice, or comes from where `signerd run` will find it. The sealed file is on disk,
    read back and opened before it takes the place of the old one. A daemon that runs goes on; it needs the
    passphrase at its next start.

    A passphrase that is lost cannot be got round: the words, or another copy, are then the only way back.

    \b
    Examples:
      signerd seal
      signerd seal --passphrase-file /etc/signerd/passphrase
      signerd seal --change
    """
    from signerd.core import secret_layout
    from signerd.core.keys.node import NodeKeys
    from signerd.store import secret_file

    if keep and target is not None:
        raise UsageError("--keep and -o do not go together", hint="with -o the secret is left alone anyway")
    if new_passphrase_file is not None and new_passphrase_fd is not None:
        raise UsageError("--new-passphrase-file and --new-passphrase-fd do not go together")
    settings = options.settings(common)
    node_secret.protect_process()
    path = settings.secret_file
    with secret_file.hold(path) as held:
        layout = secret_layout.recognise(held.content, source=str(path))
        _require_meant(layout, path, change=change)
        current = node_secret.find_passphrase(settings, held.content)
        secret = secret_layout.read(
            held.content, source=str(path), passphrase=current, derivation=settings.derivation
        )
        node_id = NodeKeys.derive(secret).node_id.hex()
        if layout.has_words:
            output.talk(
                f"{path} holds words. The sealed file will hold the 32 bytes that follow from them: the same "
                f"node, {node_id}, but nobody can read the words in it again."
            )
            output.confirm("Are the words written down?", yes=yes)
        # Where the file has a passphrase already, the usual places hold that one.
        if current is None and new_passphrase_file is None and new_passphrase_fd is None:
            new = passphrase.new(settings)
        else:
            new = passphrase.new_from(file=new_passphrase_file, descriptor=new_passphrase_fd)
        if new is None:
            raise Sealed(
                "no passphrase to seal with",
                hint="run it in a terminal, or name one with "
                + ("--passphrase-file" if current is None else "--new-passphrase-file"),
            )
        kept = _write(held, secret, new, target, keep=keep)
    _report(settings, held, node_id, kept=kept, target=target, json=json)


def _require_meant(layout: Layout, path: Path, *, change: bool) -> None:
    from signerd.core.secret_layout import Layout

    is_sealed = layout is Layout.SEALED
    if is_sealed and not change:
        raise SecretError(f"{path} is sealed already", hint="`signerd seal --change` changes its passphrase")
    if change and not is_sealed:
        raise SecretError(f"{path} is not sealed: there is nothing to change", hint="leave out --change")


def _write(held: Held, secret: Secret, new: Secret, target: Path | None, *, keep: bool) -> Path | None:
    """Write the sealed file; where the old one is kept, if it is."""
    from signerd.store import secret_file

    if target is not None:
        secret_file.require_free(target)
        seal = sealing.new_seal(secret, new, target)
        secret_file.create(target, seal.content, holds=secret, check=seal.check)
        return held.path
    kept = held.path.with_name(f"{held.path.name}.previous") if keep else None
    if kept is not None:
        secret_file.require_free(kept)
    seal = sealing.new_seal(secret, new, held.path)
    if kept is not None:
        held.copy_to(kept)
    held.replace(seal.content, holds=secret, check=seal.check)
    return kept


def _report(
    settings: Settings, held: Held, node_id: str, *, kept: Path | None, target: Path | None, json: bool
) -> None:
    path = target or settings.secret_file
    output.result(
        {"v": 1, "node_id": node_id, "secret_file": str(path), "kept": kept and str(kept)},
        f"node id      {node_id}\nsecret file  {path}, sealed"
        + (f"\nkept         {kept}, as it was" if kept else ""),
        json=json,
    )
    if target is None:
        output.talk(
            "The old bytes may still be on the disk (journal, snapshots, the spare cells of an SSD) and in "
            "backups. No program can wipe those."
        )
    if target is None and held.other_names:
        output.talk(f"warning: hard links keep the old file under other names: {held.other_names}")

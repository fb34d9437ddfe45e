"""`signerd decrypt-export`: decrypt a node export, offline, with nothing but the secret."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, progress
from signerd.errors import BackupError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.store import export_file

STDOUT = 1
_NODE_ID = re.compile(r"(?<![0-9a-f])0[23][0-9a-f]{64}(?![0-9a-f])")


@click.command()
@click.argument("backup")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    help="Where it goes; - is stdout.  [default: BACKUP without .enc or .bin, else BACKUP.decrypted]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@options.as_json
@options.common
def command(*, backup: str, target: str | None, force: bool, json: bool, **common: Any) -> None:
    """Decrypt BACKUP, the file behind the URL of `signerd export` (- is stdin), of any size.

    Needs no network, no credentials and no configuration, only the node secret. FILE appears when all of it
    is decrypted, verified and on disk, readable by you alone; if anything goes wrong there is no FILE.

    \b
    Examples:
      signerd decrypt-export backup.enc -o node.dump
      signerd decrypt-export backup.enc -o - --secret-file ~/hsm_secret | pg_restore --list
    """
    from signerd.store import export_file

    to_stdout = target == "-"
    if to_stdout:
        _require_pipe(json=json)
    with export_file.open_source(None if backup == "-" else Path(backup)) as source:
        keys = node_secret.load_keys(_settings(common))
        with _explained(backup, keys), progress.bar(source.body_size) as bar:
            if to_stdout:
                decrypted = export_file.to_pipe(source, STDOUT, keys, progress=bar.advance)
                path = None
            else:
                path = _target(backup, target)
                _require_other_file(source, path)
                decrypted = export_file.to_file(source, path, keys, replace=force, progress=bar.advance)
    _report(decrypted, keys, path, json=json)


def _settings(common: dict[str, Any]) -> Settings:
    # With the secret named there is nothing left to look up, so not even a home directory is needed.
    if common["secret_file"] and not common["data_dir"]:
        common = {**common, "data_dir": common["secret_file"].absolute().parent}
    return options.settings(common)


def _require_pipe(*, json: bool) -> None:
    if json:
        raise UsageError("--json and -o - both want stdout", hint="write to a file with -o FILE")
    if os.isatty(STDOUT):
        raise UsageError(
            "the plaintext is a database, not something for a terminal",
            hint="write to a file with -o FILE, or send stdout into a program or a file",
        )


def _target(backup: str, target: str | None) -> Path:
    if target is not None:
        return Path(target)
    if backup == "-":
        raise UsageError("stdin has no name to make another of", hint="add -o FILE, or -o - for stdout")
    source = Path(backup)
    return source.with_suffix("") if source.suffix in (".enc", ".bin") else Path(f"{source}.decrypted")


def _require_other_file(source: export_file.Source, path: Path) -> None:
    # If it cannot be looked at, it is not there, or writing it will say what is wrong.
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(source.file.fileno()), path.stat()):
            raise UsageError(f"{path} is the backup itself", hint="choose another name with -o FILE")


@contextlib.contextmanager
def _explained(backup: str, keys: NodeKeys) -> Iterator[None]:
    """Add what only the command line knows: --force, and the node that the backup's name may tell."""
    from signerd.store.files import AlreadyThere

    try:
        yield
    except AlreadyThere as error:
        hint = "choose another name with -o FILE, or replace it with --force"
        raise OutputError(error.message, hint=hint) from error
    except BackupError as error:
        named = _NODE_ID.search(Path(backup).name)
        if named is None or named[0] == keys.node_id.hex():
            raise
        hint = f"by its name it is the backup of node {named[0]}: use the secret of that node"
        raise BackupError(error.message, hint=hint) from error


def _report(decrypted: export_file.Decrypted, keys: NodeKeys, path: Path | None, *, json: bool) -> None:
    from signerd.core import export_payload

    payload = decrypted.payload
    text = "\n".join(
        (
            f"node id   {keys.node_id.hex()}",
            f"size      {decrypted.size} bytes, verified",
            f"content   {payload.description}",
        )
    )
    if path is None:
        output.talk(text)
    else:
        document = {
            "node_id": keys.node_id.hex(),
            "file": str(path.absolute()),
            "size": decrypted.size,
            "payload": payload.kind,
        }
        output.result(document, f"{text}\nfile      {path}", json=json)
    output.talk("")
    output.talk(export_payload.next_steps(payload, file=str(path or "FILE")))

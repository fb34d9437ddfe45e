"""The runes that commands made with the secret alone: their public facts, in a small file beside the store.

A file and not the store, because the daemon has the store open while a command makes one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from signerd.core.devices import CUT, MintedRune
from signerd.core.keys import p256
from signerd.core.runes.restriction import parse_restrictions
from signerd.errors import InputMissing, MalformedMessage, Refused
from signerd.store import files
from signerd.units import UnixTime

NAME = "made-runes.json"
LOCK_NAME = "made-runes.lock"
_LONGEST = 4 * 1024 * 1024
_MOST = 2000


def read(data_dir: Path) -> tuple[MintedRune, ...]:
    """In the order in which they were made. Raises Refused if the file cannot be read."""
    path = data_dir / NAME
    try:
        content = files.read_bounded(path, _LONGEST)
    except InputMissing as error:
        if isinstance(error.__cause__, FileNotFoundError) and not path.is_symlink():
            return ()
        raise _unreadable(path, error.message) from error
    try:
        document = json.loads(content)
        if document["v"] != 1:
            raise ValueError(f"version {document['v']!r}")  # noqa: TRY301
        return tuple(_rune(item) for item in document["runes"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MalformedMessage) as error:
        raise _unreadable(path, f"{path} is not a list of runes") from error


def add(data_dir: Path, rune: MintedRune) -> None:
    """Put one at the end, on disk when this returns. Made again it is the same, perhaps with another name.

    Raises Refused if the file cannot be read, OutputError, or AlreadyRunning if another command does this.
    """
    with files.lock_directory(data_dir, LOCK_NAME, doing="making a rune"):
        runes = {(item.device, item.fingerprint): item for item in read(data_dir)}
        identity = (rune.device, rune.fingerprint)
        known = runes.get(identity)
        runes[identity] = rune if known is None else replace(known, name=rune.name or known.name)
        if runes[identity] == known:
            return
        if len(runes) > _MOST:
            raise Refused(
                "register-full",
                f"{data_dir / NAME} lists {_MOST} runes that were made with the secret",
                hint="move the file away to begin a new list; revoking a device by its whole key goes on",
            )
        document = {"v": 1, "runes": [_document(item) for item in runes.values()]}
        files.write_atomically(data_dir / NAME, json.dumps(document, indent=1).encode("ascii") + b"\n")


def _unreadable(path: Path, why: str) -> Refused:
    return Refused(
        "register-unreadable",
        f"the list of the runes that were made here cannot be read: {why}",
        hint=f"move {path.name} away: nothing but that list depends on it",
    )


def _document(rune: MintedRune) -> dict[str, Any]:
    return {
        "device": rune.device.hex(),
        "name": rune.name,
        "restrictions": rune.restrictions,
        "fingerprint": rune.fingerprint.hex(),
        "time": rune.time,
        "by": rune.by,
    }


def _rune(item: dict[str, Any]) -> MintedRune:
    device, fingerprint = bytes.fromhex(item["device"]), bytes.fromhex(item["fingerprint"])
    texts = (item["name"], item["restrictions"], item["by"])
    if not p256.is_point(device) or len(fingerprint) != 32 or not all(isinstance(t, str) for t in texts):
        raise ValueError("not the facts of a rune")
    if not texts[1].endswith(CUT):
        parse_restrictions(texts[1])
    return MintedRune(
        device=device,
        name=texts[0],
        restrictions=texts[1],
        fingerprint=fingerprint,
        time=UnixTime(int(item["time"])),
        approver=b"",
        by=texts[2],
    )

"""The runes that commands made with the secret alone: their public facts, in a small file beside the store.

A file and not the store, because the daemon has the store open while a command makes one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import tenacity

from signerd.core.devices import CUT, MintedRune
from signerd.core.keys import p256
from signerd.core.runes.restriction import parse_restrictions
from signerd.errors import AlreadyRunning, InputMissing, MalformedMessage, Refused
from signerd.store import files
from signerd.units import UnixTime

NAME = "made-runes.json"
LOCK_NAME = "made-runes.lock"
_LONGEST = 4 * 1024 * 1024
_LATEST = 2**40
_PATIENCE_SECONDS = 2.0


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
    with _turn(data_dir):
        runes = {(item.device, item.fingerprint): item for item in read(data_dir)}
        identity = (rune.device, rune.fingerprint)
        known = runes.get(identity)
        runes[identity] = rune if known is None else replace(known, name=rune.name or known.name)
        if runes[identity] == known:
            return
        document = {"v": 1, "runes": [_document(item) for item in runes.values()]}
        content = json.dumps(document, indent=1).encode("ascii") + b"\n"
        if len(content) > _LONGEST:
            raise Refused(
                "register-full",
                f"{data_dir / NAME} is full with {len(runes) - 1} runes that were made with the secret",
                hint="move the file away to begin a new list; revoking a device by its whole key goes on",
            )
        files.write_atomically(data_dir / NAME, content)


@contextlib.contextmanager
def _turn(data_dir: Path) -> Iterator[None]:
    """Another command is done in a moment."""
    patience = tenacity.Retrying(
        stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
        wait=tenacity.wait_fixed(0.02),
        retry=tenacity.retry_if_exception_type(AlreadyRunning),
        reraise=True,
    )
    with contextlib.ExitStack() as stack:
        try:
            patience(
                lambda: stack.enter_context(
                    files.lock_directory(data_dir, LOCK_NAME, doing="putting a rune into the list")
                )
            )
        except AlreadyRunning as problem:
            problem.hint = "try again in a moment"
            raise
        yield


def _unreadable(path: Path, why: str) -> Refused:
    return Refused(
        "register-unreadable",
        f"the list of the runes that were made here cannot be read: {why}",
        hint=f"move {path.name} away: nothing but that list depends on it; revoking by a whole key goes on",
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
    texts, time = (item["name"], item["restrictions"], item["by"]), item["time"]
    if not p256.is_point(device) or len(fingerprint) != 32 or not all(isinstance(t, str) for t in texts):
        raise ValueError("not the facts of a rune")
    if type(time) is not int or not 0 <= time < _LATEST:
        raise ValueError("not a time")
    for text in texts:
        text.encode()  # what cannot be shown is none of ours
    if not texts[1].endswith(CUT):
        parse_restrictions(texts[1])
    return MintedRune(
        device=device,
        name=texts[0],
        restrictions=texts[1],
        fingerprint=fingerprint,
        time=UnixTime(time),
        approver=b"",
        by=texts[2],
    )

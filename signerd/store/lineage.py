"""Whether the store is the one that was used here last: not gone, no older copy, no other node's.

What was revoked stands in the store alone. So a file beside it says which store it was, and counts its uses:
when it is opened, from time to time while it changes, and when it is closed. Whoever takes both away at once,
or copies both to another machine, is not found out; nor who brings back a copy after a crash that was made in
the last minutes before it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from signerd.core.state.book import Changes
from signerd.errors import InputMissing, StateLost
from signerd.store import files, revocations
from signerd.store.mark import Mark
from signerd.store.state_db import StateDb
from signerd.units import NodeId, UnixTime

_LONGEST = 200
_FORM = re.compile(r"store ([0-9a-f]{32}) of ([0-9a-f]{66}) use ([0-9]{1,18})\n")
_HINT = (
    "bring the newest signerd.db back, with its -wal file if it has one; if it is lost for good, "
    "see `signerd new-store --help`"
)


def witness(path: Path) -> Path:
    """The file beside the store at `path`."""
    return path.with_name(path.name + ".last")


@contextlib.contextmanager
def in_use(path: Path, node_id: NodeId) -> Iterator[StateDb]:
    """The store, made if there never was one. Whoever enters owns the directory.

    Raises StateLost if it is not the one that was used here last, StateError if it cannot be used at all.
    """
    last = _read(witness(path))
    if last is not None and not path.exists():
        raise StateLost(f"{path} is gone: what was revoked in the node's channels is not known", hint=_HINT)
    with StateDb(path) as store:
        if store.mark is None and last is None:
            store.set_mark(_fresh(node_id))
        _require_same(path, store.mark, last, node_id)
        count_use(store, path)
        yield store
        # Here too, so that a copy that was made in the meantime is known as one.
        count_use(store, path)


@contextlib.contextmanager
def as_left(path: Path) -> Iterator[StateDb]:
    """The store that was used here last, whosever it is. Whoever enters owns the directory.

    Raises what `in_use` raises, and InputMissing if there never was one.
    """
    if not path.exists():
        raise InputMissing(f"{path} is not there", hint="`signerd run` makes it")
    with StateDb(path) as store:
        mark = store.mark
    if mark is None:
        raise StateLost(f"{path} was never in use", hint=_HINT)
    with in_use(path, NodeId(mark.node_id)) as store:
        yield store


def make_anew(path: Path, node_id: NodeId, *, highest_channel: int) -> Path | None:
    """Make a store that knows no channel, and takes none up to the database id `highest_channel` for new.

    Devices that were revoked stay so.

    What was there before is kept under the name that is returned, and the channels that it knew count as
    well; a store that knows no channel yet stays. Raises StateLost if the store that is there is as it should
    be, StateError if that cannot be told, and OutputError.
    """
    stays = path.exists() and not _is_lost(path, node_id)
    known, revoked = (0, {}) if stays or not path.exists() else _outliving(path, node_id)
    old = None if stays else _move_away(path)
    with StateDb(path) as store:
        if not stays:
            store.set_mark(_fresh(node_id))
            revocations.add(store, revoked)
        store.commit(Changes(node=store.node.forget(max(highest_channel, known))))
        count_use(store, path)
    return old


def _fresh(node_id: NodeId) -> Mark:
    return Mark(secrets.token_bytes(16), bytes(node_id))


def _require_same(path: Path, mark: Mark | None, last: Mark | None, node_id: NodeId) -> None:
    if mark is not None and mark.node_id != node_id:
        raise StateLost(
            f"{path} is the store of node {mark.node_id.hex()}, and this is node {node_id.hex()}",
            hint="use the secret of that node, or another --data-dir",
        )
    if mark is None or (last is not None and last.name != mark.name):
        raise StateLost(f"{path} is not the store that was used here last", hint=_HINT)
    if last is not None and last.uses > mark.uses:
        raise StateLost(
            f"{path} is an older copy of the store that was used here last: what was revoked since then is "
            "not known",
            hint=_HINT,
        )


def _outliving(path: Path, node_id: NodeId) -> tuple[int, dict[bytes, UnixTime]]:
    """What a store tells the one in its place: the highest channel, and the devices that were revoked."""
    with StateDb(path) as store:
        if store.mark is None or store.mark.node_id != node_id:
            return 0, {}
        return store.highest_channel, revocations.read(store)


def _is_lost(path: Path, node_id: NodeId) -> bool:
    last = _read(witness(path))
    try:
        with StateDb(path) as store:
            _require_same(path, store.mark, last, node_id)
            channels = store.channel_count
    except StateLost:
        return True
    if channels:
        raise StateLost(
            f"{path} is as it was left, and needs no other in its place",
            hint="to lose what it knows all the same, move it away; its channels may lose their money then",
        )
    return False


def count_use(store: StateDb, path: Path) -> None:
    """From now on, a copy that was made before is an older one. Raises StateError, OutputError."""
    assert store.mark is not None
    mark = store.mark.used()
    # The store first: a crash in between leaves it ahead, and that is allowed.
    store.set_mark(mark)
    line = f"store {mark.name.hex()} of {mark.node_id.hex()} use {mark.uses}\n"
    files.write_atomically(witness(path), line.encode("ascii"))


def _read(path: Path) -> Mark | None:
    if not path.exists():
        return None
    text = files.read_bounded(path, _LONGEST, too_long=StateLost).decode("ascii", errors="replace")
    found = _FORM.fullmatch(text)
    if found is None:
        raise StateLost(
            f"{path} cannot be read: which store was used here last is not known",
            hint=f"if signerd.db beside it is the newest one that there was, remove {path.name}",
        )
    return Mark(bytes.fromhex(found[1]), bytes.fromhex(found[2]), int(found[3]))


def _move_away(path: Path) -> Path | None:
    """With its side files, under a name that nothing has."""
    if not path.exists():
        return None
    moved = path.with_name(f"{path.name}.replaced-{int(time.time())}-{secrets.token_hex(2)}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(moved.with_name(moved.name + suffix))
    return moved

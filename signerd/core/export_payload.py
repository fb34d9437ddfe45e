"""What a decrypted export is, by its first bytes, and what its owner does with it next."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_SIZE = 512
"""Bytes from the start of the plaintext that are enough to recognise it."""

WARNING = (
    "Import it once, into one node, and keep no second copy running. A Lightning node that comes back from\n"
    "an old state can lose all the funds in its channels."
)


@dataclass(frozen=True, slots=True)
class Payload:
    """`kind` is stable, for programs; `description` and `load` (how to get at the data) are for people."""

    kind: str
    description: str
    load: str


EMPTY = Payload(
    "empty", "nothing: the export is empty", "Ask for the export again: there is nothing to import."
)
UNKNOWN = Payload(
    "unknown",
    "of a kind that signerd does not recognise",
    "Find out what it is before you import it; `file` may know.",
)
_POSTGRES_ARCHIVE = Payload(
    "postgresql-archive",
    "a PostgreSQL archive, as pg_dump makes it",
    "Load it into an empty database: pg_restore --no-owner --dbname=DATABASE FILE",
)
_POSTGRES_SQL = Payload(
    "postgresql-sql",
    "a PostgreSQL dump as SQL text",
    "Load it into an empty database: psql --set=ON_ERROR_STOP=1 --dbname=DATABASE --file=FILE",
)
_SQL = Payload(
    "sql",
    "SQL text",
    "Load it into an empty database of the kind it was made for: psql for PostgreSQL, sqlite3 for SQLite.",
)
_SQLITE = Payload("sqlite", "an SQLite 3 database", "Use it as it is: lightningd --wallet=sqlite3://FILE")
_GZIP = Payload(
    "gzip", "compressed with gzip", "Unpack it and see what is inside: gzip --decompress --stdout FILE"
)
_ZSTD = Payload(
    "zstd", "compressed with Zstandard", "Unpack it and see what is inside: zstd --decompress --stdout FILE"
)
_TAR = Payload(
    "tar",
    "a tar archive",
    "List it: tar --list --file=FILE. If it holds toc.dat, pg_restore loads it as it is.",
)

_MAGIC = (
    (0, b"PGDMP", _POSTGRES_ARCHIVE),
    (0, b"SQLite format 3\x00", _SQLITE),
    (0, b"\x1f\x8b\x08", _GZIP),
    (0, b"\x28\xb5\x2f\xfd", _ZSTD),
    (257, b"ustar", _TAR),
)
_KINDS = {
    payload.kind: payload
    for payload in (EMPTY, UNKNOWN, _POSTGRES_SQL, _SQL, *(payload for _, _, payload in _MAGIC))
}
_SQL_STARTS = (b"--", b"/*", b"set ", b"begin", b"pragma ", b"create ", b"insert ", b"\\restrict")
_CONTROL = re.compile(rb"[^\t\n\v\f\r\x20-\xff]")


def recognise(head: bytes) -> Payload:
    """Name a payload by its first bytes (up to HEAD_SIZE; fewer only if it is shorter)."""
    if not head:
        return EMPTY
    for offset, magic, payload in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return payload
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_SQL_STARTS) and not _CONTROL.search(text):
        return _POSTGRES_SQL if b"postgresql" in text else _SQL
    return UNKNOWN


def by_kind(kind: str) -> Payload:
    """The payload that was called `kind`."""
    return _KINDS.get(kind, UNKNOWN)


def next_steps(payload: Payload, *, file: str) -> str:
    """Tell people, in a few lines, how to go on from here to a node of their own."""
    if payload is EMPTY:
        return payload.load
    database = (
        f"sqlite3://{file}" if payload is _SQLITE else "postgres://USER:PASSWORD@localhost:5432/DATABASE"
    )
    return "\n".join(
        (
            "What to do next:",
            f"  1. {payload.load.replace('FILE', file)}",
            "  2. Install Core Lightning, the version that the hosted node ran or a newer one.",
            "  3. Put the 32-byte secret into its network directory as hsm_secret, mode 0400. Not the words:",
            "     Core Lightning makes other on-chain keys of the same words.",
            f"  4. Start it on the database: lightningd --wallet={database}",
            WARNING,
        )
    )

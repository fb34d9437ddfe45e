"""What a server's answer to a request for the rest of a file means (RFC 9110): go on, begin anew, or refuse.

Bytes of two attempts are joined only when a strong validator says that they are of the same content, and the
answer's own numbers fit to what is on disk. Everything else begins anew; nothing is ever guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from signerd.errors import ProtocolViolation, Rejected, Unavailable

Headers = Iterable[tuple[str, str]]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXPIRED = frozenset({401, 403, 404, 410})
_PASSING = frozenset({408, 421, 425, 429, 500, 502, 503, 504})

_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]{0,512}"')
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BY_HAND = "download it with another program, and then `signerd decrypt-export FILE`"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is on disk: the first `size` bytes of `total`.

    `resource` is where they are from, without a query, and `validator` names the content; without one
    nothing can be joined to it. `total` is None before the first answer.
    """

    resource: str = ""
    validator: str | None = None
    total: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Body:
    """Take the body: it begins at byte `start` of `total`; of what is on disk, `keep` bytes are of the same.

    `keep` is never less than `start`. `length` is that of the body, and less than the rest if the server cuts
    it into pieces.
    """

    start: int
    length: int
    total: int
    keep: int
    validator: str | None


@dataclass(frozen=True, slots=True)
class Anew:
    """What is on disk cannot be continued with this server: ask once more, for all of it."""

    why: str


@dataclass(frozen=True, slots=True)
class Expired:
    """The link leads nowhere any more: ask for another."""

    status: int


def request_headers(kept: Kept, resource: str) -> dict[str, str]:
    """What to add to a request for `resource`, so that it answers with the rest of what is on disk."""
    if not kept.size or kept.validator is None or kept.resource != resource:
        return {}
    return {"Range": f"bytes={kept.size}-", "If-Range": kept.validator}


def understand(
    status: int, headers: Headers, *, kept: Kept, resource: str, asked: bool, max_bytes: int
) -> Body | Anew | Expired:
    """What an answer of `resource` means; `asked` says whether `request_headers` were in the request.

    Raises Unavailable for what may pass, Rejected and ProtocolViolation for what will not.
    """
    fields = _Fields(headers)
    if status in _EXPIRED:
        return Expired(status)
    if status in _PASSING:
        raise Unavailable(f"the file host answered {status}", hint="try again later", code=str(status))
    if status == 416 and asked:
        return Anew("the file has become shorter")
    if status not in (200, 206):
        raise Rejected(f"the file host answered {status} instead of the backup", hint=_BY_HAND)
    _require_plain(fields)
    body = _whole(fields, kept, resource) if status == 200 else _part(fields, kept, asked=asked)
    if isinstance(body, Body) and body.total > max_bytes:
        raise Rejected(
            f"the backup has {body.total} bytes, and at most {max_bytes} are taken",
            hint="if that can be, raise `export.max_bytes` in the configuration",
        )
    return body


def strong_validator(headers: Headers) -> str | None:
    """What names the content of an answer, for If-Range: a strong ETag, or a date that is (8.8.2.2)."""
    return _validator(_Fields(headers))


def is_validator(text: str) -> bool:
    """Whether it is one that `understand` may have given, and so fit for a header."""
    return _STRONG_TAG.fullmatch(text) is not None or _date(text) is not None


class _Fields:
    """Header fields by name; one that is there twice with different values counts as a breach."""

    def __init__(self, headers: Headers) -> None:
        self._values: dict[str, set[str]] = {}
        for name, value in headers:
            self._values.setdefault(name.lower(), set()).add(value.strip())

    def get(self, name: str) -> str | None:
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise ProtocolViolation(f"the file host sends more than one {name}", hint=_BY_HAND)
        return next(iter(values))


def _require_plain(fields: _Fields) -> None:
    coding = fields.get("content-encoding")
    if coding is not None and coding.lower() not in ("", "identity"):
        raise ProtocolViolation(
            f"the file host packs the backup ({coding[:40]!r}), which was not asked for", hint=_BY_HAND
        )
    if fields.get("transfer-encoding") is not None or fields.get("content-length") is None:
        raise ProtocolViolation("the file host does not say how long the backup is", hint=_BY_HAND)


def _whole(fields: _Fields, kept: Kept, resource: str) -> Body:
    total = _length(fields)
    validator = _validator(fields)
    same = (kept.resource, kept.validator, kept.total) == (resource, validator, total)
    # A server without ranges sends the start once more; what is on disk need not be thrown away for that.
    keep = kept.size if same and validator is not None else 0
    return Body(start=0, length=total, total=total, keep=keep, validator=validator)


def _part(fields: _Fields, kept: Kept, *, asked: bool) -> Body | Anew:
    if not asked:
        raise ProtocolViolation("the file host sends a part of the backup unasked", hint=_BY_HAND)
    match = _CONTENT_RANGE.fullmatch(fields.get("content-range") or "")
    if match is None:
        return Anew("the file host does not say which part it sends")
    first, last, total = (int(number) for number in match.groups())
    if first != kept.size or not first <= last < total or _length(fields) != last - first + 1:
        return Anew("the file host sends another part than was asked for")
    if total != kept.total:
        return Anew("the backup at the host has changed")
    # If-Range was to see to it; an answer that names another content, or forgets the tag (15.3.7), did not.
    assert kept.validator is not None
    field, required = ("etag", True) if kept.validator.startswith('"') else ("last-modified", False)
    named = fields.get(field)
    if named != kept.validator and (required or named is not None):
        return Anew("the backup at the host has changed")
    return Body(start=first, length=last - first + 1, total=total, keep=first, validator=kept.validator)


def _length(fields: _Fields) -> int:
    text = fields.get("content-length") or ""
    if not _NUMBER.fullmatch(text):
        raise ProtocolViolation(f"the file host gives the length {text[:40]!r}", hint=_BY_HAND)
    return int(text)


def _validator(fields: _Fields) -> str | None:
    tag = fields.get("etag")
    if tag is not None and _STRONG_TAG.fullmatch(tag):
        return tag
    modified, now = _date(fields.get("last-modified")), _date(fields.get("date"))
    # A file that changes twice within a second keeps its date: one that is older than this second does not.
    if tag is None and modified is not None and now is not None and modified < now:
        return fields.get("last-modified")
    return None


def _date(text: str | None) -> tuple[int, ...] | None:
    """Year, month, day, hour, minute, second: comparable, and nothing more."""
    match = _DATE.fullmatch(text or "")
    if match is None:
        return None
    day, month, year, *time = match.groups()
    return (int(year), _MONTHS.index(month), int(day), *(int(part) for part in time))

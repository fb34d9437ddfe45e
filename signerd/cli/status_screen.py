"""A status document as one screen of lines for a person."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LABEL = 13
_FEW_DAYS = 30

Document = Mapping[str, Any]


def lines(document: Document) -> list[str]:
    """The screen. The first line is the one that matters."""
    now = document["now"]
    health, versions = document["health"], document["versions"]
    rows = [
        ("node", f"{document['node_id']} ({document['network']})"),
        ("running", f"for {span(now - document['started'])}, as process {document['pid']}"),
        ("versions", _versions(versions)),
        *_link("scheduler", document["scheduler"], now),
        *_link("attachment", document["node"], now),
        ("signing", _last_answer(document["requests"], now)),
        ("requests", _requests(document["requests"])),
        *_refusal(document["requests"], now),
        ("pairing", _pairing(document["pairing"])),
        ("store", _store(document["store"], now)),
        ("certificate", _certificate(document["certificate"])),
    ]
    return [
        f"{health['state']}: {health['reason']}",
        "",
        *(f"{label:{_LABEL}}{text}" for label, text in rows),
    ]


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def _versions(versions: Document) -> str:
    text = f"signerd {versions['signerd']}"
    if announced := versions.get("announced"):
        text += f", announced to the node as {announced}"
    if (before := versions.get("before")) and before != announced:
        text += f" ({before} before)"
    return text


def _link(label: str, link: Document, now: float) -> Iterator[tuple[str, str]]:
    text = link["state"].replace("-", " ")
    if "since" in link and link["state"] != "not-yet":
        text += f" for {span(now - link['since'])}"
    if link["uri"]:
        text += f", {link['uri']}"
    yield label, text
    if "last_error" in link:
        yield "", f"last error {_ago(link['last_error_at'], now)}: {link['last_error']}"
    if (retry := link.get("next_retry", 0)) > now:
        yield "", f"next attempt in {retry - now:.1f} s"


def _last_answer(requests: Document, now: float) -> str:
    if "last_answer" not in requests:
        return "nothing yet"
    return f"last answer {_ago(requests['last_answer'], now)}, to {requests['last_answer_to']}"


def _requests(requests: Document) -> str:
    text = f"{requests['answered']:,} answered, {requests['refused']:,} refused"
    by_rule = sorted(requests["refused_by_rule"].items(), key=lambda item: (-item[1], item[0]))
    return text + (": " + ", ".join(f"{count:,} {rule}" for rule, count in by_rule) if by_rule else "")


def _refusal(requests: Document, now: float) -> Iterator[tuple[str, str]]:
    if "last_refusal" in requests:
        yield "", f"last refusal {_ago(requests['last_refusal'], now)}, by {requests['last_refusal_rule']}"


def _pairing(pairing: Document) -> str:
    text = f"{pairing['approved']:,} approved, {pairing['refused']:,} refused"
    return f"{text}, {pairing['waiting']:,} waiting for you" if "waiting" in pairing else text


def _store(store: Document, now: float) -> str:
    channels = store.get("channels", 0)
    text = f"{store['path']}, {channels:,} channel{'' if channels == 1 else 's'}"
    if "last_write" in store:
        text += f", written {_ago(store['last_write'], now)}"
    return f"{text}; FAILING: {store['failing']}" if "failing" in store else text


def _certificate(certificate: Document) -> str:
    if "expires" not in certificate:
        return "not known yet"
    day = datetime.datetime.fromtimestamp(certificate["expires"], datetime.UTC).date().isoformat()
    days = certificate["days_left"]
    if days < 0:
        return f"ENDED on {day}: run `signerd recover`"
    return f"good until {day}, {days} days" + ("; run `signerd recover` soon" if days < _FEW_DAYS else "")


def _ago(moment: float, now: float) -> str:
    return f"{span(now - moment)} ago"

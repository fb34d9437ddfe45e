"""`signerd replay`: decide recorded requests offline, with the real code, and print one JSON line each."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from signerd.cli import node_secret, options, output
from signerd.errors import InputMissing, MalformedMessage
from signerd.units import UnixTime

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.core.runes.rune import Rune
    from signerd.greenlight.pb.scheduler_pb2 import SignerRequest

_MAX_LINE = 130 * 1024 * 1024  # a message of 64 MiB, in hex


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--fresh", is_flag=True, help="Forget everything between lines.")
@options.common
def command(*, file: Path, fresh: bool, **common: Any) -> None:
    """Read JSON lines, decide each, and print what this signer would answer. `-` reads stdin.

    \b
    in:  {"kind": "pairing" | "hsm", "request": "<hex protobuf>", "now": <unix seconds>}
    out: {"v": 1, "outcome": "signed" | "refused" | "malformed" | "held",
          "response": "<hex protobuf>", "rule": …, "reason": …}

    State is kept in memory from line to line; no daemon and no store is touched: no device is revoked. `held`
    is what waits for a person. `response` is what would go out on the wire, and null where nothing would.
    """
    settings = options.settings(common)
    player = Player(node_secret.load_keys(settings), settings, fresh=fresh)
    with _open(file) as lines:
        for line in _lines(lines):
            output.document(player.play(line))


class Player:
    """The signer without its shell."""

    def __init__(self, keys: NodeKeys, settings: Settings, *, fresh: bool) -> None:
        from signerd.core.signer import Signer
        from signerd.daemon.pairing_policy import pairing_policy

        config = settings.config.pairing
        self._signer = Signer(keys, settings.network)
        self._policy, self._rules = pairing_policy(config)
        self._answer_refusals = config.answer_refusals
        self._fresh = fresh
        self._forget()

    def play(self, line: str) -> dict[str, Any]:
        """One line in, one document out."""
        try:
            kind, request, now = _parse(line)
            if self._fresh:
                self._forget()
            return self._pairing(request, now) if kind == "pairing" else self._hsm(request, now)
        except MalformedMessage as problem:
            return _outcome("malformed", None, "malformed", problem.message)

    def _forget(self) -> None:
        from signerd.core.state.book import MemoryBook

        self._seen: set[bytes] = set()
        self._book = MemoryBook()

    def _pairing(self, raw: bytes, now: UnixTime) -> dict[str, Any]:
        from signerd.core import pairing
        from signerd.greenlight import translate
        from signerd.greenlight.pb import scheduler_pb2

        request = _decode(scheduler_pb2.SignerRequest, raw)
        outcome = pairing.decide(
            translate.pairing_approval(request), self._signer.keys, self._policy, self._seen, now
        )
        response = translate.signer_response(request.request_id, outcome).SerializeToString()
        if isinstance(outcome, pairing.Denied):
            sent = response if self._answer_refusals else None
            return _outcome("refused", sent, outcome.rule, outcome.reason)
        self._seen.add(outcome.digest)
        if self._policy.mode == "confirm" and not self._fits_a_rule(request, outcome.granted):
            return _outcome("held", None, None, "it waits for a person")
        return _outcome("signed", response, None, None)

    def _fits_a_rule(self, request: SignerRequest, granted: Rune) -> bool:
        """Whether it needs no person; how many were let through before is not known here."""
        from signerd.core.pairing_auto import fitting_rule

        name = request.approve_pairing.device_name
        return fitting_rule(self._rules, name, granted, lambda _: 0) is not None

    def _hsm(self, raw: bytes, now: UnixTime) -> dict[str, Any]:
        from signerd.core.requests import Refusal, Signed
        from signerd.greenlight import translate
        from signerd.greenlight.pb import greenlight_pb2

        request = translate.signing_request(_decode(greenlight_pb2.HsmRequest, raw))
        outcome = self._signer.handle(request, self._book, now)
        if isinstance(outcome, Signed):
            self._book.apply(outcome.changes)
        response = translate.hsm_response(request.id, outcome).SerializeToString()
        if isinstance(outcome, Refusal):
            verdict = "malformed" if outcome.malformed else "refused"
            return _outcome(verdict, response, outcome.rule, outcome.reason)
        return _outcome("signed", response, None, None)


def _outcome(outcome: str, response: bytes | None, rule: str | None, reason: str | None) -> dict[str, Any]:
    sent = None if response is None else response.hex()
    return {"outcome": outcome, "response": sent, "rule": rule, "reason": reason}


def _parse(line: str) -> tuple[str, bytes, UnixTime]:
    try:
        item = json_module.loads(line)
        kind, request, now = item["kind"], bytes.fromhex(item["request"]), item["now"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedMessage(f"not a replay line: {type(error).__name__}") from error
    if kind not in ("pairing", "hsm") or not isinstance(now, int) or isinstance(now, bool):
        raise MalformedMessage("not a replay line: `kind` is pairing or hsm, `now` is in whole seconds")
    return kind, request, UnixTime(now)


def _decode(kind: Any, raw: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise MalformedMessage(f"the request is no {kind.DESCRIPTOR.name}") from error


def _open(file: Path) -> TextIO:
    if str(file) == "-":
        return sys.stdin
    try:
        return file.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputMissing(f"cannot read {file}: {error.strerror}", hint="check the path") from error


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_MAX_LINE):
        if line.strip():
            yield line

"""`signerd rune`: create, narrow, explain and check runes, offline."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output
from signerd.errors import MalformedMessage, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signerd.config import Settings
    from signerd.core.runes.rune import Restriction, Rune

_MAX_STDIN = 1024 * 1024
# One rune in 64 begins with a dash, which must not make an option of it.
_DASHED_RUNE = re.compile(r"-[A-Za-z0-9_-]{41,}={0,2}")


class _TakesRune(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            runes = [text for text in args if _DASHED_RUNE.fullmatch(text)]
            args = [text for text in args if text not in runes] + ["--", *runes]
        return super().parse_args(ctx, args)


def _restrictions(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-r",
        "--restriction",
        "restrictions",
        multiple=True,
        metavar="TEXT",
        help="One restriction, such as 'method^list|method^get'; give as many as needed, all must hold.",
    )(command)


@click.group()
def command() -> None:
    """Create, decode, check or restrict runes: bearer tokens that say who may call what.

    A restriction is FIELD OPERATOR VALUE, with alternatives joined by |. Fields: method, pubkey, time.
    Operators: = is, / is not, ^ starts with, $ ends with, ~ contains, < > compare numbers, { } compare
    texts, ! absent, # comment.
    """


@command.command(short_help="Make a rune for this node.")
@_restrictions
@click.option("--name", default="", metavar="TEXT", help="What `signerd devices` calls the device.")
@click.option("--unlisted", is_flag=True, help="Write nothing into the data directory.")
@options.as_json
@options.common
def create(*, restrictions: tuple[str, ...], name: str, unlisted: bool, json: bool, **common: Any) -> None:
    """Make a rune for this node; one restriction must be pubkey=KEY, the device's key in hex.

    It is put into the data directory's list for `signerd devices`, first: where that cannot be written, no
    rune is made, unless --unlisted. The device of a rune that is on no list of the signer is revoked by KEY
    itself.

    \b
    Example:
      signerd rune create -r pubkey=04d65a… -r 'method^list|method^get' -r 'time<1999999999'
    """
    from signerd.core.runes import rune

    parsed = [_parse(text) for text in restrictions]
    settings = options.settings(common)
    keys = node_secret.load_keys(settings)
    made = rune.mint(keys.rune_secret, parsed)
    if not unlisted:
        remember(settings, made, name=_shown(name), by="created")
    _print(made, json=json)


def _shown(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError("--name is not UTF-8", hint="check the terminal's encoding") from None
    return name


def remember(settings: Settings, made: Rune, *, name: str, by: str) -> None:
    """Put a rune that nobody approved into the list of devices; one for no device is no use to anybody.

    Raises Refused, OutputError, AlreadyRunning.
    """
    from signerd.core.devices import made_with_secret
    from signerd.store import files, made_runes
    from signerd.units import UnixTime

    facts = made_with_secret(made, name=name, time=UnixTime(_now()), by=by)
    if facts is not None:
        files.make_private_directory(settings.data_dir)
        made_runes.add(settings.data_dir, facts)


@command.command(cls=_TakesRune, short_help="Narrow a rune; needs no secret.")
@click.argument("rune")
@_restrictions
@options.as_json
def restrict(*, rune: str, restrictions: tuple[str, ...], json: bool) -> None:
    """Narrow RUNE (- reads it from stdin); needs no secret, and the result stays valid.

    \b
    Example:
      signerd rune restrict - -r method=getinfo < phone.rune
    """
    for text in restrictions:
        _parse(text)
    if not restrictions:
        output.talk("note: no restriction was given, so this is the same rune")
    _print(_read(rune).restrict(restrictions), json=json)


@command.command(cls=_TakesRune, short_help="Say in words what a rune demands.")
@click.argument("rune")
@options.as_json
def decode(*, rune: str, json: bool) -> None:
    """Say in words what RUNE demands (- reads it from stdin). Whether it is genuine, `check` tells."""
    from signerd.core.devices import fingerprint_of
    from signerd.core.runes.check import bound_key
    from signerd.core.runes.explain import explain
    from signerd.core.runes.rune import reference_refuses

    decoded = _read(rune)
    words = [(item.text, explain(item)) for item in decoded.restrictions]
    lines = [f"  {number}. {meaning}" for number, (_, meaning) in enumerate(words, start=1)]
    key = bound_key(decoded.restrictions)
    output.result(
        {
            "authcode": decoded.authcode.hex(),
            "fingerprint": fingerprint_of(decoded.authcode).hex(),
            "restrictions": [{"text": text, "meaning": meaning} for text, meaning in words],
            "bound_to": key,
            "reference_refuses": reference_refuses(decoded),
        },
        "\n".join(["this rune demands that", *lines] if lines else ["this rune demands nothing"]),
        json=json,
    )
    _warn(decoded)


@command.command(cls=_TakesRune, short_help="Decide whether a rune allows a call to this node.")
@click.argument("rune")
@click.option("--method", required=True, help="The method to call, such as getinfo; case does not matter.")
@click.option("--pubkey", metavar="HEX", help="The caller's key.  [default: the key the rune is bound to]")
@click.option("--time", type=click.IntRange(min=0), metavar="UNIX", help="When.  [default: now]")
@options.as_json
@options.common
def check(*, rune: str, method: str, pubkey: str | None, time: int | None, json: bool, **common: Any) -> None:
    """Decide whether RUNE (- reads it from stdin) allows a call to this node; exit code 77 if it does not.

    \b
    Example:
      signerd rune check - --method getinfo < phone.rune
    """
    from signerd.core.runes.check import CallContext, bound_key
    from signerd.core.runes.check import check as check_rune
    from signerd.units import UnixTime

    if pubkey is not None and not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", pubkey):
        raise UsageError("--pubkey is not hex", hint="give the 130 hex digits of the caller's public key")
    decoded = _read(rune)
    caller = pubkey.lower() if pubkey else bound_key(decoded.restrictions) or ""
    context = CallContext(
        method=method.lower(), pubkey=caller, time=UnixTime(_now() if time is None else time)
    )
    keys = node_secret.load_keys(options.settings(common))
    check_rune(decoded, keys.rune_secret, context)
    output.result(
        {"allowed": True, "method": context.method, "pubkey": caller, "time": context.time},
        f"allowed: {context.method}",
        json=json,
    )
    _warn(decoded)


def _read(text: str) -> Rune:
    from signerd.core.runes.rune import Rune

    if text == "-":
        raw = sys.stdin.buffer.read(_MAX_STDIN + 1)
        if len(raw) > _MAX_STDIN:
            raise MalformedMessage(f"stdin holds more than {_MAX_STDIN} bytes", hint="send one rune")
        text = raw.decode(errors="replace").strip()
    return Rune.from_base64(text)


def _parse(text: str) -> Restriction:
    from signerd.core.runes.restriction import parse_restriction

    try:
        return parse_restriction(text)
    except MalformedMessage as error:
        raise UsageError(error.message, hint=error.hint) from error


def _now() -> int:
    import time

    return int(time.time())


def _print(made: Rune, *, json: bool) -> None:
    document = {"rune": made.to_base64(), "restrictions": [item.text for item in made.restrictions]}
    output.result(document, made.to_base64(), json=json)
    _warn(made)


def _warn(rune: Rune) -> None:
    from signerd.core.runes.check import bound_key
    from signerd.core.runes.rune import reference_refuses

    if bound_key(rune.restrictions) is None:
        output.talk(
            "warning: no restriction is pubkey=KEY alone, so signerd refuses this rune to every caller"
        )
    if reference_refuses(rune):
        output.talk(
            "warning: signers built on gl-client refuse this rune although it is valid: "
            "a restriction has an unlucky length (write one of its alternatives twice, A|A), "
            "or there is non-ASCII text in it"
        )

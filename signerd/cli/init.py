"""`signerd init`: make a secret and show its words once, import words, or adopt what is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from signerd.cli import node_secret, options, output, passphrase, sealing
from signerd.errors import ConfigError, InputMissing, Interrupted, Sealed, UsageError
from signerd.units import Secret

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys

_ENTROPY_BYTES = {"12": 16, "24": 32}
_MAX_STDIN = 4096


@click.command()
@click.option("--words", type=click.Choice(["12", "24"]), default="12", show_default=True, help="How many.")
@click.option("--import", "import_words", is_flag=True, help="Type in words, or pipe them to stdin.")
@click.option(
    "--adopt", type=click.Path(path_type=Path), metavar="PATH", help="Use this secret or glcli directory."
)
@click.option("--seal", is_flag=True, help="Put it under a passphrase before it is written.")
@options.as_json
@options.common
def command(
    *, words: str, import_words: bool, adopt: Path | None, seal: bool, json: bool, **common: Any
) -> None:
    """Make the node secret: new words, imported words, or a file that exists already.

    New words are shown once, on the terminal, and nowhere else. Whoever has them has the node; whoever
    loses them and the file has lost it. With --seal no file without a passphrase is ever on the disk.

    \b
    Examples:
      signerd init --words 24
      signerd init --seal
      signerd init --import < words.txt
      signerd init --adopt ~/.local/share/greenlight
    """
    settings = options.settings(common)
    if adopt is not None:
        if import_words:
            raise UsageError("--import and --adopt do not go together")
        if seal:
            raise UsageError(
                "--adopt leaves a file as it is", hint="adopt it first, and then run `signerd seal`"
            )
        _adopt(adopt.expanduser().absolute(), settings, common, json=json)
        return
    from signerd.core.keys import mnemonic
    from signerd.core.keys.node import NodeKeys
    from signerd.store import secret_file

    node_secret.protect_process()
    secret_file.require_free(settings.secret_file)  # before any words are shown; the write is exclusive
    new_passphrase = _new_passphrase(settings, import_words=import_words) if seal else None
    if import_words:
        phrase = mnemonic.check(_read_words())
    else:
        phrase = mnemonic.from_entropy(Secret(secrets.token_bytes(_ENTROPY_BYTES[words])))
        _show_once(phrase)
    secret = mnemonic.node_secret(phrase)
    _create(settings, secret, new_passphrase)
    _report(settings, NodeKeys.derive(secret), json=json)


def _new_passphrase(settings: Settings, *, import_words: bool) -> Secret:
    if import_words and settings.passphrase_fd == 0:
        raise UsageError("the words and the passphrase cannot both come from stdin")
    found = passphrase.new(settings)
    if found is None:
        raise Sealed(
            "no passphrase to seal with", hint="run it in a terminal, or name one with --passphrase-file"
        )
    return found


def _create(settings: Settings, secret: Secret, new_passphrase: Secret | None) -> None:
    from signerd.store import files, secret_file

    files.make_private_directory(settings.data_dir)
    path = settings.secret_file
    if new_passphrase is None:
        secret_file.create_secret(path, secret)
        return
    seal = sealing.new_seal(secret, new_passphrase, path)
    secret_file.create(path, seal.content, holds=secret, check=seal.check)


def _report(settings: Settings, keys: NodeKeys, *, json: bool) -> None:
    output.result(
        {
            "node_id": keys.node_id.hex(),
            "secret_file": str(settings.secret_file),
            "data_dir": str(settings.data_dir),
            "network": settings.network,
        },
        f"node id      {keys.node_id.hex()}\nsecret file  {settings.secret_file}",
        json=json,
    )
    if settings.credentials_file.exists():
        output.talk("next: `signerd run`")
    else:
        output.talk("next: `signerd register` (a new node) or `signerd recover` (a node that exists)")


def _read_words() -> str:
    if sys.stdin.isatty():
        output.may_ask("words", hint="pipe the words in: `signerd init --import < words.txt`")
        typed: str = click.prompt("words", hide_input=True, err=True)
        return typed
    text = sys.stdin.buffer.read(_MAX_STDIN).decode("utf-8", errors="replace")
    if not text.strip():
        raise InputMissing("no words on stdin", hint="pipe the words in, or run this in a terminal")
    return text


def _show_once(phrase: Secret) -> None:
    words = phrase.expose().decode("ascii").split()
    output.refuse_input(
        "new words are shown and asked back",
        hint="pipe words that you made elsewhere to `signerd init --import`",
    )
    with _terminal() as (keyboard, screen), _own_screen(screen):
        screen.write("Write these words down, in this order, on paper. They will not be shown again.\n\n")
        for number, word in enumerate(words, start=1):
            screen.write(f"  {number:2}. {word}\n")
        _ask_back(keyboard, screen, words)


@contextlib.contextmanager
def _terminal() -> Iterator[tuple[TextIO, TextIO]]:
    # The terminal itself: stdout may be a file or a pipe, and words do not go there.
    path = Path("/dev/tty")
    try:
        with path.open(encoding="utf-8") as keyboard, path.open("w", encoding="utf-8") as screen:
            yield keyboard, screen
    except OSError as error:
        raise UsageError(
            "new words are shown on a terminal, and there is none",
            hint="run it in a terminal, or pipe words that you made elsewhere to `signerd init --import`",
        ) from error


def _ask_back(keyboard: TextIO, screen: TextIO, words: list[str]) -> None:
    for number in sorted(secrets.SystemRandom().sample(range(1, len(words) + 1), 2)):
        for _ in range(3):
            screen.write(f"\nTo go on, type word {number}: ")
            screen.flush()
            answer = keyboard.readline()
            if not answer:
                raise Interrupted("nothing was written")
            if secrets.compare_digest(answer.strip().lower().encode(), words[number - 1].encode()):
                break
            screen.write("That is not it.")
        else:
            raise Interrupted("the words were not repeated correctly; nothing was written")


@contextlib.contextmanager
def _own_screen(terminal: TextIO) -> Iterator[None]:
    # The alternate screen leaves no words in the terminal's scroll-back.
    if os.environ.get("TERM", "dumb") == "dumb":
        yield
        return
    terminal.write("\x1b[?1049h\x1b[H")
    try:
        yield
    finally:
        terminal.write("\x1b[?1049l")
        terminal.flush()


def _adopt(path: Path, settings: Settings, common: dict[str, Any], *, json: bool) -> None:
    import msgspec

    directory = path.is_dir()
    data_dir = path if directory else settings.data_dir
    adopted = msgspec.structs.replace(
        settings, data_dir=data_dir, secret_file=path / "hsm_secret" if directory else path
    )
    keys = node_secret.load_keys(adopted)
    if adopted.credentials_file.exists():
        from signerd.cli import session

        session.device(adopted, keys)
    _write_config(adopted, common, directory=directory)
    _report(adopted, keys, json=json)


def _write_config(adopted: Settings, common: dict[str, Any], *, directory: bool) -> None:
    from signerd import config
    from signerd.store import files

    lines = [f'network = "{adopted.network}"']
    if directory:
        lines.append(f"data_dir = {_toml(adopted.data_dir)}")
    # How the file was opened now is how it has to be opened at every start.
    table = [] if directory else [f"file = {_toml(adopted.secret_file)}"]
    if common["derivation"]:
        table.append(f'derivation = "{common["derivation"]}"')
    if common["passphrase_file"]:
        table.append(f"passphrase_file = {_toml(common['passphrase_file'].absolute())}")
    lines += ["[secret]", *table] if table else []
    target = common["config"] or adopted.config_file or config.default_config_file(os.environ)
    if target.exists():
        current = config.load(config.Overrides(config=target), os.environ)
        if _opened_alike(current, adopted):
            return
        raise ConfigError(
            f"{target} exists and says otherwise; it was left as it is",
            hint="put this into it: " + "; ".join(lines),
        )
    files.make_private_directory(target.parent)
    text = "# Written by `signerd init --adopt`. Every key: config.example.toml.\n" + "\n".join(lines) + "\n"
    files.write_atomically(target, text.encode("utf-8"), mode=0o600, exclusive=True)
    output.talk(f"wrote {target}")


def _opened_alike(one: Settings, other: Settings) -> bool:
    def what(settings: Settings) -> tuple[object, ...]:
        secret = (settings.secret_file, settings.passphrase_file, settings.derivation)
        return (settings.network, settings.data_dir, *secret)

    return what(one) == what(other)


def _toml(path: Path) -> str:
    # A JSON string is a TOML basic string.
    import json as json_module

    return json_module.dumps(str(path), ensure_ascii=False)

"""A node's whole story, and then a search for each of its secrets in everything that was written."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import pytest
from helpers import exports
from helpers.needles import Needles, all_files
from helpers.world import Done, World, world

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.core.wire.composites import Side
from signerd.dev import player
from signerd.dev.channel import Terms
from signerd.dev.lifecycle import Life
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.steps import Context, Step, Steps

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
OTHER_WORDS = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
KEYS = NodeKeys.derive(mnemonic.node_secret(mnemonic.check(WORDS)))
CONFIGURATION = '[log]\nlevel = "debug"\nformat = "json"\n[metrics]\nlisten = "127.0.0.1:0"\n'
SECRET_FILES = {"hsm_secret", "credentials.gfs", "credentials.gfs.previous"}

ECDH, DERIVE_SECRET, SIGN_MESSAGE = 1, 27, 23


class Listener:
    """Keeps what the programs of a world said."""

    def __init__(self, w: World, env: dict[str, str]) -> None:
        self._world = w
        self._env = env
        self.heard: dict[str, bytes] = {}

    async def signerd(self, *arguments: str | Path, stdin: str = "", **env: str) -> Done:
        done = await self._world.signerd(*arguments, stdin=stdin, **(self._env | env))
        name = f"{len(self.heard)} signerd {' '.join(map(str, arguments))[:40]}"
        self.heard[name] = done.out.encode() + done.err.encode()
        return done


def channel_life(life: Life) -> Steps[None]:
    """Opened, paid over, one closed and one forced."""
    for end in ("mutual", "forced"):
        channel = yield from life.open(Terms(funder=Side.REMOTE, push_msat=500_000_000))
        for _ in range(3):
            yield from life.pay(channel, 5_000_000)
        if end == "mutual":
            yield from life.close(channel)
        else:
            yield from life.force_close(channel)
            yield from life.sweep(channel)


async def lived(node: HostedNode) -> set[Context]:
    """The channels that were lived."""
    contexts: set[Context] = set()

    async def answer(step: Step) -> bytes:
        if step.context is not None:
            contexts.add(step.context)
        return await node.ask(step.raw, context=player.context_of(step.context))

    life = Life(player.account_of(node), seed=b"secret", now=int(time.time()))
    await player.play_to(answer, channel_life(life))
    return contexts


async def asked_for_secrets(node: HostedNode, needles: Needles) -> None:
    """Requests whose answers are secrets, and some that are refused."""
    assert len(await node.examine()) == 9
    point = node.fresh_point()
    secret = (await node.ask(ECDH.to_bytes(2, "big") + point))[2:]
    assert secret == KEYS.ecdh(point)
    needles.secrets["an ECDH secret"] = secret
    label = b"a label"
    asked = DERIVE_SECRET.to_bytes(2, "big") + len(label).to_bytes(2, "big") + label
    needles.secrets["a derived secret"] = (await node.ask(asked))[2:]
    assert needles.secrets["a derived secret"] == KEYS.derived_secret(label)
    for raw in (SIGN_MESSAGE.to_bytes(2, "big") + b"\x00\x05hello", b"\x00\x01" + b"\xff" * 40, b"\xff" * 9):
        with pytest.raises(RequestRefused):
            await node.ask(raw)


async def paired(w: World, listener: Listener, phone_dir: Path) -> None:
    """A new device, approved by the one that there is."""
    phone = asyncio.create_task(
        listener.signerd("pair", "new", "phone", "--json", SIGNERD_DATA_DIR=str(phone_dir))
    )
    await w.greenlight.calls.reach("PairDevice", 1)
    (device_id,) = w.greenlight.pairings
    assert (await listener.signerd("pair", "approve", f"gl-pairing:{device_id}", "--yes")).code == 0
    assert (await phone).code == 0


async def taken_home(w: World, listener: Listener, needles: Needles, directory: Path) -> None:
    """An export, decrypted."""
    backup = directory / "backup.enc"
    backup.write_bytes(exports.encrypt(exports.DUMP, KEYS.node_id))
    needles.secrets["the export's key"] = KEYS.ecdh(backup.read_bytes()[1:34])
    done = await listener.signerd("decrypt-export", backup, "-o", directory / "node.dump")
    assert done.code == 0, done.err
    taken = directory / "taken"
    taken.mkdir()
    assert (await listener.signerd("export", "--yes", "--json", "-o", taken)).code == 0


async def done_wrong(listener: Listener, needles: Needles, directory: Path) -> None:
    """What goes wrong with secrets: each of these must say so without showing any."""
    needles.add_words(OTHER_WORDS)
    other = mnemonic.node_secret(mnemonic.check(OTHER_WORDS)).expose()
    own = mnemonic.node_secret(mnemonic.check(WORDS)).expose()
    wrong = directory / "wrong"
    for content, code, command in (
        (other, 77, "run"),  # another node's
        (own + b"\n", 65, "run"),
        (own[:31], 65, "inspect identity"),
        (own.hex().encode() + b"0", 65, "inspect identity"),
        (base64.b64encode(own), 65, "inspect identity"),
        (WORDS.replace("yellow", "yelow").encode(), 65, "inspect identity"),
    ):
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        done = await listener.signerd(*command.split(), SIGNERD_SECRET_FILE=str(wrong))
        assert done.code == code, (content, done.err)
    wrong.unlink()
    for words in (WORDS.replace("thank", "thnak"), WORDS.rpartition(" ")[0], WORDS + " legal"):
        done = await listener.signerd("init", "--import", stdin=words, SIGNERD_DATA_DIR=str(directory / "n"))
        assert done.code == 65, done.err


async def whole_run(directory: Path, needles: Needles) -> dict[str, bytes]:
    """Everything that was said and written in a node's whole story: where → what."""
    async with world(directory) as w:
        env = w.configure(CONFIGURATION)
        listener = Listener(w, env)
        assert (await listener.signerd("init", "--import", stdin=WORDS)).code == 0
        assert (await listener.signerd("register", "--json")).code == 0
        needles.add_credentials(w.data_dir / "credentials.gfs")
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-stream-open")
            node = await w.greenlight.schedule(KEYS.node_id)
            await asked_for_secrets(node, needles)
            contexts = await lived(node)
            await paired(w, listener, directory / "phone")
            needles.add_credentials(directory / "phone" / "credentials.gfs")
            await daemon.said("pairing-approved")
            proc = Path("/proc") / str(daemon.process.pid)
            for name in ("cmdline", "environ"):
                listener.heard[name] = (proc / name).read_bytes()
            assert (await daemon.stop())[0] == 0
        listener.heard["the log"] = daemon.text.encode()
        await done_wrong(listener, needles, directory)
        await listener.signerd("inspect", "identity", "--json")
        await listener.signerd("recover", "--json")
        needles.add_credentials(w.data_dir / "credentials.gfs")
        await taken_home(w, listener, needles, directory)
    assert len(contexts) >= 2
    for context in contexts:
        needles.add_channel(KEYS, context.peer_id, context.dbid)
    files = all_files(w.data_dir, but=SECRET_FILES) | all_files(directory / "phone", but=SECRET_FILES)
    assert {"signerd.db", "signerd.lock"} <= {path.name for path in files}
    return listener.heard | {str(path): data for path, data in files.items()}


@pytest.mark.slow
def test_nothing_secret_is_written_anywhere_in_a_whole_run(tmp_path):
    needles = Needles()
    needles.add_words(WORDS)

    written = asyncio.run(asyncio.wait_for(whole_run(tmp_path, needles), 100))

    assert b'"event": "request-answered"' in written["the log"]
    assert len(needles.secrets) > 60
    found = {where: needles.found_in(data) for where, data in written.items()}
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "shown",
    [
        bytes,
        lambda secret: secret.hex().encode(),
        lambda secret: secret.hex().upper().encode(),
        base64.b64encode,
        base64.urlsafe_b64encode,
        lambda secret: base64.b64encode(b"x" + secret + b"xyz"),
        lambda secret: base64.b64encode(b"xx" + secret + b"y"),
        lambda secret: repr(secret).encode(),
        lambda secret: str(list(secret)).encode(),
        lambda secret: str(int.from_bytes(secret, "big")).encode(),
    ],
)
def test_a_secret_would_be_found_in_any_form(shown):
    needles = Needles()
    needles.add_words(WORDS)
    for name, secret in needles.secrets.items():
        assert name in needles.found_in(b"before " + shown(secret) + b" after")


def test_words_would_be_found():
    needles = Needles()
    needles.add_words(WORDS)

    assert needles.found_in(b"the words are WAVE SAUSAGE and more") == ["words 5 and 6"]
    assert needles.found_in(b"a sausage on a wave") == []

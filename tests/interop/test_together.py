"""signerd and the reference client on one node: what one makes, the other uses."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from helpers.greenlight import asynchronous
from helpers.peer import peer_process, run_peer
from helpers.world import NODE_ID, World, world

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Signed, SigningRequest
from signerd.core.runes.rune import Rune
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.credentials import Credentials
from signerd.units import NETWORKS, Secret, UnixTime

pytestmark = pytest.mark.interop

PRELUDE = """
import json, os, pathlib, sys
import glclient
from glclient import Credentials
from glclient.pairing import AttestationDeviceClient, NewDeviceClient

directory = pathlib.Path(sys.argv[1])

def read(variable):
    return pathlib.Path(os.environ[variable]).read_bytes()

def say(**values):
    print(json.dumps(values), flush=True)

def nobody():
    return Credentials.nobody_with(read("GL_NOBODY_CRT"), read("GL_NOBODY_KEY"))

def device():
    return Credentials.from_path(str(directory / "credentials.gfs"))

def secret():
    return (directory / "hsm_secret").read_bytes()
"""
REGISTER = """
signer = glclient.Signer(secret(), "regtest", nobody())
reply = glclient.Scheduler("regtest", nobody()).register(signer)
(directory / "credentials.gfs").write_bytes(bytes(reply.creds))
say(rune=reply.rune)
"""
SIGNER = """
signer = glclient.Signer(secret(), "regtest", device())
handle = signer.run_in_thread()
say(running=True)
sys.stdin.readline()
"""
NEW_DEVICE = """
steps = NewDeviceClient(creds=nobody()).pair_device("phone", "the peer's phone", "")
say(qr=next(steps))
paired = next(steps)
(directory / "credentials.gfs").write_bytes(bytes(paired.creds))
say(rune=paired.rune)
"""
APPROVE = """
client = AttestationDeviceClient(creds=device())
data = client.get_pairing_data(sys.argv[2])
client.verify_pairing_data(data)
client.approve_pairing(data.device_id, data.device_name, data.restrictions)
say(approved=True)
"""


async def peer(w: World, script: str, *args: str, directory: Path | None = None) -> Any:
    """What the peer's script said last; it must end well."""
    arguments = (str(directory or w.data_dir), *args)
    done = await asyncio.to_thread(run_peer, PRELUDE + script, *arguments, env=w.greenlight.env)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


async def node_of_the_peer(w: World) -> None:
    """A data directory as the reference's tools make it."""
    w.data_dir.mkdir()
    secret = mnemonic.node_secret(mnemonic.check("abandon " * 11 + "about"))
    (w.data_dir / "hsm_secret").write_bytes(secret.expose())
    (w.data_dir / "hsm_secret").chmod(0o600)
    await peer(w, REGISTER)


@asynchronous
async def test_signerd_runs_on_a_data_directory_of_the_reference(tmp_path):
    async with world(tmp_path) as w:
        await node_of_the_peer(w)
        adopted = await w.signerd("init", "--adopt", w.data_dir, "--json")
        assert adopted.json["node_id"] == NODE_ID.hex(), adopted.err
        assert (await w.signerd("register", "--json")).json["outcome"] == "unchanged"
        async with w.daemon():
            scheduled = await w.signerd("schedule", "--json")
            assert scheduled.code == 0, scheduled.err
            assert len(await w.greenlight.node(NODE_ID).examine()) == 9
        assert not len(w.greenlight.reports)


@asynchronous
async def test_the_reference_runs_on_a_data_directory_of_signerd(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        script = """
info = glclient.Scheduler("regtest", nobody()).authenticate(device()).schedule()
say(uri=info.grpc_uri, node_id=bytes(device().node_id()).hex(), blob=bytes(device().to_bytes()).hex())
"""
        answer = await peer(w, script)
        node = w.greenlight.node(NODE_ID)
        assert answer["uri"] == node.grpc_uri
        assert answer["node_id"] == NODE_ID.hex()
        assert answer["blob"] == (w.data_dir / "credentials.gfs").read_bytes().hex()
        with peer_process(PRELUDE + SIGNER, str(w.data_dir), env=w.greenlight.env):
            # It aborts on init, which a stock node answers itself.
            assert len(await node.examine(without=("init",))) == 8


@asynchronous
async def test_the_references_signer_takes_signerds_rune_and_approval(tmp_path):
    """Signer: reference. Approving device: signerd, with a rune that signerd minted. New device: signerd."""
    async with world(tmp_path) as w:
        await w.make_node()
        with peer_process(PRELUDE + SIGNER, str(w.data_dir), env=w.greenlight.env):
            phone = asyncio.create_task(
                w.signerd("pair", "new", "phone", "--json", SIGNERD_DATA_DIR=str(tmp_path / "phone"))
            )
            await w.greenlight.calls.reach("PairDevice", 1)
            (device_id,) = w.greenlight.pairings
            approved = await w.signerd("pair", "approve", f"gl-pairing:{device_id}", "--yes")
            assert approved.code == 0, approved.err
            paired = await phone
            assert paired.code == 0, paired.err


@asynchronous
async def test_signerd_takes_the_references_rune_and_approval(tmp_path):
    """Signer: signerd. Approving device and new device: reference."""
    async with world(tmp_path) as w:
        await node_of_the_peer(w)
        phone_dir = tmp_path / "phone"
        phone_dir.mkdir()
        async with w.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            with peer_process(PRELUDE + NEW_DEVICE, str(phone_dir), env=w.greenlight.env) as phone:
                assert phone.stdout
                shown = json.loads(await asyncio.to_thread(phone.stdout.readline))
                device_id = shown["qr"].removeprefix("gl-pairing:")
                await w.greenlight.calls.reach("PairDevice", 1)
                await peer(w, APPROVE, device_id)
                paired = json.loads(await asyncio.to_thread(phone.stdout.readline))
            await daemon.said("pairing-approved", device="phone")
        assert len(Rune.from_base64(paired["rune"]).restrictions) == 2
        Credentials.decode((phone_dir / "credentials.gfs").read_bytes())
        info = await w.signerd("node-info", "--json", SIGNERD_DATA_DIR=str(phone_dir))
        assert info.json["node_id"] == NODE_ID.hex()


@asynchronous
async def test_a_new_device_of_the_reference_is_approved_by_signerd_and_the_other_way_round(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        phone_dir = tmp_path / "phone"
        phone_dir.mkdir()
        async with w.daemon():
            with peer_process(PRELUDE + NEW_DEVICE, str(phone_dir), env=w.greenlight.env) as phone:
                assert phone.stdout
                shown = json.loads(await asyncio.to_thread(phone.stdout.readline))
                approved = await w.signerd("pair", "approve", shown["qr"], "--yes")
                assert approved.code == 0, approved.err
                json.loads(await asyncio.to_thread(phone.stdout.readline))
            tablet = asyncio.create_task(
                w.signerd("pair", "new", "tablet", "--json", SIGNERD_DATA_DIR=str(tmp_path / "tablet"))
            )
            await w.greenlight.calls.reach("PairDevice", 2)
            (device_id,) = w.greenlight.pairings
            await peer(w, APPROVE, device_id, directory=phone_dir)
            assert (await tablet).code == 0


@asynchronous
async def test_both_open_the_same_export(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        url = (await w.signerd("export", "--link", "--yes", "--json")).json["url"]
        tls = ssl.create_default_context(cafile=str(w.greenlight.ca_path))
        backup = await asyncio.to_thread(lambda: urllib.request.urlopen(url, context=tls).read())
        path = tmp_path / "backup.enc"
        path.write_bytes(backup)
        opened = await w.signerd("decrypt-export", path, "-o", tmp_path / "plain")
        assert opened.code == 0, opened.err
        script = """
backup = pathlib.Path(sys.argv[2]).read_bytes()
say(plain=bytes(glclient.backup_decrypt_with_seed(backup, secret())).hex())
"""
        answer = await peer(w, script, str(path))
        assert answer["plain"] == (tmp_path / "plain").read_bytes().hex()


HEARTBEAT = """
network, secret = sys.argv[2], bytes.fromhex(sys.argv[3])
creds = glclient.Scheduler(network, nobody()).register(glclient.Signer(secret, network, nobody())).creds
handle = glclient.Signer(secret, network, Credentials.from_bytes(creds)).run_in_thread()
say(running=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("network", NETWORKS)
@asynchronous
async def test_both_stand_at_the_same_block(tmp_path, network):
    """A heartbeat's tip is the block from which a signer would follow the chain; ours is the reference's."""
    secret = Secret(bytes([NETWORKS.index(network) + 1]) * 32)
    async with LocalGreenlight(tmp_path) as greenlight:
        arguments = (str(tmp_path), network, secret.expose().hex())
        with peer_process(PRELUDE + HEARTBEAT, *arguments, env=greenlight.env) as process:
            assert process.stdout
            await asyncio.to_thread(process.stdout.readline)
            keys = NodeKeys.derive(secret)
            node = await greenlight.schedule(keys.node_id)
            theirs = await node.ask(bytes.fromhex("07d8"))
        request = SigningRequest(0, bytes.fromhex("07d8"))
        ours = Signer(keys, network).handle(request, MemoryBook(), UnixTime(0))
        assert isinstance(ours, Signed)
        assert theirs[-44:-4] == ours.reply[-44:-4]


@asynchronous
async def test_both_signers_serve_one_node_together(tmp_path):
    """Several signers may be attached: each request goes to both, the first answer counts."""
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        with peer_process(PRELUDE + SIGNER, str(w.data_dir), env=w.greenlight.env) as other:
            async with w.daemon() as daemon:
                await daemon.said("request-answered")
                assert other.poll() is None
                for _ in range(3):
                    assert len(await node.examine(without=("init",))) == 8
        assert not len(node.wrong_answers)

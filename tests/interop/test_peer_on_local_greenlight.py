"""The reference client library does everything it can do on our local Greenlight, which takes it for real."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.greenlight import asynchronous
from helpers.peer import peer_process, run_peer

from signerd.core import certificates
from signerd.core.keys.node import NodeKeys
from signerd.dev.backend import Settings
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import RequestRefused
from signerd.units import Secret

pytestmark = pytest.mark.interop

SECRET = bytes([7]) * 32
KEYS = NodeKeys.derive(Secret(SECRET))

PRELUDE = """
import json, os, sys
import glclient
from glclient import Credentials

secret, credentials = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2])

def read(variable):
    with open(os.environ[variable], "rb") as file:
        return file.read()

def say(**values):
    print(json.dumps(values), flush=True)

def attempt(action):
    try:
        action()
    except Exception as error:
        return str(error)

def nobody():
    return Credentials.nobody_with(read("GL_NOBODY_CRT"), read("GL_NOBODY_KEY"))

def device():
    return Credentials.from_bytes(credentials)

def scheduler():
    return glclient.Scheduler("regtest", nobody()).authenticate(device())

def anonymous_signer():
    return glclient.Signer(secret, "regtest", nobody())
"""

REGISTER = """
reply = glclient.Scheduler("regtest", nobody()).register(anonymous_signer(), *sys.argv[3:])
say(cert=reply.device_cert, creds=reply.creds.hex(), rune=reply.rune)
"""

SIGNER = """
signer = glclient.Signer(secret, "regtest", device())
handle = signer.run_in_thread()
say(running=True)
sys.stdin.readline()
"""


async def peer(
    greenlight: LocalGreenlight, script: str, *, credentials: str = "", args: tuple[str, ...] = ()
) -> Any:
    """What the script said last; it must end well."""
    arguments = (SECRET.hex(), credentials, *args)
    done = await asyncio.to_thread(run_peer, PRELUDE + script, *arguments, env=greenlight.env)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


async def registered_peer(greenlight: LocalGreenlight) -> str:
    """The credentials blob (hex) of a device that the peer registered."""
    creds: str = (await peer(greenlight, REGISTER))["creds"]
    return creds


async def said(process: subprocess.Popen[str]) -> Any:
    """The next thing that a running peer says."""
    assert process.stdout
    line = await asyncio.to_thread(process.stdout.readline)
    return json.loads(line)


@asynccontextmanager
async def running(
    greenlight: LocalGreenlight, script: str, credentials: str
) -> AsyncIterator[subprocess.Popen[str]]:
    with peer_process(PRELUDE + script, SECRET.hex(), credentials, env=greenlight.env) as process:
        yield process


@asynchronous
async def test_it_registers(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        reply = await peer(greenlight, REGISTER)
        certificate = certificates.read_device(reply["cert"].encode())
        assert (KEYS.node_id, "default") == (certificate.node_id, certificate.device)
        registration = greenlight.node(KEYS.node_id).registration
        assert ("regtest", "v25.05", 6) == (
            registration.network,
            registration.version,
            len(registration.startup),
        )


@asynchronous
async def test_it_reads_its_node_id_from_what_it_was_issued(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        answer = await peer(greenlight, "say(node_id=bytes(device().node_id()).hex())", credentials=creds)
        assert KEYS.node_id.hex() == answer["node_id"]


@asynchronous
async def test_it_finds_its_nobody_identity_in_the_environment(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        script = """
signer = glclient.Signer(secret, "regtest", Credentials())
reply = glclient.Scheduler("regtest", Credentials()).register(signer)
say(cert=reply.device_cert)
"""
        assert "BEGIN CERTIFICATE" in (await peer(greenlight, script))["cert"]


@asynchronous
async def test_it_needs_an_invite_code_where_one_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(require_invite_codes=True)
    async with LocalGreenlight(tmp_path, settings=settings) as greenlight:
        script = """
say(error=attempt(lambda: glclient.Scheduler("regtest", nobody()).register(anonymous_signer())))
"""
        assert "an invite code is needed" in (await peer(greenlight, script))["error"]
        await peer(greenlight, REGISTER, args=(greenlight.new_invite_code(),))
        assert KEYS.node_id in greenlight.nodes


@asynchronous
async def test_it_is_told_of_a_second_registration_and_of_an_unknown_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        script = """
scheduler = glclient.Scheduler("regtest", nobody())
unknown = attempt(lambda: scheduler.recover(anonymous_signer()))
scheduler.register(anonymous_signer())
say(unknown=unknown, twice=attempt(lambda: scheduler.register(anonymous_signer())))
"""
        answer = await peer(greenlight, script)
        assert "is not registered" in answer["unknown"]
        assert "is already registered" in answer["twice"]


@asynchronous
async def test_it_recovers_and_the_new_device_works(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        await registered_peer(greenlight)
        script = """
reply = glclient.Scheduler("regtest", nobody()).recover(anonymous_signer())
scheduler = glclient.Scheduler("regtest", nobody()).authenticate(Credentials.from_bytes(reply.creds))
say(cert=reply.device_cert, uri=scheduler.schedule().grpc_uri)
"""
        reply = await peer(greenlight, script)
        device = certificates.read_device(reply["cert"].encode()).device
        assert device.startswith("recovered-")
        assert ["default", device] == greenlight.devices(KEYS.node_id)
        assert greenlight.node(KEYS.node_id).grpc_uri == reply["uri"]


@asynchronous
async def test_it_schedules_and_finds_its_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        script = """
s = scheduler()
before, placed, after = s.get_node_info(), s.schedule(), s.get_node_info(wait=True)
say(before=before.grpc_uri, placed=placed.grpc_uri, after=after.grpc_uri)
"""
        answer = await peer(greenlight, script, credentials=creds)
        uri = greenlight.node(KEYS.node_id).grpc_uri
        assert {"before": "", "placed": uri, "after": uri} == answer


@asynchronous
async def test_it_keeps_webhooks_and_invite_codes(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        script = """
s = scheduler()
one, two = (s.add_outgoing_webhook(f"https://example.com/{name}") for name in "ab")
secret = s.rotate_outgoing_webhook_secret(two.id).secret
s.delete_outgoing_webhook(one.id)
left = [hook.uri for hook in s.list_outgoing_webhooks().outgoing_webhooks]
codes = [code.is_redeemed for code in s.get_invite_codes().invite_code_list]
say(left=left, rotated=secret not in ("", two.secret), codes=codes)
"""
        answer = await peer(greenlight, script, credentials=creds)
        assert {"left": ["https://example.com/b"], "rotated": True, "codes": [False, False]} == answer


@asynchronous
async def test_it_exports_its_node_and_opens_the_file(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        script = """
import ssl, urllib.request
url = scheduler().export_node().url
tls = ssl.create_default_context(cafile=os.environ["GL_CA_CRT"])
backup = urllib.request.urlopen(url, context=tls).read()
say(plain=bytes(glclient.backup_decrypt_with_seed(backup, secret)).hex(),
    again=scheduler().export_node().url == url, error=attempt(scheduler().schedule))
"""
        answer = await peer(greenlight, script, credentials=creds)
        assert greenlight.settings.export_payload == bytes.fromhex(answer["plain"])
        assert answer["again"]
        assert "exported" in answer["error"]


@asynchronous
async def test_its_signer_attaches_and_answers_well(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        async with running(greenlight, SIGNER, creds):
            node = greenlight.node(KEYS.node_id)
            await node.approvals.attached.wait()
            await greenlight.calls.reach("GetNodeInfo", 1)
            order = greenlight.calls.order()
            assert order.index("MaybeUpgrade") < order.index("GetNodeInfo")
            await greenlight.schedule(KEYS.node_id)
            # It aborts on init, which a stock node answers itself.
            answered = await node.examine(without=("init",))
            assert 8 == len(answered)
            assert not len(node.rejections)
            assert not len(node.wrong_answers)
            # Its resolver objects to each derived secret; its permissive build answers all the same.
            assert KEYS.node_id == (await greenlight.reports.reach(5)).node_id
            keys = {entry.key.split("/")[0] for entry in node.state.live()}
            assert {"nodes", "nodestates", "allowlists", "trackers"} == keys


@asynchronous
async def test_its_signer_comes_back_and_takes_over_its_state(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        node = await greenlight.schedule(KEYS.node_id)
        for _ in range(2):
            async with running(greenlight, SIGNER, creds):
                await node.attached.wait()
                assert b"\0\x64" == (await node.ask(b"\0\1" + node.fresh_point()))[:2]
                assert node.listener
                await node.listener.restart()
                await node.attached.wait()
                await node.ask(b"\0\1" + node.fresh_point())
            while node.attached.is_set():
                await asyncio.sleep(0)
        assert not len(node.wrong_answers)
        assert 4 == len(node.state.live())


@asynchronous
async def test_its_signer_refuses_to_sign_messages(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        node = await greenlight.schedule(KEYS.node_id)
        async with running(greenlight, SIGNER, creds):
            with pytest.raises(RequestRefused, match="sign-message"):
                await node.ask(bytes.fromhex("0017000568656c6c6f"))
            assert 1 == len(node.pending())


@asynchronous
async def test_it_pairs_a_phone_in_all_three_roles(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        phone_script = """
from glclient.pairing import NewDeviceClient
steps = NewDeviceClient(creds=nobody()).pair_device("phone", "my phone", "method^list")
say(qr=next(steps))
paired = next(steps)
say(cert=paired.device_cert, rune=paired.rune,
    node_id=bytes(Credentials.from_bytes(paired.creds).node_id()).hex())
"""
        approve_script = """
from glclient.pairing import AttestationDeviceClient
client = AttestationDeviceClient(creds=device())
data = client.get_pairing_data(sys.argv[3])
client.verify_pairing_data(data)
client.approve_pairing(data.device_id, data.device_name, data.restrictions)
say(name=data.device_name, description=data.description, restrictions=data.restrictions)
"""
        async with running(greenlight, SIGNER, creds), running(greenlight, phone_script, "") as phone:
            device_id = (await said(phone))["qr"].removeprefix("gl-pairing:")
            await greenlight.calls.reach("PairDevice", 1)
            shown = await peer(greenlight, approve_script, credentials=creds, args=(device_id,))
            assert {
                "name": "phone",
                "description": "my phone",
                "restrictions": f"pubkey={device_id}&method^list",
            } == shown
            paired = await said(phone)
        certificate = certificates.read_device(paired["cert"].encode())
        assert (KEYS.node_id, "phone") == (certificate.node_id, certificate.device)
        assert device_id == certificate.public_key.hex()
        assert KEYS.node_id.hex() == paired["node_id"]
        assert ["default", "phone"] == greenlight.devices(KEYS.node_id)


@pytest.mark.slow
@asynchronous
async def test_its_pings_each_second_are_suffered(tmp_path: Path) -> None:
    """C-core's defaults would cut it off after four seconds of silence."""
    async with LocalGreenlight(tmp_path) as greenlight:
        creds = await registered_peer(greenlight)
        node = await greenlight.schedule(KEYS.node_id)
        async with running(greenlight, SIGNER, creds):
            await node.attached.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(greenlight.calls.reach("StreamHsmRequests", 2), 6)
            assert 1 == greenlight.calls.counts()["SignerRequestsStream"]

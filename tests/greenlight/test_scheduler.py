from __future__ import annotations

import asyncio

import pytest
from helpers.grpc_server import Server, serving, unary

from signerd.core.startup import StartupMessage
from signerd.errors import ProtocolViolation, UsageError
from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.values import (
    AddedWebhook,
    ChallengeScope,
    InviteCode,
    IssuedCertificate,
    NodeInfo,
    PairedDevice,
    PairingData,
    Webhook,
)

pb = scheduler_pb2
ID = bytes([3]) + bytes(range(32))
DEVICE = "04" + "ab" * 64
STARTUP = (StartupMessage(b"\x00\x0bask", b"\x00\x72answer"), StartupMessage(b"\x00\x1b", b"\x00\x7f"))
PB_STARTUP = [pb.StartupMessage(request=m.request, response=m.response) for m in STARTUP]

# Path, the call, what it must send, what the scheduler answers, what the call returns.
CALLS = [
    (
        "/scheduler.Scheduler/Register",
        lambda client: client.register(
            node_id=ID, bip32_key=b"x" * 78, startup_messages=STARTUP, network="regtest",
            challenge=b"c" * 32, signature=b"s" * 64, signer_version="v25.05", init_message=b"\x00\x72init",
            csr=b"csr", invite_code="invite",
        ),
        pb.RegistrationRequest(
            node_id=ID, bip32_key=b"x" * 78, startupmsgs=PB_STARTUP, network="regtest", challenge=b"c" * 32,
            signature=b"s" * 64, signer_proto="v25.05", init_msg=b"\x00\x72init", csr=b"csr",
            invite_code="invite",
        ),
        pb.RegistrationResponse(device_cert="cert", device_key="key"),
        IssuedCertificate("cert", "key"),
    ),
    (
        "/scheduler.Scheduler/Recover",
        lambda client: client.recover(node_id=ID, challenge=b"c" * 32, signature=b"s" * 64, csr=b"csr"),
        pb.RecoveryRequest(node_id=ID, challenge=b"c" * 32, signature=b"s" * 64, csr=b"csr"),
        pb.RecoveryResponse(device_cert="cert"),
        IssuedCertificate("cert", ""),
    ),
    *(
        (
            "/scheduler.Scheduler/GetChallenge",
            lambda client, scope=scope: client.get_challenge(scope, ID),
            pb.ChallengeRequest(scope=scope.value, node_id=ID),
            pb.ChallengeResponse(challenge=b"c" * 32),
            b"c" * 32,
        )
        for scope in ChallengeScope
    ),
    (
        "/scheduler.Scheduler/Schedule",
        lambda client: client.schedule(ID),
        pb.ScheduleRequest(node_id=ID),
        pb.NodeInfoResponse(node_id=ID, grpc_uri="https://localhost:1", session_id=2**64 - 1),
        NodeInfo(ID, "https://localhost:1", 2**64 - 1),
    ),
    (
        "/scheduler.Scheduler/GetNodeInfo",
        lambda client: client.get_node_info(ID),
        pb.NodeInfoRequest(node_id=ID),
        pb.NodeInfoResponse(),
        NodeInfo(ID, "", 0),
    ),
    (
        "/scheduler.Scheduler/GetNodeInfo",
        lambda client: client.get_node_info(ID, wait=True),
        pb.NodeInfoRequest(node_id=ID, wait=True),
        pb.NodeInfoResponse(node_id=ID, grpc_uri="not even a uri"),
        NodeInfo(ID, "not even a uri", 0),
    ),
    (
        "/scheduler.Scheduler/MaybeUpgrade",
        lambda client: client.maybe_upgrade("v25.05", b"\x00\x72init", STARTUP),
        pb.UpgradeRequest(signer_version="v25.05", initmsg=b"\x00\x72init", startupmsgs=PB_STARTUP),
        pb.UpgradeResponse(old_version="v24.11"),
        "v24.11",
    ),
    (
        "/scheduler.Scheduler/ListInviteCodes",
        lambda client: client.list_invite_codes(),
        pb.ListInviteCodesRequest(),
        pb.ListInviteCodesResponse(
            invite_code_list=[pb.InviteCode(code="a", is_redeemed=True), pb.InviteCode(code="b")]
        ),
        [InviteCode("a", is_redeemed=True), InviteCode("b", is_redeemed=False)],
    ),
    (
        "/scheduler.Scheduler/ExportNode",
        lambda client: client.export_node(),
        pb.ExportNodeRequest(),
        pb.ExportNodeResponse(url="https://files.example/export"),
        "https://files.example/export",
    ),
    (
        "/scheduler.Scheduler/AddOutgoingWebhook",
        lambda client: client.add_outgoing_webhook(ID, "https://hook.example"),
        pb.AddOutgoingWebhookRequest(node_id=ID, uri="https://hook.example"),
        pb.AddOutgoingWebhookResponse(id=-(2**63), secret="hush"),
        AddedWebhook(-(2**63), "hush"),
    ),
    (
        "/scheduler.Scheduler/ListOutgoingWebhooks",
        lambda client: client.list_outgoing_webhooks(ID),
        pb.ListOutgoingWebhooksRequest(node_id=ID),
        pb.ListOutgoingWebhooksResponse(outgoing_webhooks=[pb.Webhook(id=4, uri="https://hook.example")]),
        [Webhook(4, "https://hook.example")],
    ),
    (
        "/scheduler.Scheduler/DeleteWebhooks",
        lambda client: client.delete_webhooks(ID, [4, 5]),
        pb.DeleteOutgoingWebhooksRequest(node_id=ID, ids=[4, 5]),
        greenlight_pb2.Empty(),
        None,
    ),
    (
        "/scheduler.Scheduler/RotateOutgoingWebhookSecret",
        lambda client: client.rotate_outgoing_webhook_secret(ID, 4),
        pb.RotateOutgoingWebhookSecretRequest(node_id=ID, webhook_id=4),
        pb.WebhookSecretResponse(secret="hush"),
        "hush",
    ),
    (
        "/scheduler.Pairing/PairDevice",
        lambda client: client.pair_device(
            device_id=DEVICE, csr=b"csr", device_name="phone", description="mine", restrictions="pubkey=x"
        ),
        pb.PairDeviceRequest(
            device_id=DEVICE, csr=b"csr", device_name="phone", description="mine", restrictions="pubkey=x"
        ),
        pb.PairDeviceResponse(device_id=DEVICE, device_cert="cert", device_key="theirs", rune="rune"),
        PairedDevice(DEVICE, "cert", "rune"),
    ),
    (
        "/scheduler.Pairing/GetPairingData",
        lambda client: client.get_pairing_data(DEVICE),
        pb.GetPairingDataRequest(device_id=DEVICE),
        pb.GetPairingDataResponse(
            device_id=DEVICE, csr=b"csr", device_name="phone", description="mine", restrictions="pubkey=x"
        ),
        PairingData(DEVICE, b"csr", "phone", "mine", "pubkey=x"),
    ),
    (
        "/scheduler.Pairing/ApprovePairing",
        lambda client: client.approve_pairing(
            device_id=DEVICE, timestamp=1_700_000_000, device_name="phone", restrictions="pubkey=x",
            signature=b"s" * 64, public_key=b"p" * 65, rune="rune",
        ),
        pb.ApprovePairingRequest(
            device_id=DEVICE, timestamp=1_700_000_000, device_name="phone", restrictions="pubkey=x",
            sig=b"s" * 64, pubkey=b"p" * 65, rune="rune",
        ),
        greenlight_pb2.Empty(),
        None,
    ),
    (
        "/scheduler.Debug/ReportSignerRejection",
        lambda client: client.report_signer_rejection(
            node_id=ID, message="no", request=greenlight_pb2.HsmRequest(request_id=7), git_version="abc"
        ),
        pb.SignerRejection(
            node_id=ID, msg="no", request=greenlight_pb2.HsmRequest(request_id=7), git_version="abc"
        ),
        greenlight_pb2.Empty(),
        None,
    ),
]  # fmt: skip


def answer(server_certificate, identity, path, call, reply):
    """What one call returns, and the bytes that it sent."""
    seen: list[bytes] = []

    async def scenario():
        async with (
            serving(Server({path: unary(reply, seen)}), server_certificate) as server,
            SchedulerClient(server.uri, identity) as scheduler,
        ):
            return await call(scheduler)

    return asyncio.run(scenario()), seen


@pytest.mark.parametrize("case", CALLS, ids=[path for path, *_ in CALLS])
def test_every_method_sends_its_fields_and_reads_its_answer(server_certificate, identity, case):
    path, call, sent, reply, result = case
    returned, seen = answer(server_certificate, identity, path, call, reply.SerializeToString())
    assert returned == result
    assert [type(sent).FromString(raw) for raw in seen] == [sent]


def test_every_method_of_the_protos_has_its_case():
    file = scheduler_pb2.DESCRIPTOR
    methods = {
        f"/{service.full_name}/{method.name}"
        for service in file.services_by_name.values()
        for method in service.methods
        if not method.client_streaming
    }
    assert {path for path, *_ in CALLS} == methods
    assert len(methods) == 12 + 3 + 1


@pytest.mark.parametrize("size", [0, 31, 33])
def test_refuses_a_challenge_that_is_not_32_bytes(server_certificate, identity, size):
    reply = pb.ChallengeResponse(challenge=bytes(size)).SerializeToString()
    with pytest.raises(ProtocolViolation, match=f"{size} bytes"):
        answer(
            server_certificate, identity, "/scheduler.Scheduler/GetChallenge",
            lambda client: client.get_challenge(ChallengeScope.REGISTER, ID), reply,
        )  # fmt: skip


def test_refuses_an_answer_about_another_node(server_certificate, identity):
    reply = pb.NodeInfoResponse(node_id=bytes(33), grpc_uri="https://localhost:1").SerializeToString()
    with pytest.raises(ProtocolViolation, match="another node"):
        answer(
            server_certificate, identity, "/scheduler.Scheduler/Schedule",
            lambda client: client.schedule(ID), reply,
        )  # fmt: skip


def test_refuses_an_answer_about_another_device(server_certificate, identity):
    reply = pb.GetPairingDataResponse(device_id="05" + DEVICE[2:]).SerializeToString()
    with pytest.raises(ProtocolViolation, match="another device"):
        answer(
            server_certificate, identity, "/scheduler.Pairing/GetPairingData",
            lambda client: client.get_pairing_data(DEVICE), reply,
        )  # fmt: skip


def test_answers_with_secrets_do_not_show_them():
    for value in (AddedWebhook(1, "hush"), PairedDevice("d", "c", "hush"), IssuedCertificate("c", "hush")):
        assert "hush" not in repr(value)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.add_outgoing_webhook(ID, "https://\udcff"),
        lambda client: client.delete_webhooks(ID, [2**63]),
        lambda client: client.rotate_outgoing_webhook_secret(ID, -(2**63) - 1),
        lambda client: client.get_pairing_data("\ud800"),
    ],
)
def test_a_value_that_its_field_cannot_hold_is_a_usage_error(server_certificate, identity, call):
    with pytest.raises(UsageError, match="does not fit"):
        answer(server_certificate, identity, "/none", call, b"")

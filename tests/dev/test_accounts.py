"""Invite codes and webhooks: what a node owns, and nobody else."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.greenlight import (
    asynchronous,
    challenge_for,
    changed,
    code_of,
    device_stubs,
    nobody,
    node_keys,
    registered,
    registration_request,
    stubs,
)

from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import scheduler_pb2 as pb

HOOK = "https://example.com/hook"


@asynchronous
async def test_a_node_sees_its_own_invite_codes_and_their_use(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            codes = (await called.scheduler.ListInviteCodes(pb.ListInviteCodesRequest())).invite_code_list
            assert [False, False] == [code.is_redeemed for code in codes]
            async with stubs(greenlight, nobody(greenlight)) as anonymous:
                guest = node_keys(2)
                challenge = await challenge_for(anonymous.scheduler, guest)
                request = registration_request(guest, challenge, ec.generate_private_key(ec.SECP256R1()))
                await anonymous.scheduler.Register(changed(request, invite_code=codes[0].code))
            codes = (await called.scheduler.ListInviteCodes(pb.ListInviteCodesRequest())).invite_code_list
            assert [True, False] == [code.is_redeemed for code in codes]


@asynchronous
async def test_webhooks_are_added_listed_rotated_and_deleted(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node_id = device.node_id
        async with device_stubs(greenlight, device) as called:
            scheduler = called.scheduler
            add = pb.AddOutgoingWebhookRequest(node_id=node_id, uri=HOOK)
            one, two = await scheduler.AddOutgoingWebhook(add), await scheduler.AddOutgoingWebhook(add)
            assert one.id < two.id
            assert one.secret != two.secret
            rotate = pb.RotateOutgoingWebhookSecretRequest(node_id=node_id, webhook_id=one.id)
            assert one.secret != (await scheduler.RotateOutgoingWebhookSecret(rotate)).secret
            await scheduler.DeleteWebhooks(pb.DeleteOutgoingWebhooksRequest(node_id=node_id, ids=[one.id]))
            left = await scheduler.ListOutgoingWebhooks(pb.ListOutgoingWebhooksRequest(node_id=node_id))
            assert [(two.id, HOOK)] == [(hook.id, hook.uri) for hook in left.outgoing_webhooks]


@asynchronous
async def test_a_deleted_webhook_id_is_not_used_again(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            add = pb.AddOutgoingWebhookRequest(node_id=device.node_id, uri=HOOK)
            first = (await called.scheduler.AddOutgoingWebhook(add)).id
            delete = pb.DeleteOutgoingWebhooksRequest(node_id=device.node_id, ids=[first])
            await called.scheduler.DeleteWebhooks(delete)
            assert first != (await called.scheduler.AddOutgoingWebhook(add)).id


@pytest.mark.parametrize(
    "uri", ["", "example.com", "ftp://example.com", "https://", "https://[", "javascript:0"]
)
@asynchronous
async def test_refuses_a_webhook_that_is_no_web_address(tmp_path: Path, uri: str) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            add = pb.AddOutgoingWebhookRequest(node_id=device.node_id, uri=uri)
            assert grpc.StatusCode.INVALID_ARGUMENT == await code_of(called.scheduler.AddOutgoingWebhook(add))


@asynchronous
async def test_another_nodes_webhooks_are_not_to_be_had(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        owner, thief = await registered(greenlight, 1), await registered(greenlight, 2)
        async with device_stubs(greenlight, owner) as called:
            add = pb.AddOutgoingWebhookRequest(node_id=owner.node_id, uri=HOOK)
            hook_id = (await called.scheduler.AddOutgoingWebhook(add)).id
        async with device_stubs(greenlight, thief) as called:
            scheduler = called.scheduler
            for node_id, expected in (
                (owner.node_id, grpc.StatusCode.PERMISSION_DENIED),
                (thief.node_id, grpc.StatusCode.NOT_FOUND),
            ):
                delete = pb.DeleteOutgoingWebhooksRequest(node_id=node_id, ids=[hook_id])
                assert expected == await code_of(scheduler.DeleteWebhooks(delete))
                rotate = pb.RotateOutgoingWebhookSecretRequest(node_id=node_id, webhook_id=hook_id)
                assert expected == await code_of(scheduler.RotateOutgoingWebhookSecret(rotate))
            listed = scheduler.ListOutgoingWebhooks(pb.ListOutgoingWebhooksRequest(node_id=owner.node_id))
            assert grpc.StatusCode.PERMISSION_DENIED == await code_of(listed)


@asynchronous
async def test_nobody_owns_nothing(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        scheduler = anonymous.scheduler
        for call in (
            scheduler.ListInviteCodes(pb.ListInviteCodesRequest()),
            scheduler.AddOutgoingWebhook(pb.AddOutgoingWebhookRequest(uri=HOOK)),
            scheduler.ListOutgoingWebhooks(pb.ListOutgoingWebhooksRequest()),
            scheduler.DeleteWebhooks(pb.DeleteOutgoingWebhooksRequest()),
            scheduler.RotateOutgoingWebhookSecret(pb.RotateOutgoingWebhookSecretRequest()),
        ):
            assert grpc.StatusCode.PERMISSION_DENIED == await code_of(call)

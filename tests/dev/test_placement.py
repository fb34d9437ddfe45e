"""Schedule, GetNodeInfo and MaybeUpgrade: who may ask, what waits, what is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from helpers.greenlight import (
    asynchronous,
    changed,
    code_of,
    device_stubs,
    nobody,
    node_keys,
    registered,
    startup_messages,
    stubs,
)

from signerd.core import startup
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import scheduler_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED


def upgrade_request() -> pb.UpgradeRequest:
    keys = node_keys(1)
    return pb.UpgradeRequest(
        signer_version="v26.06",
        initmsg=startup.init_message(keys, "regtest"),
        startupmsgs=startup_messages(keys),
    )


@asynchronous
async def test_schedule_places_the_node_and_says_where(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            info = await called.scheduler.Schedule(pb.ScheduleRequest(node_id=device.node_id))
            again = await called.scheduler.Schedule(pb.ScheduleRequest(node_id=device.node_id))
        assert info.grpc_uri.startswith("https://localhost:")
        assert (info.grpc_uri, info.session_id, info.node_id) == (again.grpc_uri, 1, device.node_id)


@asynchronous
async def test_node_info_does_not_start_the_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            info = await called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=device.node_id))
        assert (info.grpc_uri, info.session_id) == ("", 0)


@asynchronous
async def test_node_info_with_wait_answers_when_the_node_is_placed(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            request = pb.NodeInfoRequest(node_id=device.node_id, wait=True)
            waiting = asyncio.ensure_future(called.scheduler.GetNodeInfo(request))
            await greenlight.calls.reach("GetNodeInfo", 1)
            await called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=device.node_id))
            assert not waiting.done()
            node = await greenlight.schedule(device.node_id)
            assert node.grpc_uri == (await waiting).grpc_uri


@asynchronous
async def test_a_stopped_node_has_no_address_and_gets_a_new_session(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        await greenlight.stop_node(device.node_id)
        assert node.grpc_uri == ""
        await greenlight.schedule(device.node_id)
        assert node.session_id == 2


@asynchronous
async def test_a_device_reaches_its_own_node_only(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device, other = await registered(greenlight, 1), await registered(greenlight, 2)
        async with device_stubs(greenlight, device) as called:
            schedule = called.scheduler.Schedule(pb.ScheduleRequest(node_id=other.node_id))
            assert DENIED == await code_of(schedule)
            info = called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=other.node_id))
            assert DENIED == await code_of(info)


@asynchronous
async def test_nobody_and_the_node_itself_are_no_device(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node_itself = greenlight._authority.node(device.node_id)
        for identity in (nobody(greenlight), node_itself):
            async with stubs(greenlight, identity) as called:
                schedule = called.scheduler.Schedule(pb.ScheduleRequest(node_id=device.node_id))
                assert DENIED == await code_of(schedule)
                assert DENIED == await code_of(called.scheduler.MaybeUpgrade(upgrade_request()))


@asynchronous
async def test_upgrade_records_what_was_announced_and_answers_the_old_version(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            assert "v25.05" == (await called.scheduler.MaybeUpgrade(upgrade_request())).old_version
            assert "v26.06" == (await called.scheduler.MaybeUpgrade(upgrade_request())).old_version
        assert "v26.06" == greenlight.node(device.node_id).registration.version


@asynchronous
async def test_upgrade_without_the_deprecated_init_message_keeps_it(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        before = greenlight.node(device.node_id).registration.init_msg
        async with device_stubs(greenlight, device) as called:
            await called.scheduler.MaybeUpgrade(changed(upgrade_request(), initmsg=b""))
        assert before == greenlight.node(device.node_id).registration.init_msg


@pytest.mark.parametrize(
    "change",
    [
        {"signer_version": ""},
        {"startupmsgs": []},
        {"initmsg": startup.init_message(node_keys(2), "regtest")},
        {"startupmsgs": startup_messages(node_keys(2))},
        {"initmsg": startup.init_message(node_keys(1), "bitcoin")},
    ],
    ids=["version", "no startup messages", "foreign init message", "foreign startup messages", "network"],
)
@asynchronous
async def test_refuses_an_upgrade_to_what_no_node_starts_from(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            assert INVALID == await code_of(
                called.scheduler.MaybeUpgrade(changed(upgrade_request(), **change))
            )
        assert "v25.05" == greenlight.node(device.node_id).registration.version

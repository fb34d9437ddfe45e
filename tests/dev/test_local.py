"""What a local Greenlight keeps, for whom, and what it is told by signers."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from helpers.greenlight import asynchronous, device_stubs, nobody, registered, stubs

from signerd.dev.ledger import Entry
from signerd.dev.local import LocalGreenlight
from signerd.errors import AlreadyRunning, NotFound, UsageError
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb


@asynchronous
async def test_knows_everything_again_after_a_restart(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        uri, ca, code = (
            greenlight.scheduler_uri,
            greenlight.ca_path.read_bytes(),
            greenlight.new_invite_code(),
        )
        async with device_stubs(greenlight, device) as called:
            add = pb.AddOutgoingWebhookRequest(node_id=device.node_id, uri="https://example.com/")
            await called.scheduler.AddOutgoingWebhook(add)
        node = await greenlight.schedule(device.node_id)
        node.state.merge([Entry("k", 2**64 - 2, b"[1]", b"")])
        before = node.registration
    async with LocalGreenlight(tmp_path) as greenlight:
        assert (uri, ca) == (greenlight.scheduler_uri, greenlight.ca_path.read_bytes())
        node = greenlight.node(device.node_id)
        assert before == node.registration
        assert [Entry("k", 2**64 - 2, b"[1]", b"")] == node.state.live()
        assert ("", 0) == (node.grpc_uri, node.session_id)
        assert greenlight._ledger.invite_is_open(code)
        async with device_stubs(greenlight, device) as called:
            hooks = await called.scheduler.ListOutgoingWebhooks(
                pb.ListOutgoingWebhooksRequest(node_id=device.node_id)
            )
            assert 1 == len(hooks.outgoing_webhooks)


@asynchronous
async def test_takes_another_port_when_its_own_is_taken(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path / "one") as first:
        port = first.scheduler.port
    async with LocalGreenlight(tmp_path / "two", port=port), LocalGreenlight(tmp_path / "one") as again:
        assert port != again.scheduler.port


@asynchronous
async def test_two_do_not_share_a_directory(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path):
        with pytest.raises(AlreadyRunning):
            async with LocalGreenlight(tmp_path):
                pass
    async with LocalGreenlight(tmp_path):
        pass


@asynchronous
async def test_its_files_are_for_the_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "greenlight"
    async with LocalGreenlight(directory) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            await called.scheduler.ExportNode(pb.ExportNodeRequest())
        paths = [directory, *directory.rglob("*")]
        assert any(path.name.endswith(".enc") for path in paths)
        for path in paths:
            assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o077, path


@asynchronous
async def test_points_clients_at_itself(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        assert {"GL_SCHEDULER_GRPC_URI", "GL_CA_CRT", "GL_NOBODY_CRT", "GL_NOBODY_KEY"} == set(greenlight.env)
        assert greenlight.scheduler_uri == greenlight.env["GL_SCHEDULER_GRPC_URI"]
        for name in ("GL_CA_CRT", "GL_NOBODY_CRT", "GL_NOBODY_KEY"):
            assert Path(greenlight.env[name]).read_bytes().startswith(b"-----BEGIN ")


@asynchronous
async def test_collects_the_reports_of_signers(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        request = greenlight_pb2.HsmRequest(request_id=1000, raw=b"\0\x17")
        await anonymous.debug.ReportSignerRejection(pb.SignerRejection(msg="no", request=request))
        assert [("no", b"\0\x17")] == [(report.msg, report.request.raw) for report in greenlight.reports]


@asynchronous
async def test_says_which_nodes_it_does_not_have(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        with pytest.raises(NotFound):
            await greenlight.schedule(bytes(33))
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            await called.scheduler.ExportNode(pb.ExportNodeRequest())
        with pytest.raises(UsageError, match="exported"):
            await greenlight.schedule(device.node_id)

"""ExportNode and the file host: one export, one URL, and a node that is gone."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from helpers.greenlight import (
    Device,
    asynchronous,
    code_of,
    device_stubs,
    nobody,
    node_keys,
    registered,
    stubs,
)

from signerd.dev.backend import Settings
from signerd.dev.exports import encrypt
from signerd.dev.faults import Fault
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import scheduler_pb2 as pb


async def export(greenlight: LocalGreenlight, device: Device) -> str:
    async with device_stubs(greenlight, device) as called:
        url: str = (await called.scheduler.ExportNode(pb.ExportNodeRequest())).url
        return url


async def fetch(
    greenlight: LocalGreenlight, url: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, by the standard library's client; the certificate is verified."""

    def request() -> tuple[int, dict[str, str], bytes]:
        where = urlsplit(url)
        context = ssl.create_default_context(cafile=str(greenlight.ca_path))
        connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, context=context, timeout=10
        )
        try:
            connection.request(method, where.path, headers=headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(request)


def opened(backup: bytes) -> bytes:
    """The payload, by the format's own definition."""
    keys = node_keys(1)
    assert backup[0] == 1
    key = keys.ecdh(backup[1:34])
    return ChaCha20Poly1305(key).decrypt(backup[34:46], backup[62:] + backup[46:62], keys.node_id)


@asynchronous
async def test_an_export_is_fetched_and_opened_with_the_node_key(tmp_path: Path) -> None:
    settings = Settings(export_payload=b"PGDMP and so on")
    async with LocalGreenlight(tmp_path, settings=settings) as greenlight:
        url = await export(greenlight, await registered(greenlight))
        status, _, backup = await fetch(greenlight, url)
        assert (200, b"PGDMP and so on") == (status, opened(backup))


@pytest.mark.parametrize("payload", [b"", b"x", bytes(100_000)], ids=["empty", "a byte", "many"])
def test_encrypts_any_size(payload: bytes) -> None:
    backup = encrypt(payload, node_keys(1).node_id)
    assert (62 + len(payload), payload) == (len(backup), opened(backup))


@asynchronous
async def test_exporting_again_gives_the_same_url_even_after_a_restart(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        url = await export(greenlight, device)
        assert url == await export(greenlight, device)
        _, _, backup = await fetch(greenlight, url)
    async with LocalGreenlight(tmp_path) as greenlight:
        assert url == await export(greenlight, device)
        assert (await fetch(greenlight, url))[2] == backup


@asynchronous
async def test_an_exported_node_is_gone_for_good(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with device_stubs(greenlight, device) as called:
            await called.scheduler.ExportNode(pb.ExportNodeRequest())
            assert node.grpc_uri == ""
            for call in (
                called.scheduler.Schedule(pb.ScheduleRequest(node_id=device.node_id)),
                called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=device.node_id)),
                called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=device.node_id, wait=True)),
            ):
                assert grpc.StatusCode.FAILED_PRECONDITION == await code_of(call)


@asynchronous
async def test_an_export_ends_the_waiting_for_the_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            request = pb.NodeInfoRequest(node_id=device.node_id, wait=True)
            waiting = asyncio.ensure_future(code_of(called.scheduler.GetNodeInfo(request)))
            await greenlight.calls.reach("GetNodeInfo", 1)
            await called.scheduler.ExportNode(pb.ExportNodeRequest())
            assert grpc.StatusCode.FAILED_PRECONDITION == await waiting


@asynchronous
async def test_nobody_exports_no_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        call = anonymous.scheduler.ExportNode(pb.ExportNodeRequest())
        assert grpc.StatusCode.PERMISSION_DENIED == await code_of(call)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=60-", (60, None)),
        ("bytes=-5", (-5, None)),
        ("bytes=3-100000", (3, None)),
    ],
)
@asynchronous
async def test_the_file_host_serves_ranges(
    tmp_path: Path, wanted: str, expected: tuple[int, int | None]
) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        url = await export(greenlight, await registered(greenlight))
        _, _, whole = await fetch(greenlight, url)
        status, headers, part = await fetch(greenlight, url, headers={"Range": wanted})
        assert (206, whole[slice(*expected)]) == (status, part)
        assert headers["Content-Range"].endswith(f"/{len(whole)}")


@asynchronous
async def test_the_file_host_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        url = await export(greenlight, await registered(greenlight))
        size = len((await fetch(greenlight, url))[2])
        assert 416 == (await fetch(greenlight, url, headers={"Range": f"bytes={size}-"}))[0]
        assert 405 == (await fetch(greenlight, url, method="POST"))[0]
        base = url.rsplit("/", 1)[0]
        for name in ("", "0" * 32 + ".enc", "../greenlight.db", "%2e%2e/greenlight.db"):
            assert 404 == (await fetch(greenlight, f"{base}/{name}"))[0]


@asynchronous
async def test_head_gives_the_size_and_no_body(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        url = await export(greenlight, await registered(greenlight))
        size = len((await fetch(greenlight, url))[2])
        status, headers, body = await fetch(greenlight, url, method="HEAD")
        assert (200, str(size), b"") == (status, headers["Content-Length"], body)


@asynchronous
async def test_a_download_is_cut_where_told(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        url = await export(greenlight, await registered(greenlight))
        greenlight.faults.set("Download", Fault(drop_after=70, times=1))
        with pytest.raises(http.client.IncompleteRead) as cut:
            await fetch(greenlight, url)
        assert 70 == len(cut.value.partial)
        assert 200 == (await fetch(greenlight, url))[0]

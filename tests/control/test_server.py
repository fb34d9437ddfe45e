"""The socket itself: who gets in, what becomes of garbage, and how many are served at once."""

from __future__ import annotations

import stat

from helpers.control import control_socket, raw_call
from helpers.greenlight import asynchronous

PAGES = {"/status": lambda: b'{"v": 1}\n'}


@asynchronous
async def test_answers_a_short_question_in_place():
    async with control_socket(pages=PAGES) as (path, _):
        answer = await raw_call(path, b"GET /status HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'\r\n\r\n{"v": 1}\n')
        assert (await raw_call(path, b"GET /else HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


@asynchronous
async def test_the_socket_and_its_directory_are_its_owners_alone_and_gone_afterwards():
    async with control_socket(pages=PAGES) as (path, _):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in path.parent.iterdir()] == ["signerd.sock"]
        parent = path.parent
    assert not parent.exists()

"""What the service says is what the board shows; followers hear everything or how much they missed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from google.protobuf import json_format
from helpers.boards import busy_board, event_of_every_kind
from helpers.control import control_socket
from helpers.greenlight import asynchronous

from signerd.config_change import ConfigChange
from signerd.control import document
from signerd.control.client import ControlClient
from signerd.control.document import Readings
from signerd.control.pb import control_pb2 as pb
from signerd.control.services import MOST_FOLLOWERS, ControlService
from signerd.control.values import Reload
from signerd.errors import ConfigError, ProtocolViolation, Unavailable
from signerd.observe import events
from signerd.observe.history import History

NOW = 1_800_000_000.0
READINGS = Readings(pid=7, channels=3, last_write=NOW - 4, pairings_waiting=2)


async def nothing_changed() -> ConfigChange:
    return ConfigChange()


@asynccontextmanager
async def service(
    history: History | None = None, reload: Reload = nothing_changed
) -> AsyncIterator[tuple[Path, ControlClient]]:
    served = ControlService(lambda: (busy_board(), READINGS, NOW), history or History(time.time), reload)
    async with control_socket([served.add_to]) as (path, _), ControlClient(path) as client:
        yield path, client


@asynchronous
async def test_status_by_grpc_is_the_document_to_the_last_field():
    async with service() as (_, client):
        reply = await client.status()
    expected = document.status(busy_board(), READINGS, NOW)
    assert json_format.ParseDict(expected, pb.StatusReply()) == reply
    # And back: nothing of it was lost, and the message has no field that the document never sets.
    shown = json_format.MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert shape(shown) == shape(json.loads(document.encode(expected)))


def shape(found: object) -> object:
    return {key: shape(value) for key, value in sorted(found.items())} if isinstance(found, dict) else None


@asynchronous
async def test_health_by_grpc_is_that_of_the_status():
    async with service() as (_, client):
        assert await client.health() == (await client.status()).health


@asynchronous
async def test_reload_says_what_was_applied_and_what_waits_for_a_restart():
    async def reload() -> ConfigChange:
        return ConfigChange(applied=("log.level",), needs_restart=("scheduler.uri", "network"))

    async with service(reload=reload) as (_, client):
        assert await client.reload() == await reload()


@asynchronous
async def test_reload_of_a_wrong_file_is_the_same_error_as_at_the_start():
    async def reload() -> ConfigChange:
        raise ConfigError("signerd.toml: unknown key 'nettwork'", hint="did you mean 'network'? – ja, „so“")

    async with service(reload=reload) as (_, client):
        with pytest.raises(ConfigError) as refused:
            await client.reload()
    assert refused.value.message == "signerd.toml: unknown key 'nettwork'"
    assert refused.value.hint == "did you mean 'network'? – ja, „so“"


@asynchronous
async def test_reloads_come_one_after_the_other():
    running = 0

    async def reload() -> ConfigChange:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        return ConfigChange(applied=("x",))

    async with service(reload=reload) as (_, client):
        assert await asyncio.gather(*(client.reload() for _ in range(5))) == [ConfigChange(("x",))] * 5


@asynchronous
async def test_a_bug_in_the_signer_is_no_answer_and_says_so():
    async def reload() -> ConfigChange:
        raise ZeroDivisionError

    async with service(reload=reload) as (_, client):
        with pytest.raises(ProtocolViolation):
            await client.reload()
        assert (await client.health()).live


# Events


@asynchronous
async def test_the_last_events_come_in_their_order_with_all_their_fields():
    history = History(lambda: NOW)
    told = event_of_every_kind()
    for event in told:
        history.hear(event)
    async with service(history) as (_, client):
        got = [record async for record in client.events(follow=False, last=len(told))]
        last_two = [record.name async for record in client.events(follow=False, last=2)]
    assert [record.name for record in got] == [event.NAME for event in told]
    assert last_two == [event.NAME for event in told[-2:]]
    for record, event in zip(got, told, strict=True):
        assert (record.level, record.time, record.lost) == (event.LEVEL, NOW, 0)
        for field in record.fields:
            value = getattr(field, field.WhichOneof("value"))
            assert value == getattr(event, field.name)
            assert type(value) is type(getattr(event, field.name))


@asynchronous
async def test_a_follower_hears_what_was_and_what_comes_without_a_gap():
    history = History(time.time)
    history.hear(events.Stopping(reason="before"))
    async with service(history) as (_, client):
        heard = client.events(follow=True, last=10)
        assert (await anext(heard)).fields[0].text == "before"
        for number in range(50):
            history.hear(events.Stopping(reason=str(number)))
        assert [(await anext(heard)).fields[0].text for _ in range(50)] == [str(n) for n in range(50)]
        await heard.aclose()


@asynchronous
async def test_a_follower_that_never_reads_stops_nobody_and_is_told_later_what_it_missed():
    history = History(time.time)
    wordy = events.Stopping(reason="x" * 2000)
    async with service(history) as (path, client), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        never_reads = channel.unary_stream(
            "/signerd.control.Control/Events",
            request_serializer=pb.EventsRequest.SerializeToString,
            response_deserializer=pb.EventRecord.FromString,
        )(pb.EventsRequest(follow=True, last=1))
        history.hear(wordy)
        number, lost = (await never_reads.read()).number, 0
        for _ in range(400):
            started = time.monotonic()
            for _ in range(50):
                history.hear(wordy)
            assert time.monotonic() - started < 1
            await asyncio.sleep(0)
        # Others are served meanwhile.
        assert (await client.health()).live
        while number <= 20_001:
            record = await never_reads.read()
            assert record.number == number + 1 + record.lost
            number, lost = record.number, lost + record.lost
            history.hear(wordy)  # for which there is room again
        assert lost > 10_000
        never_reads.cancel()


@asynchronous
async def test_followers_are_counted_and_leave_room_for_others():
    history = History(time.time)
    history.hear(events.Stopping(reason="x"))
    async with service(history) as (path, one), ControlClient(path) as two, ControlClient(path) as three:
        half = MOST_FOLLOWERS // 2
        following = [client.events(follow=True, last=1) for client in [one] * half + [two] * half]
        for heard in following:
            await anext(heard)
        with pytest.raises(ProtocolViolation, match="follow the events already"):
            await anext(three.events(follow=True, last=1))
        await following.pop().aclose()
        following.append(await once_there_is_room(three))
        for heard in following:
            await heard.aclose()


async def once_there_is_room(client: ControlClient) -> AsyncIterator[pb.EventRecord]:
    while True:
        heard = client.events(follow=True, last=1)
        try:
            await anext(heard)
        except ProtocolViolation:
            continue
        return heard


@asynchronous
async def test_a_client_of_a_signer_that_has_gone_says_so():
    async with service() as (path, client):
        gone = path
        await client.health()
    with pytest.raises(Unavailable, match="no signer runs"):
        async with ControlClient(gone):
            pass

"""Decide, remember, then answer."""

from __future__ import annotations

import pytest
from helpers.clock import FakeClock

from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import Book
from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.core.wire.session import Ping
from signerd.daemon.recorder import Recorder
from signerd.daemon.signing_service import SigningService
from signerd.errors import StateError
from signerd.store.state_db import StateDb
from signerd.units import Secret, UnixTime

PING = codec.encode(Ping(7, "hello"))
KEYS = NodeKeys.derive(Secret(bytes(32)))


class Stumbling(Signer):
    """A signer with a bug."""

    def handle(self, request: SigningRequest, book: Book, now: UnixTime) -> Signed | Refusal:
        if request.id == 13:
            raise KeyError("what only we may know")
        return super().handle(request, book, now)


def test_a_bug_refuses_one_request_and_tells_its_place_and_nothing_more(tmp_path):
    with StateDb(tmp_path / "db") as store:
        service = SigningService(Stumbling(KEYS, "regtest"), store, Recorder(store, FakeClock()))
        outcome = service.answer(SigningRequest(13, PING))
        assert isinstance(outcome, Refusal)
        assert outcome.rule == "internal-error"
        assert "KeyError at signing_service:" in outcome.reason
        assert "test_signing_service:" in outcome.reason
        assert "only we may know" not in outcome.reason
        assert isinstance(service.answer(SigningRequest(14, PING)), Signed)


def test_a_store_that_fails_is_no_bug(tmp_path):
    with StateDb(tmp_path / "db") as store:
        service = SigningService(Signer(KEYS, "regtest"), store, Recorder(store, FakeClock()))
    with pytest.raises(StateError):
        service.answer(SigningRequest(1, codec.encode(NewChannel(bytes(KEYS.node_id), 1))))

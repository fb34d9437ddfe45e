"""Whatever a node says gets an answer, or a refusal that changes nothing."""

from __future__ import annotations

from helpers import wire_messages
from helpers.family_player import HANDLERS, Player
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.requests import Context
from signerd.core.state.book import MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.session import DevPreinit
from signerd.errors import MalformedMessage, Refused

KINDS = sorted(HANDLERS, key=lambda kind: kind.TYPE)
CONTEXTS = st.none() | st.builds(
    Context,
    st.sampled_from(wire_messages.POINTS),
    st.integers(0, 2),
    st.sampled_from([0, 1, 447, 1027, 2047]),
)
PLAYERS = {dialect: Player("05" * 32, "regtest", dialect) for dialect in Dialect}


def ask(raw: bytes, context: Context | None, dialect: Dialect) -> bytes | None:
    """The reply; None if it was refused, and then nothing has changed."""
    player = PLAYERS[dialect]
    player.book = MemoryBook()
    try:
        return player.answer(raw, context, 1_800_000_000)
    except (Refused, MalformedMessage):
        assert player.book.payments == {}
        return None


@given(st.sampled_from(KINDS).flatmap(wire_messages.instances), CONTEXTS, st.sampled_from(Dialect))
def test_any_message_is_answered_by_its_reply_or_refused(message, context, dialect):
    reply = ask(codec.encode(message), context, dialect)
    if reply == b"":
        assert isinstance(message, DevPreinit)
    elif reply is not None:
        codec.decode_reply(message, reply)


@given(st.sampled_from(KINDS), st.binary(max_size=150), st.sampled_from(Dialect))
def test_any_body_is_answered_or_refused(kind, body, dialect):
    ask(kind.TYPE.to_bytes(2, "big") + body, None, dialect)

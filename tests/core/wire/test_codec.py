"""The hsmd codec: what it writes it reads, and nothing but that."""

from __future__ import annotations

import dataclasses

import pytest
from helpers import wire_messages
from hypothesis import given, settings
from hypothesis import strategies as st

from signerd.core import startup
from signerd.core.keys.node import NodeKeys
from signerd.core.wire import channel, codec, identity, session, tlv
from signerd.errors import MalformedMessage
from signerd.units import Secret

CLASSES = sorted(codec.classes().values(), key=lambda kind: kind.TYPE)


def cuts_that_are_messages(message):
    """Where a message may end early: between two records of its TLV stream."""
    if not any(item.name == "tlvs" for item in dataclasses.fields(message)):
        return set()
    return {
        len(codec.encode(dataclasses.replace(message, tlvs=message.tlvs[:count])))
        for count in range(len(message.tlvs))
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@given(st.data())
@settings(max_examples=5, deadline=None)
def test_reads_the_whole_message_and_no_part_and_nothing_more(kind, data):
    message = data.draw(wire_messages.instances(kind))
    raw = codec.encode(message)
    assert message == codec.decode(raw)
    assert kind.TYPE == codec.message_type(raw)
    with pytest.raises(MalformedMessage):
        codec.decode(raw + b"\x00")
    complete = cuts_that_are_messages(message)
    for cut in range(len(raw)):
        try:
            part = codec.decode(raw[:cut])
        except MalformedMessage:
            assert cut not in complete
        else:
            assert cut in complete
            assert codec.encode(part) == raw[:cut]


@given(wire_messages.messages())
@settings(max_examples=200, deadline=None)
def test_decoding_gives_back_what_was_encoded(message):
    assert message == codec.decode(codec.encode(message))


def decodes_to_itself_or_is_malformed(raw):
    try:
        message = codec.decode(raw)
    except MalformedMessage:
        return
    assert raw == codec.encode(message)


@given(st.sampled_from(sorted(codec.classes())), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_no_body_raises_anything_else(number, body):
    decodes_to_itself_or_is_malformed(number.to_bytes(2, "big") + body)


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_no_bytes_raise_anything_else(raw):
    decodes_to_itself_or_is_malformed(raw)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@given(st.data())
@settings(max_examples=1, deadline=None)
def test_inflated_at_any_place_it_is_malformed_or_another_message(kind, data):
    raw = codec.encode(data.draw(wire_messages.instances(kind)))
    for place in range(2, len(raw)):
        for inflated in (b"\xff", b"\xff\xff", b"\xff\xff\xff\xff"):
            decodes_to_itself_or_is_malformed(raw[:place] + inflated + raw[place + len(inflated) :])


@given(wire_messages.messages(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_makes_it_malformed_or_another_message(message, data):
    raw = bytearray(codec.encode(message))
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[place // 8] ^= 1 << place % 8
    decodes_to_itself_or_is_malformed(bytes(raw))


@pytest.mark.parametrize("raw", [b"", b"\x00", bytes(codec.MAX_MESSAGE + 1)], ids=len)
def test_refuses_what_is_too_short_or_too_long(raw):
    with pytest.raises(MalformedMessage):
        codec.message_type(raw)


@pytest.mark.parametrize("number", [0, 15, 17, 43, 90, 101, 113, 1005, 2002, 3000, 65535])
def test_refuses_a_number_that_no_message_has(number):
    with pytest.raises(MalformedMessage, match=f"no message has type {number}"):
        codec.decode(number.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("0001" + "02" + "ff" * 32, "Ecdh (type 1): point: not a compressed secp256k1 point"),
        ("0001" + "02", "Ecdh (type 1): point: the message ends 32 bytes too early"),
        ("002100", "DevMemleak (type 33): 1 bytes too many"),
        ("00070001" + "00" * 52, "SignWithdrawal (type 7): utxos: 1 items do not fit in the 52 bytes left"),
        (
            "00070001" + "00" * 51 + "0200" + "00" * 4,
            "SignWithdrawal (type 7): utxos: item 0: close_info: a bool is 0 or 1, not 2",
        ),
    ],
    ids=str,
)
def test_an_error_names_message_field_and_problem(raw, problem):
    with pytest.raises(MalformedMessage) as caught:
        codec.decode(bytes.fromhex(raw))
    assert problem == caught.value.message


def test_a_reply_is_read_as_the_answer_of_its_request():
    answer = identity.EcdhReply(bytes(32))
    assert answer == codec.decode_reply(identity.Ecdh(wire_messages.POINTS[0]), codec.encode(answer))
    failure = session.InitReplyFailure(7, "no")
    init = codec.decode(startup.init_request())
    assert failure == codec.decode_reply(init, codec.encode(failure))


def test_a_reply_to_something_else_is_malformed():
    with pytest.raises(MalformedMessage, match="type 130 does not answer ecdh_req"):
        codec.decode_reply(identity.Ecdh(wire_messages.POINTS[0]), codec.encode(channel.NewChannelReply()))
    with pytest.raises(MalformedMessage, match="does not answer dev_preinit"):
        codec.decode_reply(session.DevPreinit(), codec.encode(channel.NewChannelReply()))


def test_reads_what_the_signer_says_before_any_request():
    keys = NodeKeys.derive(Secret(bytes(32)))
    for message in startup.startup_messages(keys, "regtest"):
        request = codec.decode(message.request)
        assert message.request == codec.encode(request)
        assert message.response == codec.encode(codec.decode_reply(request, message.response))
    reply = codec.decode(startup.init_message(keys, "regtest"))
    assert tlv.values(reply.tlvs, session.INIT_REPLY_TLVS) == {}

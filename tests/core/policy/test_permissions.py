"""Who may ask what, measured at Core Lightning's own hsmd: every message with and without its bit."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import vectors
from helpers.family_player import context_of

from signerd.core.policy import permissions
from signerd.core.policy.permissions import MAIN_DAEMON, NEEDED, UNSPOKEN, Permission
from signerd.core.requests import Context
from signerd.core.tx.signing import Dialect
from signerd.core.wire import names
from signerd.errors import Refused

MEASURED = vectors.load("cln_messages")["messages"]["permissions"]
# Gone from Core Lightning since v26.04, and so allowed to nobody there.
REMOVED = {16}
PEER = bytes.fromhex("03bd7dc951402d445cac8fdb3d0b97be1716779bf0faa51242ffe0f5ae87932976")


def may(number: int, context: Context | None, dialect: Dialect = Dialect.CORE_LIGHTNING) -> bool:
    try:
        permissions.require_spoken(number, dialect)
        permissions.require_permission(number, context)
    except Refused:
        return False
    return True


def test_every_message_has_its_bit():
    assert set(names.NAMES) == set(NEEDED)
    for number, bits in MEASURED["allowed_bits_by_type"].items():
        if int(number) not in REMOVED:
            assert bits == [NEEDED[int(number)]]


@pytest.mark.parametrize("daemon", MEASURED["daemons"])
def test_each_daemon_may_ask_what_core_lightning_lets_it_ask(daemon):
    measured = MEASURED["daemons"][daemon]
    context = Context(PEER, 1, measured["permissions"])
    assert set(measured["types"]) == {number for number in names.NAMES if may(number, context)}


def test_the_main_daemon_may_ask_what_core_lightning_lets_it_ask():
    # The measurement leaves out what belongs to the connection itself.
    session = {9, 11, 33, 99}
    allowed = {number for number in names.NAMES if may(number, None)}
    assert set(MEASURED["main_connection_types"]) | session == allowed
    assert MAIN_DAEMON == 1027
    assert allowed == {number for number in names.NAMES if may(number, Context(PEER, 0, 1027))}


def test_every_measured_request_passes_or_fails_here_as_there():
    verdicts: Counter[bool] = Counter()
    for step in MEASURED["steps"]:
        # No body was sent along with most: what the check let pass may have failed after it.
        if "allowed" in step and step["type"] in names.NAMES:
            assert step["allowed"] is may(step["type"], context_of(step["on"])), step["what"]
            verdicts[step["allowed"]] += 1
    assert verdicts[True] >= 40
    assert verdicts[False] >= 100


@pytest.mark.parametrize("case", vectors.load("hsm")["cases"], ids=lambda case: case["script"])
def test_no_request_that_the_reference_signer_answers_is_refused(case):
    refused = [
        item["what"]
        for item in case["steps"]
        if item["outcome"] == "reply" and not may(item["type"], context_of(item["context"]), Dialect.HOSTED)
    ]
    assert refused == []


@pytest.mark.parametrize("number", sorted(NEEDED))
def test_a_context_without_bits_is_only_no_main_daemon(number):
    about_a_channel, about_none = Context(PEER, 1, 0), Context(PEER, 0, 0)
    permissions.require_permission(number, about_none)
    if NEEDED[number] is Permission.MASTER:
        with pytest.raises(Refused) as caught:
            permissions.require_permission(number, about_a_channel)
        assert caught.value.rule == "permission"
        assert f"(type {number}) needs MASTER" in caught.value.message
    else:
        permissions.require_permission(number, about_a_channel)


@pytest.mark.parametrize("number", sorted(NEEDED))
def test_bits_that_nobody_knows_open_nothing(number):
    every_other = (2**64 - 1) & ~int(NEEDED[number])
    with pytest.raises(Refused):
        permissions.require_permission(number, Context(PEER, 1, every_other))


def test_a_message_without_a_name_is_for_the_codec_to_refuse():
    permissions.require_permission(9999, Context(PEER, 1, 1))


@pytest.mark.parametrize("dialect", Dialect)
def test_each_dialect_leaves_the_others_messages_alone(dialect):
    for number in names.NAMES:
        if number in UNSPOKEN[dialect]:
            with pytest.raises(Refused) as caught:
                permissions.require_spoken(number, dialect)
            assert caught.value.rule == "unsupported-message"
        else:
            permissions.require_spoken(number, dialect)

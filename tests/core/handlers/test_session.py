"""init in both dialects, against all that Core Lightning's own hsmd answered; and the other small ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from helpers import vectors
from helpers.family_player import Player

from signerd.core import handlers, startup
from signerd.core.handlers import session
from signerd.core.handlers.call import Answer, Call
from signerd.core.keys.node import NodeKeys, SecretKind
from signerd.core.policy import permissions
from signerd.core.requests import Context
from signerd.core.state.book import MemoryBook
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire import session as wire
from signerd.errors import MalformedMessage, Refused
from signerd.units import NETWORKS, Secret, UnixTime

SECRET = "02" * 32
INIT = codec.decode(startup.init_request())
RECORDED = {item["what"]: item for item in vectors.load("cln_messages")["messages"]["init"]}
# Its hsmd takes any chain. Ours signs for one network, which its own configuration names.
OTHER_CHAIN = {"network testnet4", "unknown chain hash", "zero chain hash"}
# Keys of the node's choice, which a developer's hsmd takes, and a switch that changes its capabilities.
DEVELOPERS = {
    "developer: forced privkey",
    "developer: forced bip32 seed",
    "99 then init, --developer, no_preapprove_check: 51 and 52 not offered",
}
PLAIN_NETWORK = {chain_hash: network for network, chain_hash in CHAIN_HASHES.items()}


def answer(message, dialect=Dialect.HOSTED, network="regtest", context=None):
    reply = Player(SECRET, network, dialect).answer(codec.encode(message), context, 0)
    return codec.decode_reply(message, reply)


def rule_of(message, dialect=Dialect.HOSTED, network="regtest"):
    with pytest.raises(Refused) as caught:
        answer(message, dialect, network)
    return caught.value.rule


def network_of(raw: bytes):
    try:
        return PLAIN_NETWORK.get(codec.decode(raw).chain_hash, "regtest")
    except (MalformedMessage, AttributeError):
        return "regtest"


@pytest.mark.parametrize("what", [what for what in RECORDED if what not in DEVELOPERS | OTHER_CHAIN])
def test_answers_init_as_core_lightnings_own_signer_does(what):
    item = RECORDED[what]
    raw = bytes.fromhex(item["init"])
    player = Player(item["secret_file"], network_of(raw), Dialect.CORE_LIGHTNING)
    if item["outcome"] == "reply":
        assert item["reply"] == player.answer(raw, None, 0).hex()
    elif "before" not in item and what != "a request before init":
        with pytest.raises((Refused, MalformedMessage)):
            player.answer(raw, None, 0)


LAYOUTS = {
    "plain": SecretKind.PLAIN,
    "encrypted": SecretKind.ENCRYPTED,
    "mnemonic": SecretKind.WORDS,
    "mnemonic+passphrase": SecretKind.WORDS_WITH_PASSPHRASE,
}
SECRETS = [case for case in vectors.load("hsm_secrets")["secrets"] if case["network"] in NETWORKS]


@pytest.mark.parametrize("case", SECRETS, ids=lambda case: case["name"])
def test_tells_how_the_secret_is_kept_and_the_bip_86_account_of_words(case):
    keys = NodeKeys.derive(Secret(bytes.fromhex(case["secret"])), LAYOUTS[case["layout"]])
    player = Player(keys, case["network"], Dialect.CORE_LIGHTNING)
    assert case["init_reply"] == player.answer(bytes.fromhex(case["init"]), None, 0).hex()


def test_every_layout_of_a_secret_was_told():
    assert {"plain": 4, "encrypted": 8, "mnemonic": 6, "mnemonic+passphrase": 7} == Counter(
        case["layout"] for case in SECRETS
    )


@pytest.mark.parametrize(
    ("what", "rule"),
    [(what, "init-network") for what in sorted(OTHER_CHAIN)]
    + [(what, "init-foreign-secret") for what in sorted(DEVELOPERS) if "forced" in what],
)
def test_refuses_another_chain_and_keys_of_the_nodes_choice(what, rule):
    item = RECORDED[what]
    assert item["outcome"] == "reply"
    player = Player(item["secret_file"], "regtest", Dialect.CORE_LIGHTNING)
    with pytest.raises(Refused) as caught:
        player.answer(bytes.fromhex(item["init"]), None, 0)
    assert rule == caught.value.rule


def test_every_recorded_init_was_played():
    assert len(RECORDED) == 57
    assert OTHER_CHAIN | DEVELOPERS <= set(RECORDED)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_hosted_nodes_init_gets_the_registered_answer(network):
    player = Player(SECRET, network, Dialect.HOSTED)
    expected = startup.init_message(player.keys, network)
    assert expected == player.answer(startup.init_request(), None, 0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"min_version": 7, "max_version": 9}, "init-version"),
        ({"min_version": 1, "max_version": 4}, "init-version"),
        ({"encryption_key": bytes(32)}, "init-foreign-secret"),
        ({"dev_privkey": bytes(32)}, "init-foreign-secret"),
        ({"dev_bip32_seed": bytes(32)}, "init-foreign-secret"),
        ({"dev_channel_shaseed": bytes(32)}, "init-foreign-secret"),
        ({"tlvs": ((1, b"passphrase\x00"),)}, "init-unknown-tlv"),
    ],
    ids=str,
)
def test_refuses_a_hosted_init_that_is_not_for_this_signer(change, rule):
    assert rule == rule_of(replace(INIT, **change))


@pytest.mark.parametrize("raw", ["0063", "0063010100030100050100", "0063050101"])
def test_a_developers_node_says_hello_and_gets_no_answer(raw):
    message = codec.decode(bytes.fromhex(raw))
    player = Player(SECRET, "regtest", Dialect.CORE_LIGHTNING)
    call = Call(player.keys, "regtest", Dialect.CORE_LIGHTNING, UnixTime(0), MemoryBook())
    assert session.dev_preinit(message, call) == Answer(None)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("0063010101", Refused),
        ("0063030101", Refused),
        ("0063020100", MalformedMessage),
        ("0063010102", MalformedMessage),
    ],
)
def test_refuses_developer_switches(raw, error):
    message = codec.decode(bytes.fromhex(raw))
    player = Player(SECRET, "regtest", Dialect.CORE_LIGHTNING)
    call = Call(player.keys, "regtest", Dialect.CORE_LIGHTNING, UnixTime(0), MemoryBook())
    with pytest.raises(error):
        session.dev_preinit(message, call)


def test_a_plain_node_gets_connections_for_its_daemons():
    player = Player(SECRET, "regtest", Dialect.CORE_LIGHTNING)
    for bits in (1, 2**64 - 1):
        request = wire.ClientHsmfd(player.keys.node_id, 0, bits)
        assert answer(request, Dialect.CORE_LIGHTNING) == wire.ClientHsmfdReply()


@pytest.mark.parametrize(
    "item",
    [
        item
        for item in vectors.load("cln_messages")["messages"]["permissions"]["client_hsmfd"]
        if item.get("outcome") == "died"
    ],
    ids=lambda item: item["what"],
)
def test_refuses_a_connection_for_what_is_no_node(item):
    player = Player(SECRET, "regtest", Dialect.CORE_LIGHTNING)
    with pytest.raises(MalformedMessage):
        player.answer(bytes.fromhex(item["raw"]), None, 0)


@pytest.mark.parametrize("number", [9, 99])
def test_what_a_hosted_nodes_proxy_answers_is_not_asked_of_us(number):
    player = Player(SECRET, "regtest", Dialect.HOSTED)
    with pytest.raises(Refused) as caught:
        player.answer(number.to_bytes(2, "big"), None, 0)
    assert caught.value.rule == "unsupported-message"


@pytest.mark.parametrize("message", [wire.Ping(1, "x"), wire.NodeInfo(), wire.GetHeartbeat()])
def test_a_plain_node_does_not_have_the_other_signers_messages(message):
    assert rule_of(message, Dialect.CORE_LIGHTNING) == "unsupported-message"


def test_a_channels_daemon_may_not_open_connections():
    player = Player(SECRET, "regtest", Dialect.CORE_LIGHTNING)
    request = wire.ClientHsmfd(player.keys.node_id, 1, 447)
    with pytest.raises(Refused) as caught:
        answer(request, Dialect.CORE_LIGHTNING, context=Context(player.keys.node_id, 1, 447))
    assert caught.value.rule == "permission"


@pytest.mark.parametrize("dialect", Dialect)
def test_advertises_only_what_it_answers(dialect):
    advertised = session.CAPABILITIES[dialect]
    assert len(advertised) == len(set(advertised))
    assert set(advertised) <= handlers.ANSWERED - permissions.UNSPOKEN[dialect]
    assert startup.CAPABILITIES == session.CAPABILITIES[Dialect.HOSTED]

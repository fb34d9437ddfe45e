"""Pairing approvals: each check, from an approval that works and one change to it."""

from __future__ import annotations

import base64
import dataclasses
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import pairing
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.runes import compare, rune
from signerd.core.runes.rune import Rune
from signerd.units import Secret, UnixTime

ATTENUATED = PairingPolicy()

KEYS = NodeKeys.derive(Secret(bytes(range(32))))
APPROVER = ec.derive_private_key(int.from_bytes(b"\x11" * 32, "big"), ec.SECP256R1())
DEVICE = ec.derive_private_key(int.from_bytes(b"\x22" * 32, "big"), ec.SECP256R1())
APPROVER_KEY = p256.public_bytes(APPROVER)
DEVICE_ID = p256.public_bytes(DEVICE).hex()
NOW = UnixTime(1_700_000_000)


def rule_of(outcome: Approved | Denied) -> PairingRule:
    assert isinstance(outcome, Denied), outcome
    return outcome.rule


def signed(
    *,
    device_id: str = DEVICE_ID,
    timestamp: int = NOW,
    device_name: str = "phone",
    restrictions: str = f"pubkey={DEVICE_ID}",
    approving: str | None = None,
    node_id: bytes = KEYS.node_id,
) -> PairingApproval:
    """An approval with a good signature over whatever it says."""
    message = pairing.signed_bytes(
        device_id=device_id,
        timestamp=timestamp,
        node_id=node_id,
        device_name=device_name,
        restrictions=restrictions,
    )
    return PairingApproval(
        device_id=device_id,
        timestamp=timestamp,
        device_name=device_name,
        restrictions=restrictions,
        sig=p256.sign(APPROVER, message),
        pubkey=APPROVER_KEY,
        rune=approving if approving is not None else approver_rune(),
    )


def approver_rune(*restrictions: str) -> str:
    return rune.create(KEYS.rune_secret, [f"pubkey={APPROVER_KEY.hex()}", *restrictions]).to_base64()


def with_text(text: str) -> str:
    """A rune with a valid authcode over restrictions that nobody would mint."""
    restrictions = rune.parse_restrictions(text, with_id=True)
    return Rune(rune.authcode(KEYS.rune_secret, restrictions), restrictions).to_base64()


def decided(
    approval: PairingApproval, policy: PairingPolicy = ATTENUATED, *, seen=frozenset(), now: int = NOW
):
    return pairing.decide(approval, KEYS, policy, seen, UnixTime(now))


def test_signs_and_issues_what_the_published_example_does():
    restrictions = f"pubkey={DEVICE_ID}&method^list"
    approval = PairingApproval(
        device_id=DEVICE_ID,
        timestamp=1_700_000_000,
        device_name="phone",
        restrictions=restrictions,
        sig=bytes.fromhex(
            "d41fe90949c4d43ca46f0bc38a56b303e92f50e165e5c2baf656409a9d30d1e0"
            "b674ee31a81128164c62949c27de883031b7a3d36f62398087ddd1939fba2be0"
        ),
        pubkey=APPROVER_KEY,
        rune=approver_rune(),
    )
    assert approval.rune.startswith("ShdKZ4hVmVuCLVCfe-xoOnJPghjp62KpEykxzBURH2k9MC1nbDAmcHVia2V5PTA0MDIx")
    outcome = decided(approval)
    assert isinstance(outcome, Approved)
    assert outcome.rune.startswith("Pom90g4YtqhQ1PNzg66Pw7hpgAC5jpcbqDG7uRLqC9I9MC1nbDAmcHVia2V5PTA0ZDY1")
    assert f"=0-gl0&{restrictions}" == base64.urlsafe_b64decode(outcome.rune)[32:].decode()


def test_approval_carries_what_the_answer_and_the_memory_need():
    outcome = decided(signed(timestamp=NOW - 5), PairingPolicy(max_age_seconds=100, max_ahead_seconds=20))
    assert isinstance(outcome, Approved)
    assert (DEVICE_ID, KEYS.node_id) == (outcome.device_id, outcome.node_id)
    assert (f"pubkey={DEVICE_ID}",) == outcome.restrictions
    assert NOW - 5 + 100 + 20 == outcome.expires
    assert 32 == len(outcome.digest)
    assert outcome.rune not in repr(outcome)


def asking(*texts: str) -> list[PairingApproval]:
    """An approval for each restriction string; ID stands for the new device's id."""
    return [signed(restrictions=text.replace("ID", DEVICE_ID)) for text in texts]


def approving(*restrictions: str) -> list[PairingApproval]:
    """An approval with each restriction in the approving rune."""
    return [signed(approving=approver_rune(restriction)) for restriction in restrictions]


OTHER_NODE = NodeKeys.derive(Secret(bytes(32))).node_id
BAD_IDS = ["", DEVICE_ID.upper(), DEVICE_ID[:-1], f"{DEVICE_ID}00", f"{DEVICE_ID}\n", "04" + "00" * 64]
BAD_CHARACTERS = "=/^$~<>{}#!&|\\" + "\0\n\x1b\x7f\x85\u2028\u202e\u2066"
CHANGED = {"timestamp": NOW - 1, "device_name": "tablet", "restrictions": f"pubkey={DEVICE_ID}&x=1"}
APPROVER_HEX = APPROVER_KEY.hex()

EACH_RULE = {
    PairingRule.SIZE: asking("pubkey=ID&x=" + "x" * pairing.MAX_RESTRICTIONS),
    PairingRule.DEVICE_ID: [signed(device_id=text) for text in (*BAD_IDS, "02" + DEVICE_ID[2:66])],
    PairingRule.DEVICE_NAME: [
        *(signed(device_name=f"my{character}phone") for character in BAD_CHARACTERS),
        dataclasses.replace(signed(), device_name="\ud800"),
    ],
    PairingRule.STALE: [signed(timestamp=NOW - 301), signed(timestamp=0)],
    PairingRule.FUTURE: [signed(timestamp=NOW + 61), signed(timestamp=2**64 - 1)],
    PairingRule.SIGNATURE: [
        signed(node_id=OTHER_NODE),
        *(dataclasses.replace(signed(), **{field: value}) for field, value in CHANGED.items()),
        *(dataclasses.replace(signed(), pubkey=key) for key in (p256.public_bytes(DEVICE), b"", bytes(65))),
        *(dataclasses.replace(signed(), sig=sig) for sig in (b"", bytes(64), signed().sig[:63])),
    ],
    PairingRule.RUNE_UNDECODABLE: [signed(approving=text) for text in ("", "é", approver_rune() + "\n")],
    PairingRule.RUNE_AUTHCODE: [signed(approving=base64.urlsafe_b64encode(bytes(32)).decode())],
    PairingRule.RUNE_ID: [signed(approving=with_text(f"=0-gl1&pubkey={APPROVER_HEX}"))],
    PairingRule.RUNE_METHOD: approving("method=pay", "method^list|method^get", "method/approvepairing"),
    PairingRule.RUNE_PUBKEY: approving(f"pubkey={DEVICE_ID}"),
    PairingRule.RUNE_TIME: approving(f"time<{NOW}", f"time>{NOW}", "time<soon"),
    PairingRule.RUNE_UNKNOWN_FIELD: approving("rate=5", "x/y", "x="),
    PairingRule.RUNE_RESTRICTION: approving(f"method=pay|time<{NOW}"),
    PairingRule.RUNE_UNBOUND: [
        signed(approving=with_text(text))
        for text in ("", "=0-gl0", "x#pubkey=00", f"pubkey={APPROVER_HEX}|method^approve", "pubkey^04")
    ],
    PairingRule.GRAMMAR: [
        *asking("", "pubkey", "pubkey=ID&", "&pubkey=ID", "pubkey=ID&&a=1", "pubkey=ID||a=1"),
        *asking("pubkey=ID&=7", "pubkey=ID|=7", "pubkey=ID&a-b=1", r"pubkey=ID&a=1\&b"),
        dataclasses.replace(signed(), restrictions="\udfff"),
    ],
    PairingRule.AMBIGUOUS: asking(r"pubkey=ID&name=a\&method=pay", r"pubkey=ID&x#a\&method=pay"),
    PairingRule.BORDER: asking(
        *(f"{first}&pubkey=ID" for first in ("od/pay", "ime!", "x{a", "x^", "x=|x=1"))
    ),
    PairingRule.UNBOUND: [
        *asking(
            "method=pay", "pubkey=", "pubkey=ID00", f"pubkey={APPROVER_HEX}", f"pubkey={DEVICE_ID.upper()}"
        ),
        *asking("pubkey=ID|method^", "pubkey=ID|x#", "pubkey=ID|pubkey=00", "x#|pubkey=ID"),
        *asking("x#pubkey=ID", "x=pubkey=ID", "mypubkey=ID", "pubkey^ID", "Pubkey=ID"),
    ],
    PairingRule.WIDENING: [
        *approving("method^approve", f"time<{NOW + 60}", "method=approvepairing|method=pay", "x!"),
        signed(
            approving=approver_rune("time<1800000000"), restrictions=f"pubkey={DEVICE_ID}&time<1800000001"
        ),
    ],
}


@pytest.mark.parametrize(
    ("rule", "approval"), [(rule, approval) for rule, several in EACH_RULE.items() for approval in several]
)
def test_refuses_by_the_rule(rule, approval):
    outcome = decided(approval)
    assert rule is rule_of(outcome)
    assert outcome.hint
    assert len(outcome.reason) < 600
    assert outcome.reason.isprintable()


def test_every_rule_refuses_something():
    elsewhere = {
        PairingRule.POLICY,
        PairingRule.STORE_FAILING,
        PairingRule.REPLAYED,
        PairingRule.RUNE_REVOKED,
        PairingRule.DEVICE_REVOKED,
    }
    elsewhere |= {PairingRule.REGISTER_FULL, PairingRule.INBOX_FULL, PairingRule.OWNER, PairingRule.EXPIRED}
    assert set(PairingRule) == set(EACH_RULE) | elsewhere


def test_policy_confirm_passes_what_the_policy_attested_passes():
    assert isinstance(decided(signed(), PairingPolicy(mode="confirm")), Approved)


def test_a_revoked_key_neither_approves_nor_is_paired():
    def judged(approval: PairingApproval, *revoked: bytes) -> Approved | Denied:
        return pairing.decide(approval, KEYS, ATTENUATED, frozenset(), NOW, frozenset(revoked))

    new_device = bytes.fromhex(DEVICE_ID)
    assert isinstance(judged(signed(), bytes(65)), Approved)
    assert PairingRule.RUNE_REVOKED is rule_of(judged(signed(), APPROVER_KEY))
    assert PairingRule.DEVICE_REVOKED is rule_of(judged(signed(), new_device))


@pytest.mark.parametrize(
    "restriction", ["method^approve", "method=approvepairing", f"time<{NOW + 60}", "x#y"]
)
def test_a_rune_that_was_derived_from_a_revoked_devices_rune_is_refused_with_it(restriction):
    derived = Rune.from_base64(approver_rune()).restrict([restriction])
    approval = signed(approving=derived.to_base64(), restrictions=f"pubkey={DEVICE_ID}&{restriction}")

    assert isinstance(decided(approval), Approved)
    outcome = pairing.decide(approval, KEYS, ATTENUATED, frozenset(), NOW, frozenset([APPROVER_KEY]))
    assert PairingRule.RUNE_REVOKED is rule_of(outcome)


def test_policy_deny_refuses_what_would_be_approved():
    assert isinstance(decided(signed()), Approved)
    assert PairingRule.POLICY is rule_of(decided(signed(), PairingPolicy(mode="deny")))


@pytest.mark.parametrize("offset", [-300, 0, 60])
def test_the_window_includes_its_ends(offset):
    assert isinstance(decided(signed(timestamp=NOW + offset)), Approved)


@pytest.mark.parametrize(
    "name",
    ["", "phone", "café 中文 📱", "my phone (2).", "n" * 10_000, "👩\u200d💻", "a-b_c", 'Dave\'s; "x", 5%?'],
)
def test_accepts_names_that_people_give(name):
    assert isinstance(decided(signed(device_name=name)), Approved)


@pytest.mark.parametrize(
    ("restrictions", "granted"),
    [
        (rf"pubkey={DEVICE_ID}&name=a\|b", rf"pubkey={DEVICE_ID}&name=a\|b"),
        (f"pubkey={DEVICE_ID}&name=a\\", f"pubkey={DEVICE_ID}&name=a"),
        (f"pubkey={DEVICE_ID}|", f"pubkey={DEVICE_ID}"),
        (f"pubkey={DEVICE_ID}&name=a|name=é💡|z=1", f"pubkey={DEVICE_ID}&name=a|name=é💡|z=1"),
        (
            f"method^get&pubkey={DEVICE_ID}&pubkey={DEVICE_ID}",
            f"method^get&pubkey={DEVICE_ID}&pubkey={DEVICE_ID}",
        ),
    ],
)
def test_grants_what_was_signed(restrictions, granted):
    outcome = decided(signed(restrictions=restrictions))
    assert isinstance(outcome, Approved)
    assert f"=0-gl0&{granted}" == base64.urlsafe_b64decode(outcome.rune)[32:].decode()


@pytest.mark.parametrize(
    ("approving", "more"),
    [
        ([], ""),
        (["method^approve|method^get"], "&method=getinfo"),
        ([f"time<{NOW + 60}"], f"&time<{NOW + 60}"),
        (["method^a", f"time<{NOW + 60}"], f"&method=approvepairing&time<{NOW + 5}"),
        (["note#anything"], ""),
        ([f"pubkey/{'00' * 65}"], ""),
    ],
)
def test_a_restricted_device_may_approve_what_is_as_narrow(approving, more):
    approval = signed(approving=approver_rune(*approving), restrictions=f"pubkey={DEVICE_ID}{more}")
    assert isinstance(decided(approval), Approved)


@pytest.mark.parametrize("unique_id", ["", "=7-gl0&"])
def test_the_unique_id_of_the_approving_rune_is_not_passed_on(unique_id):
    approval = signed(approving=with_text(f"{unique_id}pubkey={APPROVER_HEX}"))
    outcome = decided(approval)
    assert isinstance(outcome, Approved)
    assert Rune.from_base64(outcome.rune).restrictions[0] == rune.UNIQUE_ID


def test_answers_an_approval_once():
    approval = signed()
    first = decided(approval)
    assert isinstance(first, Approved)
    assert PairingRule.REPLAYED is rule_of(decided(approval, seen={first.digest}))
    assert isinstance(decided(signed(device_name="tablet"), seen={first.digest}), Approved)
    assert isinstance(decided(signed(timestamp=NOW - 1), seen={first.digest}), Approved)


def test_the_mirrored_signature_is_a_replay_too():
    """Whoever sees (r, s) can write (r, n - s), which verifies as well."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    approval = signed()
    first = decided(approval)
    mirrored = approval.sig[:32] + (order - int.from_bytes(approval.sig[32:], "big")).to_bytes(32, "big")
    again = dataclasses.replace(approval, sig=mirrored)
    assert isinstance(first, Approved)
    assert isinstance(decided(again), Approved)
    assert PairingRule.REPLAYED is rule_of(decided(again, seen={first.digest}))


@given(st.integers(-400, 200), st.integers(-400, 1_000))
def test_what_must_be_remembered_is_remembered_long_enough(sent, later):
    """Once `expires` has passed, the approval is too old to count."""
    approval = PLAIN if sent == 0 else signed(timestamp=NOW + sent)
    first = decided(approval)
    if isinstance(first, Approved) and NOW + later > first.expires:
        assert PairingRule.STALE is rule_of(decided(approval, now=NOW + later))


PLAIN = signed()

KNOWN = st.sampled_from(
    ["method^get", "method/pay", "method=pay|time<5", "time!", "method{b", "pubkey/00", "time>5"]
)
OTHERS = st.sampled_from(["method^list", "x!", "x#y", "foo/bar", f"pubkey={DEVICE_ID}"])
NAMES = st.text(st.sampled_from("abmethod pubkytim-é"), max_size=8)


@given(NAMES, KNOWN, st.lists(OTHERS, max_size=2), st.data())
def test_moving_the_border_of_name_and_restrictions_never_widens_a_rune(name, first, others, data):
    """The signature covers both without a mark between them, so a relay may move the mark."""
    restrictions = "&".join([first, *others, f"pubkey={DEVICE_ID}"])
    honest = signed(device_name=name, restrictions=restrictions)
    whole = name + restrictions
    border = data.draw(st.integers(0, len(whole)))
    moved = dataclasses.replace(honest, device_name=whole[:border], restrictions=whole[border:])
    outcome = decided(moved)
    if not isinstance(outcome, Approved):
        return
    asked = rune.parse_restrictions(restrictions)
    granted = Rune.from_base64(outcome.rune).restrictions[1:]
    for method, time, missing in itertools.product(("getinfo", "pay", "listpeers"), ("4", "6"), (None, "")):
        call = {"method": method, "time": time, "pubkey": DEVICE_ID}
        allowed, wanted = (
            all(any(compare.holds(a, call.get(a.field, missing)) for a in r.alternatives) for r in several)
            for several in (granted, asked)
        )
        assert wanted or not allowed


def test_time_of_the_call_is_that_of_the_signer_and_not_of_the_request():
    approval = signed(timestamp=NOW - 200, approving=approver_rune(f"time<{NOW - 100}"))
    assert PairingRule.RUNE_TIME is rule_of(decided(approval))


def test_reads_ten_thousand_restrictions():
    many = "&".join([f"pubkey={DEVICE_ID}", *(f"k{n}=v" for n in range(10_000))])
    outcome = decided(signed(restrictions=many))
    assert isinstance(outcome, Approved)
    assert 10_001 == len(outcome.restrictions)

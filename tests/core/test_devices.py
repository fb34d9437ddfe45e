"""The register of devices: who let whom in, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core.devices import Device, MintedRune, fingerprint_of, made_with_secret, paired_by
from signerd.core.keys import p256
from signerd.core.runes import rune
from signerd.units import Secret, UnixTime


def key(number: int) -> bytes:
    return number.to_bytes(65, "big")


def device(number: int, *approvers: int) -> Device:
    runes = [
        MintedRune(key(number), f"phone {number}", "", bytes(32), UnixTime(0), key(approver), "attested")
        for approver in approvers
    ]
    return Device(key(number), tuple(runes))


class Looked:
    """Devices, and how many of them were looked at."""

    def __init__(self, devices: list[Device]) -> None:
        self._devices = devices
        self.times = 0

    def __iter__(self) -> Iterator[Device]:
        for device in self._devices:
            self.times += 1
            yield device


def test_finds_what_a_device_let_in_however_it_did():
    # In the order in which they came, which is not that in which they were let in; 7 is nobody's of these.
    known = [device(5, 4), device(2, 1), device(4, 2, 9), device(3, 1), device(7, 9), device(1, 5), device(9)]
    assert [d.key for d in paired_by(known, key(1))] == [key(n) for n in (5, 2, 4, 3)]
    assert [d.key for d in paired_by(known, key(9))] == [key(n) for n in (5, 2, 4, 3, 7, 1)]
    assert paired_by(known, key(7)) == ()
    assert paired_by(known, key(8)) == ()


def test_a_device_that_lets_itself_in_is_not_its_own():
    assert paired_by([device(1, 1), device(2, 2, 1)], key(1)) == (device(2, 2, 1),)


def test_a_chain_of_twenty_thousand_devices_is_looked_at_once():
    # Backwards, so that no pass over them could find more than one.
    known = Looked([device(n, n - 1) for n in range(20_000, 0, -1)])
    assert len(paired_by(known, key(0))) == 20_000
    assert known.times == 20_000


def test_the_facts_of_a_rune_that_was_made_with_the_secret():
    key = p256.public_bytes(ec.derive_private_key(1, ec.SECP256R1())).hex()
    made = rune.create(Secret(bytes(32)), [f"pubkey={key}", "method=pay|method=a\\&b"])
    facts = made_with_secret(made, name="n" * 300, time=UnixTime(7), by="created")
    assert facts is not None
    assert (facts.device.hex(), facts.approver, facts.time, facts.by) == (key, b"", 7, "created")
    assert facts.name == "n" * 200 + "…"
    assert facts.restrictions == f"pubkey={key}&method=pay|method=a\\&b"
    assert facts.fingerprint == fingerprint_of(made.authcode)


@pytest.mark.parametrize(
    "bound",
    [
        "pubkey=02",
        "pubkey=no hex",
        "pubkey=KEY|method=pay",
        "pubkey=" + "04" * 65,
        "pubkey=UPPER",
        "pubkey= KEY",
    ],
)
def test_a_rune_that_is_bound_to_no_device_has_none(bound):
    key = p256.public_bytes(ec.derive_private_key(1, ec.SECP256R1())).hex()
    made = rune.create(Secret(bytes(32)), [bound.replace("KEY", key).replace("UPPER", key.upper())])
    assert made_with_secret(made, name="", time=UnixTime(7), by="created") is None

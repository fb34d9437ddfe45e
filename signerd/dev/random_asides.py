"""What a node asks besides its channels' dance, of any content: gossip, invoices, its wallet, keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from signerd.core.keys.commitment import index_of
from signerd.core.tx import script
from signerd.core.tx.bolt11 import PUBKEY_HASH, SCRIPT_HASH, Fallback, Hop, Invoice
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import Side
from signerd.dev import gossip, identity, invoices, offers, spending
from signerd.dev.channel import Channel
from signerd.dev.choices import Choices
from signerd.dev.coins import Kind
from signerd.dev.gossip import Card, Price
from signerd.dev.lifecycle import Life
from signerd.dev.offers import Asked
from signerd.dev.peer import Peer
from signerd.dev.steps import Steps

Move = Callable[[], Steps[object]]

_TEXTS = ("", "a cup of tea", "Tee für zwei ☕", "x" * 300)
_AMOUNTS_MSAT = (None, 1, 999, 10_000, 123_456_789, 10**9, 10**11)
_DAY = 86_400


class Asides:
    """Chosen for one life. `plain` is a node with Core Lightning's own messages, and not a hosted one."""

    def __init__(self, life: Life, choices: Choices, *, plain: bool = False) -> None:
        self._life = life
        self._world = life.world
        self._choices = choices
        self._plain = plain

    def aside(self, channel: Channel) -> Steps[object]:
        """Any of them."""
        choices = self._choices
        kinds = (self._gossip, self._invoice, self._offer, self._key, self._wallet)
        return choices.among(choices.among(kinds)(channel))()

    def deposits(self, least_sat: int) -> None:
        """Coins of any kind for the wallet, until it has as much."""
        wallet, choices = self._world.wallet, self._choices
        for _ in range(choices.below(4)):
            value = choices.among((5_000, 77_777, least_sat // 3 + 5_000))
            wallet.deposit(value, choices.among(tuple(Kind)))
        if wallet.balance_sat < least_sat:
            wallet.deposit(least_sat - wallet.balance_sat, choices.among(tuple(Kind)))

    # The network.

    def _gossip(self, channel: Channel) -> list[Move]:
        world, choices = self._world, self._choices
        by_channeld = not self._plain and choices.one_in(2)
        return [
            lambda: gossip.update_channel(world, channel, self._price(channel)),
            lambda: gossip.announce_channel(
                world,
                channel,
                features=self._octets(4),
                appended=self._octets(20),
                by_channeld=by_channeld,
            ),
            lambda: gossip.announce_node(world, self._card()),
        ]

    def _price(self, channel: Channel) -> Price:
        choices = self._choices
        return Price(
            disabled=choices.one_in(2),
            private=choices.one_in(3),
            age=choices.below(14 * _DAY),
            cltv_delta=choices.among((6, 34, 144, 2**16 - 1)),
            least_msat=choices.among((0, 1, 1000, 2**40)),
            base_msat=choices.among((0, 1000, 2**32 - 1)),
            millionths=choices.among((0, 10, 10**6, 2**32 - 1)),
            most_msat=choices.among((None, 0, channel.value_sat * 1000, 2**64 - 1)),
            alias=choices.among((None, self._world.dice.fresh()[:8])),
            appended=self._octets(20),
        )

    def _card(self) -> Card:
        choices, fresh = self._choices, self._world.dice.fresh
        port = choices.below(2**16).to_bytes(2, "big")
        name = choices.among((b"localhost", b"a.example", b"n" * 255))
        known = (
            b"\x01" + fresh()[:4] + port,
            b"\x02" + fresh()[:16] + port,
            b"\x04" + fresh() + fresh()[:3] + port,
            b"\x05" + bytes([len(name)]) + name + port,
            b"\xff" + fresh(),
        )
        return Card(
            alias=choices.among((b"", b"hosted", "Zürich ⚡".encode(), fresh(), b"\x00" * 32, b"\xff" * 32)),
            colour=fresh()[:3],
            features=self._octets(40),
            addresses=tuple(item for item in known if choices.one_in(3)),
            age=choices.below(14 * _DAY),
            appended=self._octets(60),
        )

    # Invoices.

    def _invoice(self, channel: Channel) -> list[Move]:
        world, choices = self._world, self._choices
        amount = choices.among(_AMOUNTS_MSAT)
        invoice = self._bolt11(invoices.usual(world, world.dice.fresh(), amount))
        lnurl = choices.among((b"", b"metadata", world.dice.fresh()))
        return [
            lambda: invoices.issue_as(world, replace(invoice, payee=None)),
            lambda: invoices.issue_as(world, replace(invoice, payee=world.account.node_id)),
            lambda: invoices.approve_as(channel.peer, replace(invoice, metadata=lnurl or None)),
            lambda: invoices.approve_keysend(channel.peer, world.dice.fresh(), choices.between(0, 10**6)),
        ]

    def _bolt11(self, invoice: Invoice) -> Invoice:
        choices, fresh = self._choices, self._world.dice.fresh
        text = choices.among((*_TEXTS, None))
        hop = Hop(Peer(fresh()).node_id, int.from_bytes(fresh()[:8], "big"), 1000, 2**31, 40)
        fallbacks = (
            Fallback(0, fresh()[:20]),
            Fallback(0, fresh()),
            Fallback(1, fresh()),
            Fallback(PUBKEY_HASH, fresh()[:20]),
            Fallback(SCRIPT_HASH, fresh()[:20]),
        )
        return replace(
            invoice,
            timestamp=self._world.now - choices.below(2000),
            description=text,
            description_hash=fresh() if text is None else None,
            expiry=choices.among((3600, 5000, 2**31)),
            min_final_cltv=choices.among((9, 18, 144)),
            fallbacks=tuple(item for item in fallbacks if choices.one_in(4)),
            routes=choices.among(((), ((hop,),), ((hop, hop), (hop,)))),
        )

    def _offer(self, channel: Channel) -> list[Move]:
        world, choices = self._world, self._choices
        records = self._records()
        tweak = choices.among((b"", world.dice.fresh()[:16], world.dice.fresh()))
        asked = Asked(
            preimage=world.dice.fresh(),
            amount_msat=choices.among((1000, 123_456_789, 10**11)),
            description=choices.among(_TEXTS).encode(),
            quantity=choices.among((None, 1, 7)),
            note=choices.among((b"", b"thank you")),
            expiry=choices.among((None, 3600, 7200, 2**20)),
            hops=choices.among(((0,), (0, 1), (2,))),
            mpp=choices.one_in(2),
        )
        return [
            lambda: offers.approve(world, channel.peer, asked),
            lambda: offers.sign_invoice(world, records),
            lambda: offers.sign_request(world, records, tweak),
            lambda: offers.sign_request_as_node(world, records, tweak),
        ]

    def _records(self) -> dict[int, bytes]:
        """Any stream of TLV records: what hsmd signs is their merkle root."""
        kinds = (0, 2, 8, 10, 80, 88, 164, 176, 240, 1_000_000_000 % 2**16)
        return {0: self._octets(16), **{kind: self._octets(40) for kind in kinds if self._choices.one_in(2)}}

    # Keys.

    def _key(self, channel: Channel) -> list[Move]:
        life, world, choices = self._life, self._world, self._choices
        number = channel.newest(Side.LOCAL).number
        label = choices.among((b"scb secret", b"", b"plugin " + self._octets(30), b"x" * 1000))
        index = choices.among((0, 1, 1000, 2**31 - 1))
        moves: list[Move] = [
            life.connect,
            lambda: identity.derive_secret(world, label),
            lambda: identity.check_address(world, index),
            lambda: life.check_future_secret(channel, number, world.dice.fresh(), right=False),
        ]
        if not self._plain:
            # To a wrong key, Core Lightning's own hsmd ends.
            moves.append(lambda: identity.check_address(world, index, channel.peer.node_id))
        if number:
            revoked = choices.below(number)
            secret = channel.secrets.secret_for(index_of(revoked)) or b""
            moves.append(lambda: life.check_future_secret(channel, revoked, secret, right=True))
        return moves

    # The wallet.

    def _wallet(self, _channel: Channel) -> list[Move]:
        return [self._withdraw]

    def _withdraw(self) -> Steps[object]:
        choices, world = self._choices, self._world
        self.deposits(choices.between(5_000, 500_000))
        payees = []
        left = world.wallet.balance_sat - 3_000 - 3 * 1_000
        for _ in range(choices.between(1, 3)):
            value = choices.between(1_000, max(1_000, left // 3))
            payees.append(Output(value, choices.among(self._addresses())))
        if choices.one_in(4):
            return spending.join(world, payees, Peer(world.dice.fresh()))
        return spending.withdraw(world, payees, change=choices.among(tuple(Kind)))

    def _addresses(self) -> tuple[bytes, ...]:
        key = Peer(self._world.dice.fresh()).node_id
        hashed = script.p2wpkh(key)[2:]
        return (
            script.p2wpkh(key),
            script.p2tr(key),
            script.p2wsh(script.anchor(key)),
            script.p2pkh(key),
            script.p2sh(hashed),
        )

    def _octets(self, most: int) -> bytes:
        """0 to `most` bytes."""
        count = self._choices.below(most + 1) if self._choices.one_in(2) else 0
        return (self._world.dice.fresh() * (most // 32 + 1))[:count]

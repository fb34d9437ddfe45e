"""Compose a commitment transaction from what it should hold, whoever may broadcast it (BOLT 3)."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from signerd.core.keys import commitment as keys_of
from signerd.core.keys.channel import Basepoints
from signerd.core.tx import script
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.fees import ANCHOR_SAT
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction

VERSION = 2

_LOCKTIME_MARK = 0x2000_0000
_SEQUENCE_MARK = 0x8000_0000
_LOW_BITS = 0xFF_FFFF


@dataclass(frozen=True, slots=True)
class CommitmentKeys:
    """The keys of one commitment, 33 bytes each. `own` is the broadcaster's side, `other` the other one."""

    per_commitment_point: bytes
    revocation: bytes
    delayed: bytes
    own_htlc: bytes
    other_htlc: bytes
    other_payment: bytes
    own_funding: bytes
    other_funding: bytes

    @classmethod
    def derive(
        cls, point: bytes, *, own: Basepoints, other: Basepoints, static_remotekey: bool = True
    ) -> CommitmentKeys:
        """For the broadcaster's per-commitment point. Raises ValueError for what is no point."""
        payment = other.payment if static_remotekey else keys_of.derive_point(other.payment, point)
        return cls(
            per_commitment_point=point,
            revocation=keys_of.revocation_point(other.revocation, point),
            delayed=keys_of.derive_point(own.delayed, point),
            own_htlc=keys_of.derive_point(own.htlc, point),
            other_htlc=keys_of.derive_point(other.htlc, point),
            other_payment=payment,
            own_funding=own.funding,
            other_funding=other.funding,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All that a commitment holds. Values in satoshi, 0 for an output that does not exist.

    `to_self_delay` is what the other side imposed on the broadcaster. `htlcs` are those with an output.
    """

    format: CommitmentFormat
    funding: Outpoint
    obscuring_factor: int
    number: int
    keys: CommitmentKeys
    to_self_delay: int
    to_broadcaster_sat: int = 0
    to_other_sat: int = 0
    htlcs: tuple[Htlc, ...] = ()
    to_remote_csv: int = 1
    """Above 1 only where the other side sold a lease (option_will_fund)."""

    def with_values_of(self, tx: Transaction) -> Terms:
        """With the two main values as an existing transaction has them, by their scripts."""
        local, remote = script.p2wsh(self.to_local_script()), self.to_remote_script()[0]
        values = {output.script: output.value for output in tx.outputs}
        return replace(self, to_broadcaster_sat=values.get(local, 0), to_other_sat=values.get(remote, 0))

    def to_local_script(self) -> bytes:
        """The witness script of the broadcaster's output, and of its HTLC transactions' outputs."""
        return script.to_local(
            revocation_key=self.keys.revocation,
            delayed_key=self.keys.delayed,
            to_self_delay=self.to_self_delay,
        )

    def to_remote_script(self) -> tuple[bytes, bytes | None]:
        """The output script of the other side, and its witness script where there is one."""
        if not self.format.anchors:
            return script.p2wpkh(self.keys.other_payment), None
        witness_script = script.to_remote_delayed(self.keys.other_payment, self.to_remote_csv)
        return script.p2wsh(witness_script), witness_script

    def htlc_script(self, htlc: Htlc) -> bytes:
        """The witness script of an HTLC's output."""
        return script.htlc(
            revocation_key=self.keys.revocation,
            own_htlc_key=self.keys.own_htlc,
            other_htlc_key=self.keys.other_htlc,
            payment_hash=htlc.payment_hash,
            cltv_expiry=None if htlc.offered else htlc.cltv_expiry,
            anchors=self.format.anchors,
        )


class Kind(enum.Enum):
    """What an output of a commitment is for."""

    TO_LOCAL = "to_local"
    TO_REMOTE = "to_remote"
    OWN_ANCHOR = "own anchor"
    OTHER_ANCHOR = "other anchor"
    HTLC = "htlc"


@dataclass(frozen=True, slots=True)
class CommitmentOutput:
    """`witness_script` is None only for a to_remote without anchors; `htlc` is there for an HTLC."""

    kind: Kind
    output: Output
    witness_script: bytes | None
    htlc: Htlc | None = None


@dataclass(frozen=True)
class Commitment:
    """A composed commitment. `outputs` stand as they do in the transaction."""

    terms: Terms
    outputs: tuple[CommitmentOutput, ...]

    @cached_property
    def tx(self) -> Transaction:
        """Unsigned."""
        obscured = self.terms.number ^ self.terms.obscuring_factor
        return Transaction(
            version=VERSION,
            inputs=(Input(self.terms.funding, sequence=_SEQUENCE_MARK | obscured >> 24),),
            outputs=tuple(item.output for item in self.outputs),
            locktime=_LOCKTIME_MARK | obscured & _LOW_BITS,
        )

    @cached_property
    def txid(self) -> bytes:
        """32 bytes, in the order in which they are hashed."""
        return self.tx.txid

    def htlc_outputs(self) -> tuple[tuple[int, CommitmentOutput], ...]:
        """Index and output of each HTLC; the signatures of HTLC transactions come in this order."""
        return tuple((index, item) for index, item in enumerate(self.outputs) if item.kind is Kind.HTLC)


def compose(terms: Terms) -> Commitment:
    """The one transaction that follows from the terms."""
    outputs = [_htlc_output(terms, htlc) for htlc in terms.htlcs]
    if terms.to_broadcaster_sat:
        outputs.append(_p2wsh(Kind.TO_LOCAL, terms.to_broadcaster_sat, terms.to_local_script()))
    if terms.to_other_sat:
        output_script, witness_script = terms.to_remote_script()
        output = Output(terms.to_other_sat, output_script)
        outputs.append(CommitmentOutput(Kind.TO_REMOTE, output, witness_script))
    if terms.format.anchors:
        # An anchor stands where its side has anything to lose.
        if terms.to_broadcaster_sat or terms.htlcs:
            outputs.append(_p2wsh(Kind.OWN_ANCHOR, ANCHOR_SAT, script.anchor(terms.keys.own_funding)))
        if terms.to_other_sat or terms.htlcs:
            outputs.append(_p2wsh(Kind.OTHER_ANCHOR, ANCHOR_SAT, script.anchor(terms.keys.other_funding)))
    return Commitment(terms, tuple(sorted(outputs, key=_order)))


def obscuring_factor(opener_payment_basepoint: bytes, accepter_payment_basepoint: bytes) -> int:
    """48 bits that hide a channel's commitment numbers from those who don't know both basepoints."""
    digest = hashlib.sha256(opener_payment_basepoint + accepter_payment_basepoint).digest()
    return int.from_bytes(digest[-6:], "big")


def number_of(tx: Transaction, factor: int) -> int | None:
    """The commitment number that a transaction carries; None if it is not marked as a commitment."""
    sequence, locktime = tx.inputs[0].sequence, tx.locktime
    if sequence & ~_LOW_BITS != _SEQUENCE_MARK or locktime & ~_LOW_BITS != _LOCKTIME_MARK:
        return None
    return ((sequence & _LOW_BITS) << 24 | locktime & _LOW_BITS) ^ factor


def _htlc_output(terms: Terms, htlc: Htlc) -> CommitmentOutput:
    witness_script = terms.htlc_script(htlc)
    output = Output(htlc.amount_sat, script.p2wsh(witness_script))
    return CommitmentOutput(Kind.HTLC, output, witness_script, htlc)


def _p2wsh(kind: Kind, value: int, witness_script: bytes) -> CommitmentOutput:
    return CommitmentOutput(kind, Output(value, script.p2wsh(witness_script)), witness_script)


def _order(item: CommitmentOutput) -> tuple[int, bytes, int, int]:
    # BIP 69, and for HTLCs that look the same on chain, their expiry. The millisatoshi are for us alone: a
    # retry may list its HTLCs in another order.
    expiry, amount = (item.htlc.cltv_expiry, item.htlc.amount_msat) if item.htlc else (0, 0)
    return item.output.value, item.output.script, expiry, amount

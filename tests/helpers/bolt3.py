"""The two sides of BOLT 3's appendices C and F, and the signed transactions that follow from a case."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from helpers import vectors
from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.tx import commitment, fees, htlc_transaction, script, sighash
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.signing import Signature
from signerd.core.tx.transaction import Outpoint, Transaction


@cache
def load(name: str) -> dict[str, Any]:
    """One file of tests/vectors/bolt3."""
    loaded: dict[str, Any] = json.loads((vectors.DIRECTORY / "bolt3" / f"{name}.json").read_text())
    return loaded


@dataclass(frozen=True)
class Signed:
    """A finished transaction, and the signature of the side that does not broadcast it (DER)."""

    tx: Transaction
    remote_signature: bytes


class Case:
    """One case: `common` are the appendix's parameters."""

    def __init__(self, common: dict[str, Any], case: dict[str, Any]) -> None:
        self.common, self.case = common, case
        self.secrets = {name: bytes.fromhex(value) for name, value in common["secrets"].items()}
        self.format = CommitmentFormat(case["format"])
        self.amount = common["funding_sat"]
        self.htlcs: dict[int, Htlc] = {number: _htlc(common["htlcs"][number]) for number in case["htlcs"]}
        self.commitment = self._compose()

    def _compose(self) -> commitment.Commitment:
        public = {name: secp256k1.public_key(secret) for name, secret in self.secrets.items()}
        # Neither side's own revocation basepoint nor the remote delayed one is in the local commitment.
        local = Basepoints(
            funding=public["local_funding"],
            revocation=public["local_funding"],
            payment=public["local_payment_base"],
            htlc=public["local_payment_base"],
            delayed=public["local_delayed_base"],
        )
        remote = Basepoints(
            funding=public["remote_funding"],
            revocation=public["remote_revocation_base"],
            payment=public["remote_payment_base"],
            htlc=public["remote_payment_base"],
            delayed=public["remote_funding"],
        )
        self.point = public["local_per_commitment"]
        settled = fees.settle(
            self.format,
            to_broadcaster_msat=self.case["to_local_msat"],
            to_other_msat=self.case["to_remote_msat"],
            htlcs=tuple(self.htlcs.values()),
            feerate_per_kw=self.case["feerate_per_kw"],
            dust_limit_sat=self.case["dust_limit_sat"],
            broadcaster_funds=True,
        )
        terms = commitment.Terms(
            format=self.format,
            funding=Outpoint(bytes.fromhex(self.common["funding_txid"])[::-1], 0),
            obscuring_factor=commitment.obscuring_factor(local.payment, remote.payment),
            number=self.common["number"],
            keys=commitment.CommitmentKeys.derive(self.point, own=local, other=remote),
            to_self_delay=self.common["local_delay"],
            to_broadcaster_sat=settled.to_broadcaster_sat,
            to_other_sat=settled.to_other_sat,
            htlcs=settled.htlcs,
        )
        return commitment.compose(terms)

    def signed_commitment(self) -> Signed:
        keys = self.commitment.terms.keys
        witness_script = script.funding(keys.own_funding, keys.other_funding)
        digest = sighash.Digests(self.commitment.tx).segwit_v0(0, witness_script, self.amount)
        local, remote = (
            Signature(secp256k1.sign_compact(self.secrets[name], digest), sighash.ALL).der()
            for name in ("local_funding", "remote_funding")
        )
        in_order = (local, remote) if keys.own_funding < keys.other_funding else (remote, local)
        return Signed(_with_witness(self.commitment.tx, b"", *in_order, witness_script), remote[:-1])

    def signed_htlcs(self) -> list[tuple[int, Signed]]:
        """In output order: which HTLC of the case, and its transaction."""
        indices = [index for index, _ in self.commitment.htlc_outputs()]
        return [(self._number_of(index), self._signed_htlc(index)) for index in indices]

    def _number_of(self, index: int) -> int:
        sought = self.commitment.outputs[index].htlc
        return next(number for number, htlc in self.htlcs.items() if htlc is sought)

    def _signed_htlc(self, index: int) -> Signed:
        item = self.commitment.outputs[index]
        assert item.htlc is not None
        assert item.witness_script is not None
        tx = htlc_transaction.compose_for(self.commitment, index, feerate_per_kw=self.case["feerate_per_kw"])
        kind = htlc_transaction.sighash_type(self.format)
        digest = sighash.Digests(tx).segwit_v0(0, item.witness_script, item.output.value, kind)
        local = self._sign_htlc("local_payment_base", digest, sighash.ALL)
        if kind != sighash.ALL:
            # The broadcaster signs last, and everything.
            digest_all = sighash.Digests(tx).segwit_v0(0, item.witness_script, item.output.value)
            local = self._sign_htlc("local_payment_base", digest_all, sighash.ALL)
        remote = self._sign_htlc("remote_payment_base", digest, kind)
        described = self.common["htlcs"][self._number_of(index)]
        preimage = b"" if item.htlc.offered else bytes.fromhex(described["preimage"])
        return Signed(_with_witness(tx, b"", remote, local, preimage, item.witness_script), remote[:-1])

    def _sign_htlc(self, base: str, digest: bytes, kind: int) -> bytes:
        secret = keys_of.derive_secret(self.secrets[base], self.point)
        return Signature(secp256k1.sign_compact(secret, digest), kind).der()


def _htlc(described: dict[str, Any]) -> Htlc:
    return Htlc(
        offered=described["offered"],
        amount_msat=described["amount_msat"],
        payment_hash=hashlib.sha256(bytes.fromhex(described["preimage"])).digest(),
        cltv_expiry=described["expiry"],
    )


def _with_witness(tx: Transaction, *witness: bytes) -> Transaction:
    return replace(tx, inputs=(replace(tx.inputs[0], witness=witness),))

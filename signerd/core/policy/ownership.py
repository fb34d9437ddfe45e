"""Whose output is this? What is ours follows from our keys alone; nobody's word is taken for it.

Every output that is recognised here pays to one key of ours: a wallet key, a channel's payment or delayed
key or, in the script of an anchor, its funding key. The 2-of-2 that carries a channel is none of these, so
nothing that is signed as one of them spends a channel: no revoked commitment comes out of a wallet's PSBT.
This holds even where a request lies about what an input spends. No other key than the funding key is in the
2-of-2, and an anchor's signature covers the anchor's script and value, where one for the 2-of-2 would cover
that (BIP 143).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from signerd.core.keys import bip32, commitment
from signerd.core.keys.channel import ChannelKeys
from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.state.channel import ChannelState
from signerd.core.tx import script
from signerd.core.tx.commitment import CommitmentKeys
from signerd.core.tx.fees import ANCHOR_SAT
from signerd.core.tx.psbt import PsbtOutput
from signerd.core.tx.signing import ANCHOR_NONCE
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import CloseInfo

GAP = 100
"""How far from an index that is known to be used an unnamed one is looked for."""
FARTHEST = 1_000_000
"""Indices count up from 0. Money may go to those below this one: they can all be looked through."""
MOST_TRIED = 256
"""Indices: the most keys that are derived to recognise what one transaction pays to us."""

Sign = Callable[[bytes, Nonce], bytes]
"""From a digest (32 bytes) to 64 bytes: ECDSA with that nonce, or BIP 340 for taproot."""

_FORMS: Mapping[tuple[int, bytes], Callable[[bytes], bytes]] = {
    (22, b"\x00\x14"): script.p2wpkh,
    (23, b"\xa9\x14"): script.p2sh_p2wpkh,
    (34, b"\x51\x20"): script.p2tr,
}
"""Length and first two bytes of an output script → the script of that form for a wallet key."""


@dataclass(frozen=True, slots=True)
class Ours:
    """An output of ours and how it is spent, `key` (33 bytes) signing.

    `script_code` is what BIP 143 signs, None for taproot's key path. `tail` follows the signature in the
    witness.
    """

    key: bytes
    sign: Sign = field(repr=False)
    script_code: bytes | None
    tail: tuple[bytes, ...] = ()
    redeem_script: bytes | None = None
    witness_script: bytes | None = None


def is_wallet_script(keys: NodeKeys, output_script: bytes, index: int) -> bool:
    """Whether an output pays to the wallet key of this index, in any form that wallets use.

    Not to one that is so far out that nobody would find the money again: see FARTHEST.
    """
    return index < FARTHEST and _wallet_key(keys, output_script, index) is not None


def named_index(output: PsbtOutput) -> int | None:
    """The wallet index that a PSBT names for an output; None unless it has one origin, one step long.

    So lightningd marks what it pays to itself. The name proves nothing: the script has to be that key's.
    """
    paths = [origin.path for origin in output.origins.values()]
    return paths[0][0] if len(paths) == 1 and len(paths[0]) == 1 else None


def near(known: Iterable[int]) -> Iterator[int]:
    """Wallet indices in the order in which to try them: those closest to known ones first; 0 if none is."""
    starts = sorted({index for index in known if 0 <= index < bip32.HARDENED}) or [0]
    tried: set[int] = set()
    for distance, start in itertools.product(range(GAP + 1), starts):
        for index in (start + distance, start - distance):
            if index not in tried and 0 <= index < bip32.HARDENED:
                tried.add(index)
                yield index
                if len(tried) == MOST_TRIED:
                    return


def find_wallet_scripts(
    keys: NodeKeys, output_scripts: Collection[bytes], known: Iterable[int]
) -> dict[bytes, int]:
    """Those of some output scripts that pay to a wallet key near an index in `known`, and its index.

    The work is bounded by MOST_TRIED keys, however many scripts and known indices there are.
    """
    wanted = {output_script: form for output_script in output_scripts if (form := _form(output_script))}
    forms = set(wanted.values())
    found: dict[bytes, int] = {}
    for index in near(known) if wanted else ():
        key = keys.wallet_pubkey(index)
        found.update({made: index for form in forms if (made := form(key)) in wanted})
        if len(found) == len(wanted):
            break
    return found


def wallet_output(keys: NodeKeys, index: int, output_script: bytes) -> Ours | None:
    """How the wallet key of this index spends an output; None if the output is not that key's."""
    key, form = _wallet_key(keys, output_script, index), _form(output_script)
    if key is None:
        return None
    if form is script.p2tr:
        return Ours(key, lambda digest, _nonce: keys.sign_wallet_taproot(index, digest), None)
    redeem_script = script.p2wpkh(key) if form is script.p2sh_p2wpkh else None
    sign = partial(keys.sign_wallet, index)
    return Ours(key, sign, script.p2pkh(key), (key,), redeem_script=redeem_script)


def payment_output(keys: ChannelKeys, info: CloseInfo, output_script: bytes) -> Ours | None:
    """How a channel's payment key spends what the peer's commitment paid to us; None if it did not.

    A commitment point is part of the key for channels from before option_static_remotekey only.
    """
    point = info.commitment_point
    base = keys.basepoints.payment
    key = base if point is None else commitment.derive_point(base, point)
    sign: Sign = partial(keys.sign_payment, per_commitment_point=point)
    if script.p2wpkh(key) == output_script:
        return Ours(key, sign, script.p2pkh(key), (key,))
    delayed = script.to_remote_delayed(key, info.csv)
    if script.p2wsh(delayed) == output_script:
        return Ours(key, sign, delayed, (delayed,), witness_script=delayed)
    return None


def delayed_output(keys: ChannelKeys, channel: ChannelState, output_script: bytes) -> Ours | None:
    """How our delayed key spends our own output of our current commitment; None for any other.

    Other commitments of ours are revoked, and the peer takes that output. Raises Refused for a stub.
    """
    number = channel.next_holder - 1
    if number < 0:
        return None
    witness_script = _delayed_script(keys, channel, number)
    if script.p2wsh(witness_script) != output_script:
        return None
    key = commitment.derive_point(keys.basepoints.delayed, keys.per_commitment_point(number))
    # Between signature and script stands what chooses the branch: nothing, for the delayed one.
    return Ours(
        key,
        lambda digest, nonce: keys.sign_delayed(digest, number, nonce),
        witness_script,
        (b"", witness_script),
        witness_script=witness_script,
    )


def htlc_transaction_script(keys: ChannelKeys, channel: ChannelState) -> bytes | None:
    """What HTLC transactions on our current commitment pay to: us, after a delay. None before the first.

    Raises Refused for a stub.
    """
    number = channel.next_holder - 1
    return None if number < 0 else script.p2wsh(_delayed_script(keys, channel, number))


def anchor_output(keys: ChannelKeys, output: Output) -> Ours | None:
    """How our funding key spends our anchor; None if this is none."""
    key = keys.basepoints.funding
    witness_script = script.anchor(key)
    if output != Output(ANCHOR_SAT, script.p2wsh(witness_script)):
        return None
    return Ours(
        key,
        lambda digest, _nonce: keys.sign_funding(digest, ANCHOR_NONCE),
        witness_script,
        (witness_script,),
        witness_script=witness_script,
    )


def _form(output_script: bytes) -> Callable[[bytes], bytes] | None:
    return _FORMS.get((len(output_script), output_script[:2]))


def _wallet_key(keys: NodeKeys, output_script: bytes, index: int) -> bytes | None:
    form = _form(output_script)
    if form is None or not 0 <= index < bip32.HARDENED:
        return None
    key = keys.wallet_pubkey(index)
    return key if form(key) == output_script else None


def _delayed_script(keys: ChannelKeys, channel: ChannelState, number: int) -> bytes:
    setup = channel.ready
    point = keys.per_commitment_point(number)
    derived = CommitmentKeys.derive(point, own=keys.basepoints, other=setup.counterparty)
    return script.to_local(
        revocation_key=derived.revocation,
        delayed_key=derived.delayed,
        to_self_delay=setup.counterparty_delay,
    )

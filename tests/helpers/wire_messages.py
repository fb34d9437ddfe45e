"""Hypothesis strategies for every hsmd message and every field type of the wire."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.wire import codec, composites

POINTS = tuple(secp256k1.public_key(bytes([n]) * 32) for n in (1, 2, 3))
_SCALAR = st.integers(1, secp256k1.ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
_SIGNATURE = st.tuples(_SCALAR, _SCALAR).map(b"".join)
_TEXT = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=12)


def _fixed(size: int) -> Any:
    return st.binary(min_size=size, max_size=size)


_SIMPLE: dict[str, Any] = {
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "side": st.sampled_from(composites.Side),
    "sighash": st.sampled_from([composites.SIGHASH_ALL, composites.SIGHASH_SINGLE_ANYONECANPAY]),
    "sha256": _fixed(32),
    "secret": _fixed(32),
    "chain_hash": _fixed(32),
    "txid": _fixed(32),
    "ext_key": _fixed(78),
    "pubkey": st.sampled_from(POINTS),
    "node_id": st.sampled_from(POINTS) | _fixed(33),
    "sig64": _SIGNATURE,
    "recoverable65": st.tuples(_SIGNATURE, st.integers(0, 3)).map(lambda s: s[0] + bytes([s[1]])),
    "bip340sig": _fixed(64),
    "bytes16": st.binary(max_size=40),
    "bytes32": st.binary(max_size=40),
    "psbt": st.binary(max_size=40),
    "channel_type": st.binary(max_size=8),
    "wirestring": _TEXT,
    "tlvs": st.dictionaries(st.integers(0, 2**64 - 1), st.binary(max_size=10), max_size=3).map(
        lambda found: tuple(sorted(found.items()))
    ),
}

COMPOSITES: dict[str, type[Any]] = {
    "hsm_htlc": composites.Htlc,
    "hsm_utxo": composites.Utxo,
    "close_info": composites.CloseInfo,
    "basepoints": composites.Basepoints,
    "secrets": composites.DevChannelSecrets,
    "bitcoin_tx": composites.BitcoinTx,
    "bitcoin_signature": composites.BitcoinSignature,
}


@cache
def values(name: str) -> Any:
    """Values of the field type of that name, e.g. `?pubkey` or `hsm_utxo[]`."""
    if name.startswith("?"):
        return st.none() | values(name[1:])
    if name.endswith("[]"):
        return st.lists(values(name[:-2]), max_size=3).map(tuple)
    return instances(COMPOSITES[name]) if name in COMPOSITES else _SIMPLE[name]


def instances(kind: type[Any]) -> Any:
    """Values of one class of the wire."""
    return st.builds(kind, **{name: values(field.name) for name, field in codec.layout(kind)})


def messages() -> Any:
    """Any message."""
    return st.sampled_from(sorted(codec.classes())).flatmap(lambda number: instances(codec.classes()[number]))

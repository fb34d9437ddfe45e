"""Everything secret of one node, and where any of it can be found in what a program wrote."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signerd.core import startup
from signerd.core.keys import bip32, mnemonic
from signerd.core.keys.hkdf import hkdf_sha256
from signerd.core.keys.node import NodeKeys
from signerd.core.runes.rune import Rune
from signerd.greenlight.credentials import Credentials
from signerd.units import Secret


@dataclass
class Needles:
    """Secrets by what they are."""

    secrets: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def add_words(self, words: str) -> None:
        """The words, their seed, and every key that follows from them and from nothing else."""
        known = mnemonic.check(words)
        each = words.split()
        for number, pair in enumerate(itertools.pairwise(each), start=1):
            self.texts[f"words {number} and {number + 1}"] = " ".join(pair).encode()
        seed, secret = mnemonic.seed(known).expose(), mnemonic.node_secret(known)
        self.secrets |= {"the words' seed": seed, "its second half": seed[32:], "hsm_secret": secret.expose()}
        bip32_seed = hkdf_sha256(secret.expose(), b"bip32 seed")
        root = bip32.master(bip32_seed)
        self.secrets |= {"bip32 seed": bip32_seed, "bip32 root": root.secret, "bip32 chain": root.chain_code}
        keys = NodeKeys.derive(secret)
        for name in NodeKeys.__slots__:
            held = getattr(keys, name)
            if isinstance(held, Secret):
                self.secrets[name] = held.expose()
            elif isinstance(held, bip32.ExtendedKey):
                self.secrets[name] = held.secret
        for index in range(8):
            self.secrets[f"wallet key {index}"] = keys._wallet_secret(index)
        for label in startup.STARTUP_LABELS:
            self.secrets[f"derived {label.decode()}"] = keys.derived_secret(label)

    def add_channel(self, keys: NodeKeys, peer_id: bytes, dbid: int, commitments: int = 12) -> None:
        """One channel's base secrets and per-commitment secrets."""
        channel = keys.channel(peer_id, dbid)
        for name, held in vars(channel).items():
            if isinstance(held, Secret):
                self.secrets[f"channel {dbid} {name}"] = held.expose()
        for number in range(commitments):
            self.secrets[f"channel {dbid} commitment {number}"] = channel.release_secret(number)

    def add_credentials(self, path: Path) -> None:
        """A device's key and its rune."""
        credentials = Credentials.decode(path.read_bytes())
        key = load_pem_private_key(credentials.key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        name = path.parent.name
        self.secrets[f"device key of {name}"] = key.private_numbers().private_value.to_bytes(32, "big")
        for line in credentials.key.splitlines():
            if not line.startswith(b"-"):
                self.texts[f"device key of {name}, PEM"] = line
        self.secrets[f"authcode of {name}"] = Rune.from_base64(credentials.rune).authcode
        self.texts[f"rune of {name}"] = credentials.rune.encode()[:40]

    def found_in(self, data: bytes) -> list[str]:
        """Which of them are in there, in any form that somebody may have given them."""
        lower = data.lower()
        found = [name for name, text in self.texts.items() if text.lower() in lower]
        for name, secret in self.secrets.items():
            if secret.hex().encode() in lower or any(form in data for form in _forms(secret)):
                found.append(name)
        return found


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret[::-1]
    yield repr(secret)[2:-1].encode()
    yield ", ".join(map(str, secret)).encode()
    yield ",".join(map(str, secret)).encode()
    yield str(int.from_bytes(secret, "big")).encode()
    for before in range(3):  # inside something longer, that was encoded as a whole
        whole = base64.b64encode(bytes(before) + secret)
        inside = whole[4 if before else 0 : -4]
        yield inside
        yield inside.replace(b"+", b"-").replace(b"/", b"_")


def all_files(directory: Path, *, but: Iterable[str]) -> dict[Path, bytes]:
    """The contents of every file there, without those of these names."""
    return {
        path: path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in set(but)
    }

"""BOLT 11's own examples as values, and invoices signed with their key."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from signerd.core.keys import secp256k1
from signerd.core.tx import bolt11, bolt11_writer
from signerd.core.tx.bolt11 import Fallback, Hop, Invoice

KEY = bytes.fromhex("e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734")
PAYEE = bytes.fromhex("03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad")
THINGS = (
    "One piece of chocolate cake, one icecream cone, one pickle, one slice of swiss cheese, "
    "one slice of salami, one lollypop, one piece of cherry pie, one sausage, one cupcake, "
    "and one slice of watermelon"
)
STORE = (
    'Blockstream Store: 88.85 USD for Blockstream Ledger Nano S x 1, "Back In My Day" Sticker x 2, '
    '"I Got Lightning Working" Sticker x 2 and 1 more items'
)
ONION_AND_SECRET = 1 << 8 | 1 << 14
NODE = "9e03a901b85534ff1e92c43c74431f7ce72046060fcf7a95c37e148f78c77255"
SHOP = bytes.fromhex("03d06758583bb5154774a6eb221b1276c9e82d65bbaceca806d90e20c108f4b1c7")

BASE = Invoice(
    network="bitcoin",
    amount_msat=2_000_000_000,
    timestamp=1496314658,
    payment_hash=bytes.fromhex("0001020304050607080900010203040506070809000102030405060708090102"),
    payment_secret=b"\x11" * 32,
    description_hash=hashlib.sha256(THINGS.encode()).digest(),
    features=ONION_AND_SECRET,
)
COFFEE = replace(BASE, amount_msat=250_000_000, description_hash=None, description="1 cup coffee", expiry=60)
DONATION = replace(
    BASE, amount_msat=None, description_hash=None, description="Please consider supporting this project"
)
BEANS = replace(
    BASE,
    amount_msat=2_500_000_000,
    description_hash=None,
    description="coffee beans",
    features=ONION_AND_SECRET | 1 << 99,
)

# The order of the fields (as BOLT 11 letters them), the invoice, and SHA-256 of its text.
EXAMPLES = {
    "a donation": ("spd9", DONATION, "01909c572bf4360ac50dd661ab0efb655123b1b043252d638fc6c7b804510764"),
    "a cup of coffee": ("spdx9", COFFEE, "53553d4022efe9d00de74f7033bbf54d0a8d806e6dba2665b0f43abe0e8351fd"),
    "a cup of nonsense": (
        "spdx9",
        replace(COFFEE, description="ナンセンス 1杯"),
        "17abe4a341974793738c744ca676dcedd759b7ab3f8daf46a620d6e39b563f7c",
    ),
    "a hashed list": ("sph9", BASE, "85c32166dc5a739a971870cda82c75e43c0769fb1c49a355a33239b1e7d0315d"),
    "testnet with P2PKH": (
        "shpf9",
        replace(
            BASE,
            network="testnet",
            fallbacks=(Fallback(17, bytes.fromhex("3172b5654f6683c8fb146959d347ce303cae4ca7")),),
        ),
        "99caec8e60bdfe9a63ba014674c86c72c1b395dbc3550cb2c57de7c308df7cbc",
    ),
    "a route of two": (
        "sphfr9",
        replace(
            BASE,
            fallbacks=(Fallback(17, bytes.fromhex("04b61f7dc1ea0dc99424464cc4064dc564d91e89")),),
            routes=(
                (
                    Hop(bytes.fromhex("02" + NODE), 0x0102030405060708, 1, 20, 3),
                    Hop(bytes.fromhex("03" + NODE), 0x030405060708090A, 2, 30, 4),
                ),
            ),
        ),
        "e1af1c2ac3d73e92044e45b4214b5c1eb8654f5ee851d57d5e22050e14d159a8",
    ),
    "P2SH": (
        "shpf9",
        replace(BASE, fallbacks=(Fallback(18, bytes.fromhex("8f55563b9a19f321c211e9b9f38cdf686ea07845")),)),
        "1fb1e0bbccbcec82420121b3e67b9f7830bad056dfe9b56eba1fd78f390c8396",
    ),
    "P2WPKH": (
        "shpf9",
        replace(BASE, fallbacks=(Fallback(0, bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")),)),
        "b51bcc9971d7e8c7757be865866ffbbf2c1573340eb46f59b289f03a50d97c00",
    ),
    "P2WSH": (
        "shpf9",
        replace(
            BASE,
            fallbacks=(
                Fallback(
                    0, bytes.fromhex("1863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262")
                ),
            ),
        ),
        "1d7d7c2c13cf03faf0c5a6f447b2dbee3930705dfec37be17e578458f690a99e",
    ),
    "P2TR": (
        "sphf9",
        replace(
            BASE,
            fallbacks=(
                Fallback(
                    1, bytes.fromhex("0adac43daa9c8a5a68e09ea10692b82226ee190e572db9b90e17a410484ab405")
                ),
            ),
        ),
        "18a23d17f88f4e0711a4e42b26feedf541314e3457a9a58fe37080cb2ba8a289",
    ),
    "pico amount": (
        "pdsxcr9",
        replace(
            BASE,
            amount_msat=967878534,
            timestamp=1572468703,
            payment_hash=bytes.fromhex("462264ede7e14047e9b249da94fefc47f41f7d02ee9b091815a5506bc8abf75f"),
            description_hash=None,
            description=STORE,
            expiry=604800,
            min_final_cltv=10,
            routes=((Hop(SHOP, 0x08FE4E000CF00001, 1000, 2500, 40),),),
        ),
        "d62da364dd44c0d3688bb52bc1a9e1c4c24dcf5754a48e10f5a52b89d8a9d9a1",
    ),
    "coffee beans": ("pds9", BEANS, "e7b52cf31779391a2b8e5b31611a25718e0f6705f71e1dea1d2705b67776ec23"),
    "metadata": (
        "pdms9",
        replace(
            BASE,
            amount_msat=1_000_000_000,
            description_hash=None,
            description="payment metadata inside",
            metadata=bytes.fromhex("01fafaf0"),
            features=ONION_AND_SECRET | 1 << 48,
        ),
        "8186dac14052073d36cb4f3f40656c4dea9e12ce9ace7767fe43572ef50a92f2",
    ),
}


def signed(prefix: str, symbols: bytes, key: bytes = KEY) -> str:
    return bolt11_writer.write(
        prefix, symbols, secp256k1.sign_recoverable(key, bolt11.digest(prefix, symbols))
    )


def text_of(invoice: Invoice, *, more: bytes = b"", key: bytes = KEY) -> str:
    """An invoice's text, with more symbols after its fields."""
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    return signed(prefix, symbols + more, key)


def without(invoice: Invoice, letter: str) -> str:
    """An invoice's text without one of its fields."""
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    kept = symbols[: bolt11.TIMESTAMP_SYMBOLS]
    rest = symbols[bolt11.TIMESTAMP_SYMBOLS :]
    while rest:
        size = 3 + (rest[1] << 5 | rest[2])
        if "qpzry9x8gf2tvdw0s3jn54khce6mua7l"[rest[0]] != letter:
            kept += rest[:size]
        rest = rest[size:]
    return signed(prefix, kept)

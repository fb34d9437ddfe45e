"""SHA-256 from a given inner state, which is what narrowing a rune needs and hashlib cannot do (FIPS 180-4).

Only public data passes through here, so that it need not run in constant time. Everything that starts
from the beginning of a message uses hashlib.
"""

from __future__ import annotations

import struct

BLOCK_SIZE = 64
STATE_SIZE = 32

_WORD = 0xFFFFFFFF

# FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes
_K = (
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
)  # fmt: skip


def padding(length: int) -> bytes:
    """What SHA-256 appends to a message of `length` bytes: 9 to 72 bytes, ending in the length in bits."""
    return b"\x80" + bytes(-(length + 9) % BLOCK_SIZE) + (8 * length).to_bytes(8, "big")


def extend(state: bytes, data: bytes) -> bytes:
    """The state (32 bytes, big-endian words) after `data`, whose length is a multiple of 64 bytes.

    The state after a whole padded message is its digest. Raises ValueError for other lengths.
    """
    if len(state) != STATE_SIZE or len(data) % BLOCK_SIZE:
        raise ValueError("a state has 32 bytes, and data comes in blocks of 64")
    words = struct.unpack(">8L", state)
    for block in struct.iter_unpack(">16L", data):
        words = _compress(words, block)
    return struct.pack(">8L", *words)


def _compress(state: tuple[int, ...], block: tuple[int, ...]) -> tuple[int, ...]:
    schedule = list(block)
    for t in range(16, 64):
        x, y = schedule[t - 15], schedule[t - 2]
        s0 = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
        s1 = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
        schedule.append((schedule[t - 16] + (s0 & _WORD) + schedule[t - 7] + (s1 & _WORD)) & _WORD)
    a, b, c, d, e, f, g, h = state
    for k, w in zip(_K, schedule, strict=True):
        s1 = (e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)
        t1 = h + (s1 & _WORD) + (e & f ^ ~e & g) + k + w
        s0 = (a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)
        t2 = (s0 & _WORD) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & _WORD, a, b, c, (d + t1) & _WORD, e, f, g
    return tuple((x + y) & _WORD for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True))

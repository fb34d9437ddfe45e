"""How an encrypted node export is opened: its header, the key agreement, the body as a stream.

    offset  size  content
    0       1     version, 01
    1       33    ephemeral secp256k1 public key, compressed
    34      12    nonce
    46      16    Poly1305 tag
    62      rest  ciphertext, as long as the plaintext

The body is ChaCha20-Poly1305 (RFC 8439). Its key is the ECDH of the ephemeral key and the node key (SHA-256
of the compressed point), its associated data the 33-byte node id. The header is not authenticated but for
what a change of it does to the key.

A body may be larger than memory, and its tag speaks for the whole of it, so there are two ways to open one:

1. `Decryptor`, one pass, for an output that nobody can reach before `finish` has returned.
2. `Verifier`, then the `VerifiedBody` that its `finish` returns, two passes, for any other output. The second
   pass decrypts nothing but the chunks that the first has seen, even if the file changes in between.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.poly1305 import Poly1305

from signerd import errors
from signerd.core import export_payload
from signerd.units import Secret

if TYPE_CHECKING:
    from signerd.core.keys.node import NodeKeys
    from signerd.units import NodeId

VERSION = 1
HEADER_SIZE = 62
MAX_BODY = (2**32 - 1) * 64
"""Bytes: what the 32-bit block counter of RFC 8439 allows, its block 0 being the Poly1305 key."""

_MARK_SIZE = 16

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Header:
    """The first 62 bytes without the version: 33-byte point, 12-byte nonce, 16-byte tag."""

    ephemeral_key: bytes
    nonce: bytes
    tag: bytes


def parse_header(data: bytes) -> Header:
    """Read the first 62 bytes of a file (pass more, or fewer if it has no more). Raises BackupError."""
    if len(data) < HEADER_SIZE:
        raise errors.BackupError(
            f"the backup is cut short: {len(data)} bytes, and its header alone has {HEADER_SIZE}",
            hint="download it again",
        )
    if data[0] != VERSION:
        payload = export_payload.recognise(data[: export_payload.HEAD_SIZE])
        raise errors.BackupError(
            f"backup version {data[0]} is not supported, only version {VERSION}",
            hint="update signerd, if this is an encrypted export at all"
            if payload is export_payload.UNKNOWN
            else f"this is no encrypted export: it is {payload.description}",
        )
    return Header(ephemeral_key=data[1:34], nonce=data[34:46], tag=data[46:62])


def agree(header: Header, keys: NodeKeys) -> Secret:
    """Compute the 32-byte key of the body. Raises BackupError if the ephemeral key is not on the curve."""
    try:
        return Secret(keys.ecdh(header.ephemeral_key))
    except errors.MalformedMessage as error:
        raise errors.BackupError(
            "the backup is damaged: its ephemeral key is not a point on the curve", hint="download it again"
        ) from error


def check_size(body: int) -> None:
    """Refuse a body of so many bytes if it is longer than the cipher can be. Raises BackupError."""
    if body > MAX_BODY:
        raise errors.BackupError(
            "the backup is larger than 256 GiB, which its cipher does not allow",
            hint="this is not a file that an export makes; download it again",
        )


class Decryptor:
    """Decrypts in one pass. What `update` returns is unverified until `finish` has returned."""

    def __init__(self, header: Header, key: Secret, node_id: NodeId) -> None:
        self._stream = _Stream(header, key)
        self._authenticator = _Authenticator(self._stream.poly1305_key, header.tag, node_id)

    def update(self, chunk: Data) -> bytes:
        """Decrypt the next bytes of the body, as many as you like at a time."""
        self._authenticator.update(chunk)
        return self._stream.update(chunk)

    def finish(self) -> export_payload.Payload:
        """Verify the tag over all of it, and say what it is.

        Raises BackupError; then forget the plaintext.
        """
        self._authenticator.verify(self._stream.head)
        return export_payload.recognise(self._stream.head)


class Verifier:
    """The first of two passes: verifies the tag, and releases nothing.

    `seed` is 32 random bytes, new for each pair of passes; it keys the marks by which the second pass knows
    the chunks of the first.
    """

    def __init__(self, header: Header, key: Secret, node_id: NodeId, *, seed: Secret) -> None:
        self._header = header
        self._key = key
        self._seed = seed
        self._stream = _Stream(header, key)
        self._authenticator = _Authenticator(self._stream.poly1305_key, header.tag, node_id)
        self._marker = _Marker(seed)
        self._marks = bytearray()

    def update(self, chunk: Data) -> None:
        """Take the next bytes of the body. The second pass must cut it into the same chunks."""
        self._authenticator.update(chunk)
        self._marks += self._marker.mark(chunk)
        wanted = export_payload.HEAD_SIZE - len(self._stream.head)
        if wanted:
            self._stream.update(chunk[:wanted])

    def finish(self) -> VerifiedBody:
        """Verify the tag over all of it. Raises BackupError."""
        self._authenticator.verify(self._stream.head)
        return VerifiedBody(_Stream(self._header, self._key), _Marker(self._seed), bytes(self._marks))


class VerifiedBody:
    """The second of two passes. What `update` returns is verified. Only `Verifier.finish` makes one."""

    def __init__(self, stream: _Stream, marker: _Marker, marks: bytes) -> None:
        self._stream = stream
        self._marker = marker
        self._marks = memoryview(marks)

    def update(self, chunk: Data) -> bytes:
        """Decrypt a chunk that the first pass has seen in this place. Raises BackupError for any other."""
        mark, self._marks = self._marks[:_MARK_SIZE], self._marks[_MARK_SIZE:]
        if not hmac.compare_digest(self._marker.mark(chunk), mark):
            raise _changed()
        return self._stream.update(chunk)

    def finish(self) -> export_payload.Payload:
        """Say what it is. Raises BackupError if chunks are missing."""
        if self._marks:
            raise _changed()
        return export_payload.recognise(self._stream.head)


class _Stream:
    """ChaCha20 from block 1 on; block 0 is the one-time key of Poly1305 (RFC 8439 section 2.8)."""

    def __init__(self, header: Header, key: Secret) -> None:
        counter = bytes(4)
        algorithm = algorithms.ChaCha20(key.expose(), counter + header.nonce)
        self._cipher = Cipher(algorithm, mode=None).decryptor()
        self.poly1305_key = self._cipher.update(bytes(64))[:32]
        self.head = b""

    def update(self, chunk: Data) -> bytes:
        plaintext = self._cipher.update(chunk)
        if len(self.head) < export_payload.HEAD_SIZE:
            self.head += plaintext[: export_payload.HEAD_SIZE - len(self.head)]
        return plaintext


class _Marker:
    """Marks chunks with Poly1305, each under a one-time key of its own; nobody outside sees key or mark."""

    def __init__(self, seed: Secret) -> None:
        self._keys = Cipher(algorithms.ChaCha20(seed.expose(), bytes(16)), mode=None).encryptor()

    def mark(self, chunk: Data) -> bytes:
        return Poly1305.generate_tag(self._keys.update(bytes(32)), chunk)


class _Authenticator:
    """Poly1305 over node id, body and their lengths, each padded to 16 bytes (RFC 8439 section 2.8)."""

    def __init__(self, key: bytes, tag: bytes, node_id: NodeId) -> None:
        self._poly1305 = Poly1305(key)
        self._tag = tag
        self._node_id = node_id
        self._length = 0
        self._poly1305.update(node_id + _padding(len(node_id)))

    def update(self, chunk: Data) -> None:
        self._length += len(chunk)
        check_size(self._length)
        self._poly1305.update(chunk)

    def verify(self, head: bytes) -> None:
        lengths = len(self._node_id).to_bytes(8, "little") + self._length.to_bytes(8, "little")
        self._poly1305.update(_padding(self._length) + lengths)
        try:
            self._poly1305.verify(self._tag)
        except InvalidSignature:
            raise _not_authentic(self._node_id, head) from None


def _padding(length: int) -> bytes:
    return bytes(-length % 16)


def _not_authentic(node_id: NodeId, head: bytes) -> errors.BackupError:
    # The key is not authenticated by itself, but a wrong one does not make a start that means something.
    if export_payload.recognise(head) in (export_payload.UNKNOWN, export_payload.EMPTY):
        return errors.BackupError(
            f"the backup does not open with the secret of node {node_id.hex()}: "
            "it is the backup of another node, or it is damaged or cut short",
            hint="try the secret of the node that was exported; if it is this one, download the backup again",
        )
    return errors.BackupError(
        f"the backup is of node {node_id.hex()}, but it is damaged or cut short: its tag does not match",
        hint="download it again",
    )


def _changed() -> errors.BackupError:
    return errors.BackupError(
        "the backup changed while it was read", hint="wait until it is downloaded completely, then try again"
    )

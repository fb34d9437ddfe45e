"""How an encrypted node export is opened."""

from __future__ import annotations

import base64

import pytest
from helpers import exports, vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import export
from signerd.core.keys.node import NodeKeys
from signerd.errors import BackupError, SecretError
from signerd.units import Secret

VECTORS = vectors.load("export")
SEED = Secret(bytes(32))

REFUSALS = {
    "version 0": "version 0 is not supported",
    "version 2": "version 2 is not supported",
    "version 255": "version 255 is not supported",
    "empty": "cut short: 0 bytes",
    "version byte only": "cut short: 1 bytes",
    "truncated in ephemeral key": "cut short: 20 bytes",
    "truncated in nonce": "cut short: 40 bytes",
    "truncated in tag": "cut short: 61 bytes",
    "header only (body cut off)": "does not open",
    "body truncated by one byte": "does not open",
    "one byte appended": "does not open",
    "bad tag": "does not open",
    "bad nonce": "does not open",
    "bad body": "does not open",
    "ephemeral key replaced by another valid key": "does not open",
    "ephemeral key parity flipped": "does not open",
    "invalid ephemeral key: all zero": "not a point on the curve",
    "invalid ephemeral key: prefix 05": "not a point on the curve",
    "invalid ephemeral key: not on curve": "not a point on the curve",
    "aad is not the node id": "does not open",
    "wrong seed": "does not open",
    # The reference reads these two as a private key first; to us they are the secrets of two other nodes.
    "seed of zero bytes value": "does not open",
    "seed above curve order": "does not open",
}
NO_SECRETS = {"seed too short", "seed too long", "seed empty"}


def decoded(case, field):
    if case.get("encoding") == "base64":
        return base64.b64decode(case[field])
    return bytes.fromhex(case[field])


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def one_pass(file, keys, chunk=1000):
    header = export.parse_header(file[: export.HEADER_SIZE])
    decryptor = export.Decryptor(header, export.agree(header, keys), keys.node_id)
    plaintext = b"".join(decryptor.update(part) for part in cut(file[export.HEADER_SIZE :], chunk))
    return plaintext, decryptor.finish()


def verified(file, keys, chunk=1000):
    header = export.parse_header(file[: export.HEADER_SIZE])
    verifier = export.Verifier(header, export.agree(header, keys), keys.node_id, seed=SEED)
    for part in cut(file[export.HEADER_SIZE :], chunk):
        verifier.update(part)
    return verifier.finish()


def two_passes(file, keys, chunk=1000):
    body = verified(file, keys, chunk)
    plaintext = b"".join(body.update(part) for part in cut(file[export.HEADER_SIZE :], chunk))
    return plaintext, body.finish()


both_ways = pytest.mark.parametrize("decrypt", [one_pass, two_passes])


@both_ways
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: f"{c['seed'][:8]}-{c['size']}")
def test_opens_what_the_reference_opens(case, decrypt):
    keys = NodeKeys.derive(Secret(bytes.fromhex(case["seed"])))
    file = decoded(case, "encrypted")
    assert keys.node_id.hex() == case["node_id"]
    assert export.agree(export.parse_header(file), keys) == Secret(bytes.fromhex(case["key"]))
    assert decrypt(file, keys)[0] == decoded(case, "plain")


@both_ways
@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda c: c["what"])
def test_refuses_what_the_reference_refuses(case, decrypt):
    seed = Secret(bytes.fromhex(case["seed"]))
    if case["what"] in NO_SECRETS:
        with pytest.raises(SecretError):
            NodeKeys.derive(seed)
        return
    with pytest.raises(BackupError, match=REFUSALS[case["what"]]) as caught:
        decrypt(bytes.fromhex(case["encrypted"]), NodeKeys.derive(seed))
    assert caught.value.hint


def test_every_refused_vector_has_its_reason():
    assert {case["what"] for case in VECTORS["refused"]} == REFUSALS.keys() | NO_SECRETS


@given(plaintext=st.binary(max_size=300), chunk=st.integers(min_value=1, max_value=100))
def test_any_chunking_gives_what_was_encrypted(plaintext, chunk):
    file = exports.encrypt(plaintext)
    assert one_pass(file, exports.KEYS, chunk)[0] == plaintext
    assert two_passes(file, exports.KEYS, chunk)[0] == plaintext


@given(data=st.data(), decrypt=st.sampled_from([one_pass, two_passes]))
def test_any_flipped_bit_is_noticed(data, decrypt):
    file = bytearray(exports.encrypt(b"some plaintext, longer than one block"))
    bit = data.draw(st.integers(min_value=0, max_value=len(file) * 8 - 1))
    file[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BackupError):
        decrypt(bytes(file), exports.KEYS)


@both_ways
def test_names_the_node_of_the_secret_when_it_does_not_fit(decrypt):
    other = NodeKeys.derive(Secret(exports.OTHER_SECRET))
    with pytest.raises(BackupError, match=f"does not open with the secret of node {other.node_id.hex()}"):
        decrypt(exports.encrypt(exports.DUMP), other)


@both_ways
def test_tells_a_damaged_backup_from_a_wrong_secret_when_its_start_makes_sense(decrypt):
    file = exports.encrypt(exports.DUMP)
    with pytest.raises(BackupError, match=f"is of node {exports.KEYS.node_id.hex()}, but it is damaged"):
        decrypt(file[:-1], exports.KEYS)


def test_says_what_an_unencrypted_file_is():
    with pytest.raises(BackupError, match="version 80 is not supported") as caught:
        export.parse_header(exports.DUMP)
    assert caught.value.hint == "this is no encrypted export: it is a PostgreSQL archive, as pg_dump makes it"


@both_ways
def test_recognises_the_payload_of_small_chunks(decrypt):
    assert decrypt(exports.encrypt(exports.DUMP), exports.KEYS, 7)[1].kind == "postgresql-archive"


FILE = exports.encrypt(exports.DUMP)
CHUNKS = cut(FILE[export.HEADER_SIZE :], 1000)


@pytest.mark.parametrize(
    ("replayed", "released"),
    [
        ([CHUNKS[0], CHUNKS[1][:-1] + b"\x00", *CHUNKS[2:]], 1),
        ([CHUNKS[1], CHUNKS[0], *CHUNKS[2:]], 0),
        ([*CHUNKS[:-1], CHUNKS[-1][:-1]], len(CHUNKS) - 1),
        ([*CHUNKS, b"more"], len(CHUNKS)),
        (CHUNKS[:-1], len(CHUNKS) - 1),
    ],
    ids=["changed", "swapped", "cut", "longer", "missing"],
)
def test_the_second_pass_releases_only_what_the_first_has_verified(replayed, released):
    body = verified(FILE, exports.KEYS)
    out = []
    with pytest.raises(BackupError, match="changed while it was read"):  # noqa: PT012 - both may raise
        for chunk in replayed:
            out.append(body.update(chunk))  # noqa: PERF401 - what came before the error counts
        body.finish()
    assert b"".join(out) == exports.DUMP[: released * 1000]


def test_refuses_a_body_that_the_block_counter_cannot_reach():
    export.check_size(export.MAX_BODY)
    with pytest.raises(BackupError, match="larger than 256 GiB"):
        export.check_size(export.MAX_BODY + 1)


@pytest.mark.parametrize("kind", ["Decryptor", "Verifier"])
def test_refuses_to_go_on_past_the_block_counter(kind):
    header = export.parse_header(FILE)
    key = export.agree(header, exports.KEYS)
    options = {"seed": SEED} if kind == "Verifier" else {}
    cipher = getattr(export, kind)(header, key, exports.KEYS.node_id, **options)
    cipher._authenticator._length = export.MAX_BODY - 1
    cipher.update(b"x")
    with pytest.raises(BackupError, match="larger than 256 GiB"):
        cipher.update(b"x")

"""Entries that are known are left out of a request, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from signerd.greenlight import known_entries
from signerd.greenlight.known_entries import OVERHEAD_BYTES, KnownEntries
from signerd.greenlight.pb import greenlight_pb2 as pb

MANY = 10**9
KEYS = [f"channels/{number:0148x}" for number in range(200)] + ["nodes/0", "trackers/0", ""]


def entry(key: str = "nodes/0", version: int = 1, value: bytes = b"{}") -> pb.SignerStateEntry:
    return pb.SignerStateEntry(key=key, version=version, value=value)


def request(*entries: pb.SignerStateEntry) -> bytes:
    context = pb.HsmRequestContext(node_id=bytes(33), dbid=1)
    pending = [pb.PendingRequest(uri="/cln.Node/Pay", request=b"\x22\x00")]
    message = pb.HsmRequest(
        request_id=7, raw=b"\x22\x00\x22", context=context, signer_state=entries, requests=pending
    )
    return message.SerializeToString()


def left(known: KnownEntries, *entries: pb.SignerStateEntry) -> list[pb.SignerStateEntry]:
    """What is left of a request with these; all but them must be as it was."""
    rest = known.left_out(request(*entries), MANY)
    assert rest is not None
    message = pb.HsmRequest.FromString(rest)
    remaining = list(message.signer_state)
    assert request(*remaining) == rest
    return remaining


def knowing(*entries: pb.SignerStateEntry) -> KnownEntries:
    known = KnownEntries()
    known.remember(entries)
    return known


entries = st.builds(
    entry, st.sampled_from(KEYS), st.sampled_from([0, 1, 300, 2**64 - 1]), st.binary(max_size=9)
)


@given(st.lists(entries, max_size=30), st.lists(entries, max_size=30))
def test_exactly_what_was_remembered_last_is_left_out(remembered, sent):
    last = {item.key: item for item in remembered}
    assert left(knowing(*remembered), *sent) == [item for item in sent if last.get(item.key) != item]


@given(st.lists(st.tuples(st.lists(entries, max_size=12), st.lists(entries, max_size=12)), max_size=6))
def test_runs_of_entries_make_no_difference(runs_of_any_length, steps):
    """However short they are, and whatever is put into them and taken out of them again."""
    known, last = KnownEntries(), {}
    for remembered, sent in steps:
        known.remember(remembered)
        for item in remembered:
            last.pop(item.key, None)
            last[item.key] = item
        for order in (sent, [*last.values()], [*reversed(last.values())]):
            assert left(known, *order) == [item for item in order if last.get(item.key) != item]
        assert_consistent(known, len(last))


def assert_consistent(known: KnownEntries, count: int) -> None:
    keys = [key for run in known._runs for key in run.places]
    assert {key: run for run in known._runs for key in run.places} == known._run_of
    assert len(keys) == len(known._run_of) == count
    size = sum(len(run.joined) for run in known._runs) + sum(map(len, keys))
    assert known._bytes == size + OVERHEAD_BYTES * count
    assert keys == list(known._run_of)
    for run in known._runs:
        assert run.joined.startswith(run.first)
        assert b"".join(run.pieces.values()) == run.joined
        assert len(run.places) == 1 or len(run.joined) <= known_entries._RUN_BYTES
        assert 1 <= len(run.places) <= known_entries._RUN_ENTRIES


@pytest.fixture(scope="module", params=[(1, 40), (3, 45), (32, 256 * 1024)], ids=["1", "3", "32"])
def runs_of_any_length(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_entries, "_RUN_ENTRIES", request.param[0])
        patch.setattr(known_entries, "_RUN_BYTES", request.param[1])
        yield


@given(st.permutations(KEYS))
def test_the_order_does_not_matter(keys):
    known = knowing(*map(entry, KEYS))
    assert left(known, *map(entry, keys)) == []
    # Now that order is known.
    assert left(known, *map(entry, keys)) == []


@pytest.mark.parametrize("moves", [True, False])
def test_one_change_after_the_other_is_seen(moves):
    """Nodes keep their entries in the order of change, or in that of the keys."""
    state = {key: entry(key) for key in KEYS}
    known = knowing(*state.values())
    for number, key in enumerate([KEYS[50], KEYS[51], KEYS[0], KEYS[-1], KEYS[50], *KEYS]):
        changed = entry(key, 2 + number)
        if moves:
            del state[key]
        state[key] = changed
        assert left(known, *state.values()) == [changed]
        known.remember([changed])
        assert left(known, *state.values()) == []


@pytest.mark.parametrize(
    "other", [entry(value=b"[]"), entry(version=2), entry(key="nodes/1"), entry(value=b"{} ")]
)
def test_a_difference_in_any_field_is_seen(other):
    assert left(knowing(entry()), other) == [other]
    assert left(knowing(entry()), entry(), other, entry()) == [other]


def test_a_signature_that_was_not_there_is_seen():
    signed = pb.SignerStateEntry(key="nodes/0", version=1, value=b"{}", signature=bytes(64))
    assert left(knowing(entry()), signed) == [signed]


def test_entries_that_are_known_count():
    known = knowing(entry())
    raw = request(entry(), entry(), entry())
    assert known.left_out(raw, 7) is not None
    assert known.left_out(raw, 6) is None


@pytest.mark.parametrize("field", [b"\x22\x00", b"\x78\x01", b"\x7d\x00\x00\x00\x00"])
def test_stops_at_the_limit(field):
    """Also where fields are unknown: each would be kept."""
    assert KnownEntries().left_out(field * 1_000_000, 1000) is None
    assert KnownEntries().left_out(field * 1000, 1000) == field * 1000


@pytest.mark.parametrize("group", [b"\x7b\x7c", b"\x0b"])
def test_nothing_hides_behind_a_group(group):
    assert KnownEntries().left_out(group + b"\x22\x00" * 1001, 1000) is None


def test_a_key_ends_with_its_entry():
    """Each of these claims all that follows as its key."""
    lying = b"\x22\x06\x12\xff\xff\xff\xff\x07"
    raw = lying * 10_000 + b"\x1a\x80\x80\x80\x10" + bytes(2**25)
    known = KnownEntries()
    assert known.left_out(raw, MANY) == raw
    assert _longest_key_seen(known, lying) == 6


def _longest_key_seen(known: KnownEntries, raw: bytes) -> int:
    """How long the keys are that are looked up in it."""
    asked: list[bytes] = []

    class Asked(dict[bytes, Any]):
        def get(self, key: bytes, default: Any = None) -> Any:
            asked.append(key)
            return super().get(key, default)

    known._run_of = Asked()
    known.left_out(raw * 3, MANY)
    return max(map(len, asked))


def test_a_message_over_the_limit_is_not_looked_at_any_further():
    """Each of these fields would take as long as an entry, and a message can have millions."""
    known = knowing(*map(entry, KEYS))
    raw = request(*map(entry, reversed(KEYS)))
    order = list(known._run_of)
    assert known.left_out(raw + b"\x22\x00" * 1000, 500) is None
    assert list(known._run_of) == order
    assert known.left_out(raw, 500) is not None
    assert list(known._run_of) == order[::-1]


def test_a_long_entry_does_not_make_short_ones_expensive():
    """Were the long one copied for each of them, this would take minutes."""
    long = entry(value=bytes(2**25))
    known, short = knowing(long, entry("nodes/1")), [entry(version=2), entry(version=3)] * 20_000
    assert left(known, *short) == short
    assert left(known, *short, long) == short


@given(st.binary(max_size=100))
def test_what_is_no_protobuf_stays_as_it_is_or_is_none(raw):
    assert KnownEntries().left_out(raw, MANY) in (raw, None)


def test_what_is_cut_short_is_not_mended():
    known, raw = knowing(entry()), request(entry(), entry("nodes/1"))
    for end in range(len(raw)):
        rest = known.left_out(raw[:end], MANY)
        assert rest is not None
        try:
            pb.HsmRequest.FromString(raw[:end])
        except DecodeError:
            with pytest.raises(DecodeError):
                pb.HsmRequest.FromString(rest)


def test_memory_is_bounded():
    known = KnownEntries(most_bytes=2500)
    for key in KEYS[:100]:
        known.remember([entry(key, value=bytes(50))])
    kept = [not left(known, entry(key, value=bytes(50))) for key in KEYS[:100]]
    assert kept == [False] * 96 + [True] * 4

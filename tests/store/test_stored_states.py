"""States of channels in memory: as many as there is room for, and always the newest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signerd.store.stored_states import OVERHEAD_BYTES, StoredStates

ROOM = 3 * (OVERHEAD_BYTES + 10)


def test_what_was_used_longest_ago_goes_first():
    stored = StoredStates(ROOM)
    for key in (b"a", b"b", b"c"):
        stored.put(key, bytes(10))
    assert stored.get(b"a") == bytes(10)
    stored.put(b"d", bytes(10))
    assert [stored.get(key) is None for key in (b"a", b"b", b"c", b"d")] == [False, True, False, False]


def test_what_has_no_room_at_all_is_not_kept():
    stored = StoredStates(ROOM)
    stored.put(b"a", bytes(10))
    stored.put(b"a", bytes(ROOM))
    assert stored.get(b"a") is None


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.binary(max_size=300))))
def test_what_is_kept_is_what_was_put_there_last_and_fits(steps):
    stored, disk = StoredStates(ROOM), {}
    for key, state in steps:
        if state is None:
            stored.drop(key)
            disk.pop(key, None)
        else:
            stored.put(key, state)
            disk[key] = state
        assert all(stored.get(other) in (None, disk.get(other)) for other in (b"a", b"b", b"c", b"d"))
        kept = sum(len(state) + OVERHEAD_BYTES for state in stored._states.values())
        assert kept == stored._bytes <= ROOM
        if state is not None and len(state) <= ROOM - OVERHEAD_BYTES:
            assert stored.get(key) == state

"""The merge of signer state: each row of its table, and that no order of arrival matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.dev.ledger import Entry
from signerd.dev.node_state import TOMBSTONE, BadEntry, NodeState

SIGNED = bytes([1]) * 64


def state_of(*entries: Entry) -> NodeState:
    return NodeState(entries, lambda _: None)


def live(version: int, value: bytes = b"1", signature: bytes = b"") -> Entry:
    return Entry("k", version, value, signature)


def deleted(signature: bytes = b"") -> Entry:
    return Entry("k", TOMBSTONE, b"null", signature)


@pytest.mark.parametrize(
    ("present", "incoming", "result", "conflicts"),
    [
        (None, live(7), live(7), 0),
        (None, Entry("k", TOMBSTONE, b"7", b""), deleted(), 0),
        (deleted(), deleted(SIGNED), deleted(), 0),
        (live(3), deleted(SIGNED), deleted(SIGNED), 0),
        (deleted(), live(9), deleted(), 1),
        (live(3, b'{"a":1}'), live(3, b'{ "a": 1 }', SIGNED), live(3, b'{"a":1}', SIGNED), 0),
        (live(3, b"1"), live(3, b"2", SIGNED), live(3, b"1"), 0),
        (live(3), live(2, b"2"), live(3), 1),
        (live(3), live(4, b"2", SIGNED), live(4, b"2", SIGNED), 0),
    ],
    ids=[
        "absent", "absent, deleted", "deleted twice", "deleted", "live after deletion",
        "another signature", "another value", "older", "newer",
    ],
)  # fmt: skip
def test_merges_by_version(present: Entry | None, incoming: Entry, result: Entry, conflicts: int) -> None:
    state = state_of(*([present] if present else []))
    state.merge([incoming])
    assert (result, conflicts) == (state.get("k"), state.conflicts)


def test_saves_what_changed_and_nothing_else() -> None:
    saved: list[list[Entry]] = []
    state = NodeState([Entry("a", 1, b"1", b"")], saved.append)
    assert [] == state.merge([Entry("a", 1, b"1", b"")])
    assert [] == saved
    state.merge([Entry("a", 0, b"1", b""), Entry("b", 0, b"1", b"")])
    assert [[Entry("b", 0, b"1", b"")]] == saved


@pytest.mark.parametrize(
    "bad",
    [Entry("", 0, b"1", b""), Entry("b", 0, b"", b""), Entry("b", 0, b"{", b""), Entry("b", 0, b"1", b"x")],
    ids=["no key", "no value", "half a value", "short signature"],
)
def test_takes_nothing_of_a_message_with_a_bad_entry(bad: Entry) -> None:
    state = state_of()
    with pytest.raises(BadEntry):
        state.merge([Entry("a", 0, b"1", b""), bad])
    assert [] == state.live()


ENTRIES = st.lists(
    st.builds(
        lambda key, version: Entry(
            key, version, b"null" if version == TOMBSTONE else str(version).encode(), b""
        ),
        st.sampled_from("abc"),
        st.sampled_from([0, 1, 2, 2**63, TOMBSTONE - 1, TOMBSTONE]),
    ),
    max_size=12,
)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(entries: list[Entry], random: object) -> None:
    one, other = state_of(), state_of()
    one.merge(entries)
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for entry in shuffled:
        other.merge([entry])
    assert [one.get(key) for key in "abc"] == [other.get(key) for key in "abc"]


@given(ENTRIES, ENTRIES)
def test_what_is_new_since_a_mark_is_what_was_merged_after_it(
    before: list[Entry], after: list[Entry]
) -> None:
    state = state_of()
    state.merge(before)
    mark = state.mark
    taken = state.merge(after)
    assert sorted(taken, key=lambda e: e.key) == sorted(state.since(mark), key=lambda e: e.key)
    assert [] == state.since(state.mark)

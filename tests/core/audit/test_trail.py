"""Numbers without a gap, whatever is written when; and floods that are counted, none of them lost."""

from __future__ import annotations

from collections import Counter

from helpers.audit import CHANNEL, answered, refused
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.audit import trail
from signerd.core.audit.record import Decision, Record
from signerd.core.audit.trail import Trail
from signerd.core.state.book import ChannelId

ECDH = {"message": "ecdh_req", "facts": {}}


class Disk:
    """What a store would have."""

    def __init__(self) -> None:
        self.trail = Trail(0)
        self.records: list[Record] = []

    def write(self, records: tuple[Record, ...]) -> None:
        self.records += records
        self.trail.written(records)

    def flush(self) -> None:
        self.trail.close_counts()
        self.write(self.trail.pending)

    def refuse(self, decision: Decision) -> None:
        if self.trail.refused_too_often(decision) is None:
            self.write(self.trail.with_more(decision))

    @property
    def counted(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for record in self.records:
            total[record.decision.outcome] += record.decision.count
        return total


def test_a_durable_decision_is_written_after_what_was_decided_before_it():
    disk = Disk()
    assert disk.trail.add(answered(1, **ECDH)).number == 1
    disk.write(disk.trail.with_more(answered(2)))

    assert [(r.number, r.decision.request_id) for r in disk.records] == [(1, 1), (2, 2)]
    assert disk.trail.idle


def test_a_write_that_fails_gives_no_number_away():
    disk = Disk()
    disk.trail.add(answered(1, **ECDH))
    assert disk.trail.with_more(answered(2))[-1].number == 2
    assert disk.trail.with_more(answered(3))[-1].number == 2
    assert disk.trail.last == 1
    assert [r.number for r in disk.trail.pending] == [1]


def test_a_refusal_that_cannot_be_written_is_not_taken_for_one_that_was():
    disk = Disk()
    for _ in range(100):
        assert disk.trail.refused_too_often(refused(5)) is None
        disk.trail.with_more(refused(5))
    assert disk.trail.idle
    disk.refuse(refused(5))
    assert len(disk.records) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["durable", "routine", "refuse", "flush", "fail"]),
        st.integers(0, 3),
        st.integers(-5, 40),
    ),
    max_size=200,
)


@given(STEPS)
def test_nothing_is_lost_and_no_number_is_left_out_in_any_order(steps):
    disk, asked, time = Disk(), Counter(), 0
    for step, dbid, passed in steps:
        time += passed
        channel = ChannelId(b"\x02" * 33, dbid)
        if step == "durable":
            disk.write(disk.trail.with_more(answered(time, channel=channel)))
        elif step == "routine":
            disk.trail.add(answered(time, channel=channel, **ECDH))
        elif step == "refuse":
            disk.refuse(refused(time, channel=channel))
        elif step == "fail":
            disk.trail.with_more(answered(time))
        else:
            disk.flush()
        asked["answered"] += step in {"durable", "routine"}
        asked["refused"] += step == "refuse"
    disk.flush()

    assert [r.number for r in disk.records] == list(range(1, len(disk.records) + 1))
    assert disk.counted == +asked


def test_a_flood_of_one_refusal_is_counted_after_the_first_few():
    disk = Disk()
    for _ in range(10_000):
        disk.refuse(refused(5, channel=CHANNEL))
    assert len(disk.records) == trail.ALIKE
    disk.flush()

    last = disk.records[-1].decision
    assert (last.count, last.rule, last.channel) == (10_000 - trail.ALIKE, "sweep-fee-range", CHANNEL)
    assert (last.facts, last.request_digest) == ({}, None)


def test_a_flood_that_makes_up_channels_is_counted_too():
    disk = Disk()
    for dbid in range(5_000):
        disk.refuse(refused(5, channel=ChannelId(b"\x02" * 33, dbid)))
    assert len(disk.records) == trail.REFUSED
    disk.flush()

    assert len(disk.records) == trail.REFUSED + 1
    assert disk.records[-1].decision.channel is None
    assert disk.counted["refused"] == 5_000


def test_a_flood_of_different_messages_has_a_bounded_number_of_counts():
    disk = Disk()
    for number in range(3_000):
        disk.refuse(refused(5, "unsupported-message", message=f"type_{number}"))
    disk.flush()

    assert len(disk.records) == trail.REFUSED + trail.MOST_COUNTS + 1
    assert disk.records[-1].decision.message == "various"
    assert disk.counted["refused"] == 3_000


def test_the_next_minute_has_records_of_its_own_again_and_so_has_a_clock_that_was_set_back():
    for later in (trail.WINDOW_SECONDS, -10):
        disk = Disk()
        for _ in range(100):
            disk.refuse(refused(5))
        disk.refuse(refused(5 + later))
        assert len(disk.records) == trail.ALIKE + 1


def test_a_quick_node_has_its_routine_counted_and_its_signatures_recorded_each():
    disk = Disk()
    for number in range(5_000):
        disk.trail.add(answered(5, **ECDH))
        if number % 10 == 0:
            disk.write(disk.trail.with_more(answered(5)))
    disk.flush()

    assert sum(r.decision.message == "sign_withdrawal" for r in disk.records) == 500
    assert len(disk.records) == 500 + trail.ALIKE + 1
    assert disk.counted["answered"] == 5_500

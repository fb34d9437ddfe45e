"""The page of metrics is what Prometheus' own client reads back as the same numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from signerd.observe.exposition import Family, Histogram, render

COUNTER = Family("some_total", "counter", 'Says "so" \\ and\nso.', ("a", "b"))
HISTOGRAM = Family("some_seconds", "histogram", "How long.", ("a",))


def read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@given(
    st.dictionaries(
        st.tuples(st.text(max_size=10), st.text(max_size=10)),
        st.floats(allow_nan=False) | st.integers(0, 2**53),
        max_size=5,
    )
)
def test_whatever_the_labels_and_numbers_they_are_read_back(samples):
    found = read(render([(COUNTER, samples)])).get("some_total", [])

    assert {(labels["a"], labels["b"]): value for labels, value in found} == samples


def test_a_histogram_counts_up_to_each_bound():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.add(value)

    found = read(render([(HISTOGRAM, {("x",): histogram})]))

    assert found["some_seconds_bucket"] == [
        ({"a": "x", "le": "0.1"}, 2),
        ({"a": "x", "le": "1"}, 3),
        ({"a": "x", "le": "+Inf"}, 4),
    ]
    assert found["some_seconds_count"] == [({"a": "x"}, 4)]
    ((_, total),) = found["some_seconds_sum"]
    assert math.isclose(total, 7.65)


def test_a_family_without_samples_is_announced():
    assert render([(HISTOGRAM, {})]) == ("# HELP some_seconds How long.\n# TYPE some_seconds histogram\n")


def test_help_is_escaped():
    assert '# HELP some_total Says "so" \\\\ and\\nso.\n' in render([(COUNTER, {})])

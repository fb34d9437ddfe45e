"""What an event can hold: text and numbers, so that nothing secret is told by accident."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from signerd.observe.event import Event
from signerd.units import Secret


def event_with(annotation: object) -> type[Event]:
    """A class of event with one field of this type."""
    return type("Made", (Event,), {"__annotations__": {"field": annotation}})


@pytest.mark.parametrize(
    "annotation",
    ["str", "int", "float", "bool", "str | None", "int | None", "UnixTime", "tuple[str, ...]",
     'Literal["a", "b"]', "ClassVar[Level]"],
)  # fmt: skip
def test_a_field_may_hold_text_and_numbers(annotation):
    event_with(annotation)


@pytest.mark.parametrize(
    "annotation",
    ["Secret", "bytes", "bytes | None", "str | bytes", "object", "Any", "list[bytes]", "tuple[bytes, ...]",
     "NodeKeys", "dict[str, str]", Secret, bytes],
)  # fmt: skip
def test_no_event_can_be_made_with_a_field_for_what_could_be_secret(annotation):
    with pytest.raises(TypeError, match="an event cannot tell a"):
        event_with(annotation)


def test_the_check_is_done_for_every_class():
    with pytest.raises(TypeError, match="key: an event cannot tell a Secret"):

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Leak(Event):
            NAME = "leak"
            key: Secret

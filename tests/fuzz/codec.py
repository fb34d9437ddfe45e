"""Target: any bytes, read as an hsmd message. Input: the message, type first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from helpers import vectors

from fuzz import landmarks
from signerd.core.wire import codec
from signerd.errors import MalformedMessage


def check(data: bytes) -> None:
    """What is no message is malformed, and nothing else; what is one is written back to the same bytes."""
    try:
        message = codec.decode(data)
    except MalformedMessage as problem:
        landmarks.reach(re.sub(r"\d+", "#", ":".join(problem.message.split(":")[:2])))
        return
    landmarks.reach(type(message))
    written = codec.encode(message)
    assert written == data, f"{type(message).__name__} is written back as {written.hex()}"
    assert codec.decode(written) == message


def seeds() -> Iterator[bytes]:
    """Everything that was recorded, requests and replies: to be reduced to what covers the same."""
    for script in vectors.load("hsm")["cases"]:
        for step in script["steps"]:
            yield bytes.fromhex(step["raw"])
            yield bytes.fromhex(step.get("reply") or "")
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]:
        for node in run["nodes"]:
            for step in node["steps"]:
                yield bytes.fromhex(step["raw"])
                yield bytes.fromhex(step.get("reply") or "")

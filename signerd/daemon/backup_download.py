"""Fetch the backup until it is whole: attempt after attempt, with pauses, and a new link when one is dead."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import tenacity

from signerd.core import http_range
from signerd.errors import Unavailable
from signerd.greenlight import download
from signerd.store.partial_download import PartialDownload

ATTEMPTS = 10
"""In a row, without a byte more, before we give up."""


class Progress(Protocol):
    """Who is shown how far it is."""

    def restart(self, step: str, *, done: int, total: int) -> None:
        """From now on `step` has `done` of `total` bytes."""

    def advance(self, step: str, count: int) -> None:
        """So many bytes more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds. `stall_seconds` is for the next 64 KiB, and for each step before."""

    max_bytes: int
    stall_seconds: float
    first_pause_seconds: float
    max_pause_seconds: float


class BackupDownload:
    """One download. `new_link` asks the scheduler once more; `tell` says to people what happens."""

    def __init__(
        self,
        part: PartialDownload,
        link: str,
        new_link: Callable[[], str],
        tls: ssl.SSLContext,
        limits: Limits,
        *,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        self._part = part
        self._new_link = new_link
        self._tls = tls
        self._limits = limits
        self._progress = progress
        self._tell = tell
        self._link: download.Link | None = _parse(link)
        self._joins = True
        self._warned = False

    def run(self) -> None:
        """Raises Unavailable when it does not get on, what cannot be mended at once, and OutputError."""
        try:
            while not self._part.complete:
                self._with_patience()
        except Unavailable as error:
            kept = self._part.kept
            hint = f"run the same command again later: it goes on at byte {kept.size}"
            raise Unavailable(error.message, hint=hint, code=error.code) from error
        self._part.finish()

    def _with_patience(self) -> None:
        """Until there is progress."""
        limits = self._limits
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(limits.first_pause_seconds, limits.max_pause_seconds),
            retry=tenacity.retry_if_exception_type(Unavailable),
            before_sleep=lambda state: self._tell(f"{_reason(state)}; trying again"),
            reraise=True,
        )
        attempts(self._attempt)

    def _attempt(self) -> None:
        """One answer of the file host, to its end or to a cut behind which there is something new."""
        before = self._part.kept
        try:
            self._ask()
        except Unavailable as error:
            after = self._part.kept
            more = after.size > before.size and after.validator is not None
            if not more or (before.size and after.validator != before.validator):
                raise
            self._tell(f"{error.message}; going on at byte {after.size}")
            time.sleep(random.uniform(0, self._limits.first_pause_seconds))  # noqa: S311 - a pause, no secret

    def _ask(self) -> None:
        if self._link is None:
            self._link = _parse(self._new_link())
        limits = self._limits
        with download.get(self._link, self._tls, self._headers, seconds=limits.stall_seconds) as answer:
            meaning = http_range.understand(
                answer.status,
                answer.headers,
                kept=self._part.kept,
                resource=answer.resource,
                asked=answer.asked_for_rest,
                max_bytes=limits.max_bytes,
            )
            if isinstance(meaning, http_range.Body):
                self._receive(answer, meaning)
                return
        if isinstance(meaning, http_range.Expired):
            self._link = None
            raise Unavailable(
                f"the file host answered {meaning.status}: the link has expired, or is not there yet",
                code=str(meaning.status),
            )
        # Nothing of what is on disk is dropped before the host has begun to send all of it.
        self._tell(f"{meaning.why}; asking for all of it")
        self._joins = False

    def _warn_about_room(self, needed: int) -> None:
        free = self._part.free()
        if free < needed and not self._warned:
            self._warned = True
            self._tell(
                f"warning: {needed} bytes are needed, for the backup and its plaintext, and {free} are free; "
                "if the disk is full in the middle, make room and run the same command again"
            )

    def _headers(self, resource: str) -> dict[str, str]:
        return http_range.request_headers(self._part.kept, resource) if self._joins else {}

    def _receive(self, answer: download.Answer, body: http_range.Body) -> None:
        part = self._part
        buffer = memoryview(bytearray(download.CHUNK))
        position, end = body.start, body.start + body.length
        begun = False
        while position < end or not begun:
            count = answer.read_into(buffer, seconds=self._limits.stall_seconds)
            if not count and position < end:
                raise Unavailable("the connection was cut", code="UNAVAILABLE")
            if not begun:
                # Only now: a head that was cut off must not cost what is on disk.
                self._begin(answer.resource, body)
                begun = True
            known = max(0, min(body.keep - position, count))
            position += count
            part.append(buffer[known:count])
            self._progress.advance("downloading", count - known)

    def _begin(self, resource: str, body: http_range.Body) -> None:
        if self._part.kept.size > body.keep:
            self._tell("the backup at the host is another one than before; beginning anew")
        self._part.begin(resource, body.validator, total=body.total, keep=body.keep)
        self._progress.restart("downloading", done=body.keep, total=body.total)
        self._warn_about_room(body.total - body.keep + body.total)


def _parse(link: str) -> download.Link:
    return download.parse(link, source="the scheduler")


def _reason(state: tenacity.RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return getattr(error, "message", "it failed")

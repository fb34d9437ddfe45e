"""One more thread, for what the C library does without the interpreter's lock. What it makes are values."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")


def begin(work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Future[Made] | None:
    """Work that is under way from now on, or waits for what is; None if there is no thread to be had.

    With None it may still be done at some time: what it works on must not be used by anybody else.
    """
    try:
        return _thread().submit(work, *args, **kwargs)
    except RuntimeError:
        # The line has it all the same, and is left behind with it.
        _thread.cache_clear()
        return None


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="helper")

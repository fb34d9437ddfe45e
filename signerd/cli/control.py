"""What the commands that ask a running signer share: where its socket is, and how calls are made."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from signerd.config import Settings

T = TypeVar("T")

OF_THE_SERVICE = Path("/run/signerd/signerd.sock")
"""Where the system's service has it: its variables are not those of an operator's shell."""


def socket_path(common: dict[str, Any], settings: Settings | None = None) -> Path:
    """The socket that is meant: the one that is named, else where this user's signer has it by default.

    Where none is named and none is there, the system service's, if that is there.
    """
    named = common.get("control_socket") or os.environ.get("SIGNERD_CONTROL_SOCKET")
    if named and settings is None:
        # Nothing else of the configuration matters, and reading it takes longer than the answer.
        return Path(named).absolute()
    if settings is None:
        from signerd.cli import options

        settings = options.settings(common)
    usual = settings.control_socket
    is_named = named or settings.config.control.socket
    elsewhere = not is_named and not _is_there(usual) and _is_there(OF_THE_SERVICE)
    return OF_THE_SERVICE if elsewhere else usual


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except PermissionError:
        return True  # whose it is, the connection says
    except OSError:
        return False
    return True


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part; the C core's own log lines stay out of the terminal."""
    import asyncio

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return asyncio.run(work)

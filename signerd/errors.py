"""Everything signerd raises on purpose, drawn as a tree; each branch is what the caller does next.

SignerdError
├── UsageError           type the command differently                          exit 64
├── InputMissing         the file is not there                                 exit 66
├── ConfigError          fix the configuration                                 exit 78
├── SecretError          fix the secret file or its permissions                exit 65
│   ├── Sealed           say where its passphrase comes from                   exit 79
│   └── WrongPassphrase  give the right one; this one was tried once           exit 80
├── CredentialsError     register or recover again                             exit 77
├── BackupError          this export cannot be opened                          exit 65
├── AuditBroken          the records of decisions are not as they were written  exit 65
├── MalformedMessage     the other side sent bytes we cannot read              exit 65
├── Refused              we understood, and we will not (carries a rule)       exit 77
├── OutputError          a file could not be written; nothing was lost         exit 73 or 74
├── StateError           the store cannot be used now                          exit 74
│   ├── StateDamaged     no disk explains it: its bytes are wrong              exit 74
│   └── StateLost        it is gone, an older copy or another node's           exit 65
├── AlreadyRunning       another signerd owns this data directory or address   exit 75
├── MemoryShort          make room, then try again                             exit 75
├── Interrupted          the user said no, or pressed Ctrl-C                   exit 130
└── RemoteError          the other side of a connection
    ├── Unavailable      try again later                                       exit 69
    ├── Rejected         trying again will not help                            exit 76
    │   ├── AlreadyExists
    │   └── NotFound
    ├── AccessDenied     our credentials are refused                           exit 77
    └── ProtocolViolation  it answered something that no honest peer answers   exit 76

Exit codes to 78 are those of sysexits.h, 79 and 80 are our own; they are a promise to scripts and to systemd.
"""

from __future__ import annotations

import enum
from typing import TypeVar


class ExitCode(enum.IntEnum):
    """sysexits.h, the part that signerd uses, and two more. Printed by `signerd --help`, documented."""

    OK = 0
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_CREATE = 73
    IO = 74
    TRY_LATER = 75
    PROTOCOL = 76
    NO_PERMISSION = 77
    CONFIG = 78
    SEALED = 79
    WRONG_PASSPHRASE = 80
    INTERRUPTED = 130


class SignerdError(Exception):
    """Base of the tree. `message` says what happened to what; `hint` says what to do next."""

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SignerdError):
    exit_code = ExitCode.USAGE


class InputMissing(SignerdError):
    exit_code = ExitCode.NO_INPUT


class ConfigError(SignerdError):
    exit_code = ExitCode.CONFIG


class SecretError(SignerdError):
    exit_code = ExitCode.DATA


class Sealed(SecretError):
    """The secret has a passphrase, and nothing says what it is."""

    exit_code = ExitCode.SEALED


class WrongPassphrase(SecretError):
    """It was tried, once. A damaged file looks the same."""

    exit_code = ExitCode.WRONG_PASSPHRASE


class CredentialsError(SignerdError):
    exit_code = ExitCode.NO_PERMISSION


class BackupError(SignerdError):
    exit_code = ExitCode.DATA


class AuditBroken(SignerdError):
    exit_code = ExitCode.DATA


class MalformedMessage(SignerdError):
    exit_code = ExitCode.DATA


class Refused(SignerdError):
    """A request that signerd understood and will not grant. `rule` is stable; programs match on it."""

    exit_code = ExitCode.NO_PERMISSION

    def __init__(self, rule: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class OutputError(SignerdError):
    """A file could not be created (73) or written to the end (74); what was there before is untouched."""

    exit_code = ExitCode.CANNOT_CREATE

    def __init__(self, message: str, *, hint: str | None = None, created: bool = False) -> None:
        super().__init__(message, hint=hint)
        if created:
            self.exit_code = ExitCode.IO


class StateError(SignerdError):
    exit_code = ExitCode.IO


class StateDamaged(StateError):
    """Neither room nor a better disk mends it."""


class StateLost(StateError):
    """Nothing that a restart mends: a person has to say what happened to the store."""

    exit_code = ExitCode.DATA


class AlreadyRunning(SignerdError):
    exit_code = ExitCode.TRY_LATER


class MemoryShort(SignerdError):
    """What a passphrase costs could not be had; nothing else was tried."""

    exit_code = ExitCode.TRY_LATER


class Interrupted(SignerdError):
    exit_code = ExitCode.INTERRUPTED


class RemoteError(SignerdError):
    """Something that the other side of a connection did. `code` is the gRPC status name, or None."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class Unavailable(RemoteError):
    exit_code = ExitCode.UNAVAILABLE


class Rejected(RemoteError):
    exit_code = ExitCode.PROTOCOL


class AlreadyExists(Rejected):
    pass


class NotFound(Rejected):
    pass


class AccessDenied(RemoteError):
    exit_code = ExitCode.NO_PERMISSION


class ProtocolViolation(RemoteError):
    exit_code = ExitCode.PROTOCOL


E = TypeVar("E", bound=SignerdError)


def first_error(group: BaseExceptionGroup[E]) -> E:
    """Of several that ended tasks together, the first: it is what happened, the others follow from it."""
    for error in group.exceptions:
        return first_error(error) if isinstance(error, BaseExceptionGroup) else error
    raise group

"""The keys of the configuration: each table a struct, each number with its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from signerd.core import versions
from signerd.tables import migration
from signerd.units import Derivation, Network

MIB = 1024 * 1024
DAY = 86_400
_INT32 = 2**31 - 1  # gRPC keeps sizes in one

MIGRATIONS: tuple[migration.Migration, ...] = ()
"""What became of the format: the n-th leads from `config_version` n to n + 1."""

InputFile = Annotated[str, msgspec.Meta(extra={"path": "input"})]
"""The path of a file that has to be there when it is used."""

OtherPath = Annotated[str, msgspec.Meta(extra={"path": "other"})]
"""The path of a file, a directory or a socket that signerd may make itself."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. Every field has its line in config.example.toml (a test compares them)."""


class SecretConfig(_Table, frozen=True):
    """[secret]"""

    file: OtherPath | None = None
    passphrase_file: InputFile | None = None
    passphrase_credential: str | None = None
    derivation: Derivation | None = None


class SchedulerConfig(_Table, frozen=True):
    """[scheduler]"""

    uri: str | None = None
    ca_file: InputFile | None = None
    nobody_cert_file: InputFile | None = None
    nobody_key_file: InputFile | None = None
    deadline_seconds: float = 30.0
    poll_seconds: float = 300.0
    keepalive_seconds: float = 330.0
    max_message_bytes: int = 4 * MIB
    compression: bool = False


class NodeConfig(_Table, frozen=True):
    """[node]"""

    version: str = versions.DEFAULT_VERSION
    max_message_bytes: int = 64 * MIB
    deadline_seconds: float = 30.0


class PairingAutoConfig(_Table, frozen=True):
    """[[pairing.auto]], as often as needed"""

    name: str
    restrictions: str
    daily_limit: int


class PairingConfig(_Table, frozen=True):
    """[pairing]"""

    policy: Literal["attested", "confirm", "deny"] = "attested"
    allow_widening: bool = False
    answer_refusals: bool = False
    max_age_seconds: int = 300
    max_ahead_seconds: int = 60
    auto: tuple[PairingAutoConfig, ...] = ()


class ExportConfig(_Table, frozen=True):
    """[export]"""

    max_bytes: int = 16 * 1024 * MIB
    stall_seconds: float = 60.0


class BackoffConfig(_Table, frozen=True):
    """[backoff]"""

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    stable_seconds: float = 60.0


class ControlConfig(_Table, frozen=True):
    """[control]"""

    socket: OtherPath | None = None


class AuditConfig(_Table, frozen=True):
    """[audit]"""

    keep_records: int = 500_000
    keep_days: int = 3650


class LogConfig(_Table, frozen=True):
    """[log]"""

    format: Literal["auto", "json", "text", "journal"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class MetricsConfig(_Table, frozen=True):
    """[metrics]"""

    listen: str | None = None


class Config(_Table, frozen=True):
    """The whole file."""

    config_version: int = migration.current_version(MIGRATIONS)
    network: Network = "bitcoin"
    data_dir: OtherPath | None = None
    secret: SecretConfig = SecretConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    node: NodeConfig = NodeConfig()
    pairing: PairingConfig = PairingConfig()
    export: ExportConfig = ExportConfig()
    backoff: BackoffConfig = BackoffConfig()
    control: ControlConfig = ControlConfig()
    audit: AuditConfig = AuditConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()


_MOMENT = (0.001, DAY)
LIMITS: Mapping[str, tuple[float, float]] = {
    "config_version": (1, _INT32),
    "scheduler.deadline_seconds": _MOMENT,
    "scheduler.poll_seconds": _MOMENT,
    "scheduler.keepalive_seconds": _MOMENT,
    "scheduler.max_message_bytes": (1, _INT32),
    "node.max_message_bytes": (1, _INT32),
    "node.deadline_seconds": _MOMENT,
    "pairing.max_age_seconds": (1, 366 * DAY),
    "pairing.max_ahead_seconds": (0, 366 * DAY),
    "backoff.first_seconds": _MOMENT,
    "backoff.max_seconds": _MOMENT,
    "backoff.stable_seconds": (0, DAY),
    "export.max_bytes": (1, 2**38),
    "export.stall_seconds": _MOMENT,
    "pairing.auto[].daily_limit": (1, 1000),
    "audit.keep_records": (1, 10**9),
    "audit.keep_days": (1, 36_600),
}
"""Least and most of every number in the file (a test finds one that is missing)."""

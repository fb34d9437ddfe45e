"""How much of everything one run measures."""

from __future__ import annotations

from dataclasses import dataclass

MEASURES = (
    "start",
    "schedule",
    "approvals",
    "ecdh",
    "memory",
    "signing",
    "growth",
    "trouble",
    "soak",
    "decrypt",
    "imports",
    "asking",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many `channels` a state holds, and how much is asked of it.

    `requests` of each simple kind; `commitments` are pairs of HTLCs and how often both sides get a new one.
    """

    channels: int
    requests: int
    commitments: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Counts, and times in seconds. Rounds take turns: signerd, gl-client, signerd, …"""

    starts: int
    rounds: int
    warm_up: int
    approvals: int
    ecdh_serial: int
    ecdh_queued: int
    outstanding: int
    sizes: tuple[Size, ...]
    started_with: int
    most_channels: int
    growth_requests: int
    share_rounds: int
    share_htlcs: int
    idle_seconds: float
    settle_seconds: float
    window_seconds: float
    peer_settle_seconds: float
    """The peer has no backoff: its first second is as its last."""
    soak_reconnects: int
    decrypt_bytes: int
    decrypt_small_bytes: int
    """The peer has its turns at the small one alone: it takes some 25 times the size in memory."""
    decrypt_turns: int


FULL = Plan(
    starts=15,
    rounds=7,
    warm_up=50,
    approvals=1000,
    ecdh_serial=1000,
    ecdh_queued=2000,
    outstanding=64,
    sizes=(
        Size(channels=0, requests=500),
        Size(channels=2, requests=300, commitments=((0, 100), (30, 50), (483, 10))),
        Size(channels=100, requests=100, commitments=((0, 50), (30, 30), (483, 5))),
        Size(channels=1000, requests=20, commitments=((0, 20), (30, 20), (483, 3))),
    ),
    started_with=1000,
    most_channels=10_000,
    growth_requests=1000,
    share_rounds=7,
    share_htlcs=483,
    idle_seconds=5,
    settle_seconds=10,
    window_seconds=20,
    peer_settle_seconds=10,
    soak_reconnects=10_000,
    decrypt_bytes=4 * 10**9,
    decrypt_small_bytes=10 * 10**6,
    decrypt_turns=5,
)

QUICK = Plan(
    starts=5,
    rounds=3,
    warm_up=50,
    approvals=300,
    ecdh_serial=300,
    ecdh_queued=600,
    outstanding=64,
    sizes=(
        Size(channels=0, requests=100),
        Size(channels=2, requests=100, commitments=((0, 20), (30, 20), (483, 3))),
        Size(channels=1000, requests=10, commitments=((0, 5), (30, 5), (483, 2))),
    ),
    started_with=1000,
    most_channels=2000,
    growth_requests=200,
    share_rounds=3,
    share_htlcs=483,
    idle_seconds=5,
    settle_seconds=10,
    window_seconds=10,
    peer_settle_seconds=2,
    soak_reconnects=1000,
    decrypt_bytes=256 * 10**6,
    decrypt_small_bytes=10 * 10**6,
    decrypt_turns=5,
)

"""The part of the benchmark that is about channels still runs; its figures mean nothing here."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from bench import growth, signing
from bench.plan import QUICK, Size
from bench.rig import Rig
from bench.table import Row

SMALL = dataclasses.replace(
    QUICK,
    sizes=(Size(channels=0, requests=1), Size(channels=2, requests=1, commitments=((0, 1), (2, 1)))),
    started_with=3,
    most_channels=4,
    growth_requests=growth.CHUNK,
    warm_up=1,
    idle_seconds=0,
    starts=1,
    share_rounds=1,
    share_htlcs=3,
)


async def measured(directory: Path) -> list[Row]:
    async with Rig.set_up(directory, None) as rig:
        return await signing.measure(rig, SMALL) + await growth.measure(rig, SMALL)


@pytest.mark.slow
def test_every_kind_of_request_is_measured(tmp_path):
    rows = asyncio.run(measured(tmp_path))
    assert len(rows) == len({row.measure for row in rows})
    positive = [row.measure for row in rows if row.signerd > 0]
    for name in (
        "0 channels: ecdh",
        "2 channels: get_per_commitment_point, no state sent",
        "2 channels: sign_remote_commitment_tx, 2 HTLCs",
        "2 channels: validate_commitment_tx, 0 HTLCs, p99",
        "ecdh, 4 channels : 1, p50",
        "process start to signer stream open, 3 channels : none",
        "sign_remote_htlc_tx in the core: libsecp256k1's share",
    ):
        assert name in positive

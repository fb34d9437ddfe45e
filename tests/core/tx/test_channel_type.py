"""Channel types: which commitments follow from which feature bits."""

from __future__ import annotations

import pytest

from signerd.core.tx.channel_type import CommitmentFormat, commitment_format
from signerd.errors import MalformedMessage


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("", CommitmentFormat.LEGACY),
        ("1000", CommitmentFormat.STATIC_REMOTEKEY),
        ("00001000", CommitmentFormat.STATIC_REMOTEKEY),
        ("101000", CommitmentFormat.ANCHORS),
        ("401000", CommitmentFormat.ANCHORS_ZERO_FEE_HTLC),
        ("501000", CommitmentFormat.ANCHORS_ZERO_FEE_HTLC),
        ("04400000401000", CommitmentFormat.ANCHORS_ZERO_FEE_HTLC),  # with scid_alias and zeroconf
        ("04400000001000", CommitmentFormat.STATIC_REMOTEKEY),
    ],
)
def test_reads_the_commitment_format(features, expected):
    assert commitment_format(bytes.fromhex(features)) is expected


@pytest.mark.parametrize("features", ["100000", "400000", "04400000400000"])
def test_refuses_anchors_without_static_remotekey(features):
    with pytest.raises(MalformedMessage, match="static_remotekey"):
        commitment_format(bytes.fromhex(features))


@pytest.mark.parametrize(
    ("chosen", "facts"),
    [
        (CommitmentFormat.LEGACY, (False, False, True)),
        (CommitmentFormat.STATIC_REMOTEKEY, (False, True, True)),
        (CommitmentFormat.ANCHORS, (True, True, True)),
        (CommitmentFormat.ANCHORS_ZERO_FEE_HTLC, (True, True, False)),
    ],
)
def test_says_what_a_format_means(chosen, facts):
    assert (chosen.anchors, chosen.static_remotekey, chosen.pays_htlc_fees) == facts

"""Rules of channels and their commitments."""

from __future__ import annotations

from signerd.core.explain.explanation import DIFFERS, LOSS, LOST, NODE, PEER, Explanation

RULES: dict[str, Explanation] = {
    "no-channel-context": Explanation(
        "the request is about a channel and does not say which",
        NODE,
    ),
    "channel-unknown": Explanation(
        "no such channel was made, or it was forgotten",
        LOST,
    ),
    "channel-foreign": Explanation(
        "the channel was made under another signer",
        "use the signer that the channel was made under, or have the peer close the channel",
    ),
    "state-too-many-channels": Explanation(
        "the node names absurdly many channels of another signer",
        NODE,
    ),
    "channels-too-many": Explanation(
        "absurdly many channels",
        NODE,
    ),
    "channel-setup-size": Explanation(
        "a shutdown script or channel type that is longer than any can be",
        PEER,
    ),
    "channel-not-set-up": Explanation(
        "the channel has no parameters yet",
        NODE,
    ),
    "funding-taken": Explanation(
        "another channel is in that output already",
        NODE,
    ),
    "channel-setup-changed": Explanation(
        "the channel has other parameters already",
        NODE,
    ),
    "channel-reused": Explanation(
        "the id was used for a channel that was forgotten: its secrets are known to the peer",
        NODE,
    ),
    "channel-closing": Explanation(
        "no new commitment after a mutual close is signed",
        "nothing: the channel is closing; wait for the close",
    ),
    "policy-channel-contest-delay-range-counterparty": Explanation(
        "the delay that we impose on the peer is out of range",
        "open the channel with a delay within the limits",
    ),
    "policy-channel-contest-delay-range-holder": Explanation(
        "the delay that the peer imposes on us is out of range",
        "open the channel with another peer, or have this one ask for a shorter delay",
    ),
    "policy-channel-safe-type": Explanation(
        "a channel type that lets the peer's HTLC signatures be misused",
        "open the channel with anchors, or with a peer that knows them",
    ),
    "policy-funding-max": Explanation(
        "a channel of nothing, or too big",
        "open a channel of another size",
    ),
    "policy-routing-balanced": Explanation(
        "more is pushed than the channel holds",
        "push no more than the channel holds",
    ),
    "policy-commitment": Explanation(
        "the transaction is not the one that the channel's terms make",
        DIFFERS,
    ),
    "policy-commitment-scripts": Explanation(
        "a witness script is missing or is another one",
        DIFFERS,
    ),
    "policy-commitment-fee-range": Explanation(
        "the commitment's feerate is out of range",
        "wait until fees are usual again; if the channel cannot go on, close it",
    ),
    "policy-commitment-first-no-htlcs": Explanation(
        "the first commitment has HTLCs",
        PEER,
    ),
    "policy-commitment-htlc-cltv-range": Explanation(
        "an HTLC expires at no block height",
        PEER,
    ),
    "policy-commitment-htlc-count-limit": Explanation(
        "too many HTLCs",
        "wait until payments in that channel are over",
    ),
    "policy-commitment-htlc-inflight-limit": Explanation(
        "more than 16,777,216 sat in HTLCs of one channel",
        "pay less at once, or over more channels",
    ),
    "policy-commitment-initial-funding-value": Explanation(
        "the first commitment does not divide the channel as agreed",
        PEER,
    ),
    "policy-commitment-outputs-trimmed": Explanation(
        "an output or an HTLC too small for the chain",
        PEER,
    ),
    "policy-commitment-previous-revoked": Explanation(
        "the peer's secret does not follow from, or contradicts, the earlier ones",
        PEER,
    ),
    "commitment-balance": Explanation(
        "our balance falls, no HTLC of ours explains it, and it is more than small losses may be",
        LOSS,
    ),
    "commitment-funding": Explanation(
        "the commitment spends another funding than the channel's",
        DIFFERS,
    ),
    "commitment-previous-revoked": Explanation(
        "the peer has not revoked the commitment before the last one",
        DIFFERS,
    ),
    "commitment-retry-same": Explanation(
        "a commitment with that number is known, with other contents",
        DIFFERS,
    ),
    "commitment-revoked": Explanation(
        "that commitment is revoked: with it the peer could take everything",
        DIFFERS,
    ),
    "commitment-skipped": Explanation(
        "a commitment ahead of its turn",
        DIFFERS,
    ),
    "policy-revoke-new-commitment-signed": Explanation(
        "the peer's signatures of our new commitment are missing or wrong",
        PEER,
    ),
    "revoke-not-validated": Explanation(
        "the commitment that replaces the revoked one is not validated",
        DIFFERS,
    ),
    "revoke-published": Explanation(
        "our commitment was signed for the chain: its secret stays ours",
        "nothing: wait for the close; the money comes home with it",
    ),
    "revocation-early": Explanation(
        "the peer's commitment that replaces the revoked one is not signed",
        DIFFERS,
    ),
    "revocation-secret": Explanation(
        "the secret is not that of the commitment",
        PEER,
    ),
    "revocation-sequence": Explanation(
        "the peer revokes out of turn",
        DIFFERS,
    ),
    "policy-optional-fail-fast": Explanation(
        "a per-commitment point that is not needed yet",
        NODE,
    ),
    "funding-key": Explanation(
        "the peer's funding key is another one than at the channel's setup",
        NODE,
    ),
    "htlc-unknown": Explanation(
        "the commitment has no such HTLC",
        DIFFERS,
    ),
    "policy-htlc-other": Explanation(
        "an HTLC transaction with something that no HTLC transaction has",
        NODE,
    ),
}

"""Rules of transactions: closes, splices, sweeps, and the wallet."""

from __future__ import annotations

from signerd.core.explain.explanation import DIFFERS, LOSS, NODE, PEER, Explanation

RULES: dict[str, Explanation] = {
    "psbt-sighash": Explanation(
        "the PSBT asks for a sighash type that we do not sign",
        NODE,
    ),
    "psbt-spent-output": Explanation(
        "the PSBT lies about what an input spends",
        NODE,
    ),
    "psbt-transaction": Explanation(
        "the PSBT holds another transaction than the message",
        NODE,
    ),
    "lease-unsupported": Explanation(
        "a commitment of a channel with leased liquidity",
        "have the channel closed: this signer does not serve leases",
    ),
    "policy-mutual-destination-allowlisted": Explanation(
        "our share of a mutual close would go to a script that is not ours",
        "close the channel to this node's own wallet: without an address of your own in the command",
    ),
    "policy-mutual-fee-range": Explanation(
        "the mutual close burns too much",
        "close again with another feerate; wait if fees are high",
    ),
    "policy-mutual-no-pending-htlcs": Explanation(
        "a mutual close with HTLCs pending",
        "wait until the payments in the channel are over, and close again",
    ),
    "policy-mutual-other": Explanation(
        "a mutual close before both sides have commitments, or of another form",
        NODE,
    ),
    "policy-mutual-value-matches-commitment": Explanation(
        "the mutual close gives the side that pays no fee more or less than the commitments do",
        PEER,
    ),
    "splice-balance": Explanation(
        "a splice would leave us less than we had and add, at once or in a later commitment",
        LOSS,
    ),
    "splice-funding": Explanation(
        (
            "the splice does not spend the funding in force, or carries the channel on in no "
            "output, or not as the channel was told"
        ),
        NODE,
    ),
    "splice-number": Explanation(
        "a splice's first commitment is not the one in force, or it is of a funding that was replaced",
        DIFFERS,
    ),
    "splices-too-many": Explanation(
        "a channel with 64 fundings after the one in force, or 1,024 in all",
        "close the channel and open a new one",
    ),
    "splice-unsupported": Explanation(
        "hosted nodes do not splice",
        "close the channel and open one of the size that you want",
    ),
    "policy-sweep-destination-allowlisted": Explanation(
        "the sweep does not pay to our wallet",
        NODE,
    ),
    "policy-sweep-locktime": Explanation(
        "the sweep has another locktime than needed",
        NODE,
    ),
    "policy-sweep-other": Explanation(
        "the sweep has another form than a sweep",
        NODE,
    ),
    "policy-sweep-sequence": Explanation(
        "the sweep has another sequence than needed",
        NODE,
    ),
    "policy-sweep-version": Explanation(
        "the sweep has another version than 2",
        NODE,
    ),
    "sweep-fee-range": Explanation(
        "the sweep burns too much",
        (
            "nothing at once: the node tries again with another feerate. If the money is less than the "
            "fees, it stays where it is"
        ),
    ),
    "anchor-missing": Explanation(
        "no input is our anchor",
        NODE,
    ),
    "onchain-input-not-ours": Explanation(
        "an input that is said to be ours is not",
        NODE,
    ),
    "onchain-script": Explanation(
        "a redeem script that is not its output's",
        NODE,
    ),
    "onchain-sighash": Explanation(
        "a sighash type other than all or the default",
        NODE,
    ),
    "onchain-utxo-missing": Explanation(
        "the PSBT does not say what an input spends",
        "if you made the PSBT, put the spent outputs into it; else ask the operator of the service",
    ),
    "onchain-utxo-twice": Explanation(
        "an input is listed twice, differently",
        NODE,
    ),
    "policy-onchain-fee-range": Explanation(
        "the transaction burns too much",
        "withdraw with a lower feerate; the outputs and the fee are in the record",
    ),
    "policy-onchain-format-standard": Explanation(
        "a transaction that no node relays",
        "make another transaction: no output below the dust limit, no unusual script",
    ),
    "policy-onchain-funding-non-malleable": Explanation(
        "the funding's id could still change",
        "fund the channel from segwit outputs alone",
    ),
    "policy-onchain-initial-commitment-countersigned": Explanation(
        "the peer has not signed the commitment that brings the money back",
        NODE,
    ),
    "policy-onchain-max-size": Explanation(
        "too big a transaction",
        "spend fewer coins at once",
    ),
    "policy-onchain-no-channel-push": Explanation(
        "money would be given to the peer",
        "open the channel without giving the peer anything",
    ),
    "policy-onchain-no-fund-inbound": Explanation(
        "the peer opens the channel, and we would pay for it",
        NODE,
    ),
    "policy-onchain-no-unknown-outputs": Explanation(
        "an output that is said to be ours is not",
        NODE,
    ),
    "policy-onchain-output-match-commitment": Explanation(
        "the funding output has another amount than the channel",
        NODE,
    ),
    "policy-onchain-output-scriptpubkey": Explanation(
        "the funding output has other keys than the channel",
        NODE,
    ),
}

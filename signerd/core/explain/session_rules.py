"""Rules of the session, of gossip and of payments."""

from __future__ import annotations

from signerd.core.explain.explanation import NODE, VERSIONS, Explanation

RULES: dict[str, Explanation] = {
    "malformed": Explanation(
        "the request cannot be read",
        VERSIONS,
    ),
    "unsupported-message": Explanation(
        "that message does not belong to a hosted node, or is unknown; it is named",
        VERSIONS,
    ),
    "internal-error": Explanation(
        "a bug in signerd: that request is refused, and the next one served. Please report it",
        "report it, with the record: `signerd audit export` has it",
    ),
    "permission": Explanation(
        "the connection inside the node that asks may not ask this",
        NODE,
    ),
    "answer-not-taken": Explanation(
        "the node had its answer already; another signer may have been quicker",
        "nothing; if no other signer runs for this node, report it",
    ),
    "answer-refused": Explanation(
        "the node refused the answer: it was signed, and did not arrive",
        "look at the reason: if it goes on, update signerd, or ask the operator of the service",
    ),
    "store-failing": Explanation(
        "this signer's disk is full, or cannot be written: everything is refused until it can",
        "free some space, or see to the disk; signerd goes on by itself",
    ),
    "sign-message": Explanation(
        "refused for good: the same operation proves the node's ownership to the service",
        "nothing: it stays refused. Sign messages with another key than the node's",
    ),
    "init-foreign-secret": Explanation(
        "the node wants to choose the signer's keys",
        NODE,
    ),
    "init-network": Explanation(
        "the node is on another network",
        (
            "check --network, or `network` in the configuration: it has to be the one that the node was "
            "registered for"
        ),
    ),
    "init-unknown-tlv": Explanation(
        "`init` carries something that changes the meaning of keys, and that signerd does not know",
        VERSIONS,
    ),
    "init-version": Explanation(
        "the node and signerd have no hsmd version in common",
        VERSIONS,
    ),
    "dev-preinit": Explanation(
        "a developer's switch that signerd does not have",
        NODE,
    ),
    "wallet-hardened-index": Explanation(
        "no wallet key has such a number",
        NODE,
    ),
    "bip86-no-words": Explanation(
        "BIP 86 addresses need a secret of words",
        "nothing: this node's wallet has no such addresses",
    ),
    "gossip-chain": Explanation(
        "an announcement for another chain",
        "check --network, or `network` in the configuration",
    ),
    "gossip-funding-key": Explanation(
        "a channel announcement without our funding key, or with it on the other side",
        NODE,
    ),
    "gossip-not-ours": Explanation(
        "an announcement that is not about this node",
        NODE,
    ),
    "invoice-payee": Explanation(
        "an invoice to be signed that names another payee",
        NODE,
    ),
    "invoice-network": Explanation(
        "an invoice for another network",
        "ask for an invoice of this node's network",
    ),
    "invoice-expired": Explanation(
        "a payment after the invoice's end",
        "ask for a new invoice",
    ),
    "invoice-future": Explanation(
        "an invoice that is dated ahead of our clock",
        "compare this machine's clock with the right time; if it is right, ask for a new invoice",
    ),
    "payment-hash-reused": Explanation(
        "another payment with the same hash may be under way: paying both may lose one",
        (
            "ask for a new invoice, or wait until the earlier payment is over and its invoice has been "
            "expired for a day"
        ),
    ),
    "payments-too-many": Explanation(
        "too many payments are approved and not over",
        "wait until some of them have expired; if you did not order so many, ask the operator of the service",
    ),
}

"""What the signer remembers of the node as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from signerd.errors import Refused


@dataclass(frozen=True, slots=True)
class NodeState:
    """`forgotten_dbid` is the highest database id of a channel that was forgotten, 0 before the first.

    Core Lightning never uses a database id again. A second channel under a pair of peer and id that was
    used before would have the same per-commitment secrets, and those are known to the old peer.
    """

    forgotten_dbid: int = 0
    hsm_version: int = 6
    """The hsmd wire version that the last `init` agreed on. An older one changes who is told what when:
    below 6, a later point comes with a revoked secret; below 5, a validation revokes."""

    def forget(self, dbid: int) -> NodeState:
        """With this id, and every lower one, closed to new channels."""
        return replace(self, forgotten_dbid=max(self.forgotten_dbid, dbid))

    def agree(self, hsm_version: int) -> NodeState:
        """With the wire version that the node speaks from now on."""
        return replace(self, hsm_version=hsm_version)

    def require_new(self, dbid: int) -> None:
        """Raises Refused if a channel with this id may have existed before."""
        if dbid <= self.forgotten_dbid:
            raise Refused(
                "channel-reused",
                f"channel id {dbid} is not above {self.forgotten_dbid}, the highest that was forgotten",
            )


@dataclass(frozen=True, slots=True)
class ApprovedPayment:
    """An outgoing payment that was approved: `invoice_hash` 32 bytes, amount in millisatoshi.

    A keysend has its payment hash as invoice hash. `expires` is in Unix seconds; after it, the approval is
    worth nothing.
    """

    invoice_hash: bytes
    amount_msat: int
    expires: int

"""By what a store is known again."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Mark:
    """A store's name (16 random bytes), its node (33 bytes), how often it has been opened and closed."""

    name: bytes
    node_id: bytes
    uses: int = 0

    def used(self) -> Mark:
        """Once more."""
        return replace(self, uses=self.uses + 1)

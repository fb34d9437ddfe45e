"""A signing service that decides as fast as it can, in a process of its own: to be killed, or to fill a disk.

    python -m helpers.decider STORE

Prints the number of each record that is on disk, right after its answer was let go. Of three requests one is
routine, one changes something, one is refused. Ends with the store's error.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from signerd.core.keys.node import NodeKeys
from signerd.core.requests import SigningRequest
from signerd.core.signer import Signer
from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.core.wire.identity import Ecdh
from signerd.daemon.clock import SystemClock
from signerd.daemon.recorder import Recorder
from signerd.daemon.signing_service import SigningService
from signerd.errors import StateError
from signerd.store import lineage
from signerd.units import Secret

KEYS = NodeKeys.derive(Secret(bytes(32)))
POINT = bytes(KEYS.node_id)


def request(number: int) -> SigningRequest:
    """The request of that number."""
    raw = (
        codec.encode(Ecdh(POINT)),
        codec.encode(NewChannel(POINT, number + 1)),
        # Another type each time: alike refusals would only be counted.
        (3000 + number % 30_000).to_bytes(2, "big"),
    )[number % 3]
    return SigningRequest(number, raw)


def main() -> None:
    """Until the store fails."""
    with lineage.in_use(Path(sys.argv[1]), KEYS.node_id) as store:
        service = SigningService(Signer(KEYS, "regtest"), store, Recorder(store, SystemClock()))
        for number in itertools.count():
            try:
                service.answer(request(number))
            except StateError as error:
                print(f"failed: {error.message}", flush=True)
                return
            latest = service.latest
            assert latest is not None
            if number % 3 and latest.number:
                print(f"{number} {latest.number}", flush=True)


if __name__ == "__main__":
    main()

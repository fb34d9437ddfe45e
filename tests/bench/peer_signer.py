"""The reference signer as a process; run by the peer's interpreter: SECRET_FILE CREDENTIALS_FILE."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import glclient  # type: ignore[import-not-found]


def main() -> None:
    secret, credentials = (Path(name).read_bytes() for name in sys.argv[1:3])
    signer = glclient.Signer(secret, "regtest", glclient.Credentials.from_bytes(credentials))
    signer.run_in_thread()
    while True:
        signal.pause()


main()

"""The reference's decryption of an export, timed; run by the peer's interpreter: SOURCE TARGET SECRET_HEX."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import glclient  # type: ignore[import-not-found]


def main() -> None:
    source, target, secret = Path(sys.argv[1]), Path(sys.argv[2]), bytes.fromhex(sys.argv[3])
    start = time.perf_counter()
    target.write_bytes(bytes(glclient.backup_decrypt_with_seed(source.read_bytes(), secret)))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_rss": peak}))


main()

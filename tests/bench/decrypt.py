"""How fast decrypt-export is, in how much memory; by hand: python tests/bench/decrypt.py --size 1GiB

The yardstick is the plainest loop of the same library that does the same work: read a chunk, Poly1305,
ChaCha20, write a chunk. It has no temporary name, no fsync and no second thread. Both run in processes of
their own, in turn, on the same files, and the best of three turns counts. The last lines are the ciphers
alone, on 1 GiB that is already in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
CHUNK = MIB
UNITS = {"MB": 10**6, "GB": 10**9, "MiB": MIB, "GiB": 1024 * MIB}
SECRET = bytes(range(32))
TURNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=UNITS["GiB"], help="e.g. 4GB or 1GiB")
    parser.add_argument("--small", type=parse_size, default=10 * UNITS["MB"], help="what to compare with")
    parser.add_argument("--directory", type=Path, help="where to work; needs twice the size")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, source, target = options.child
        print(json.dumps(CHILDREN[kind](Path(source), Path(target))))
        return
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="signerd-bench-") as directory:
        compare(Path(directory), options.size, options.small)


def compare(directory: Path, size: int, small: int) -> None:
    rss = {}
    for amount in (small, size):
        source, target = directory / "export.enc", directory / "export"
        make_export(source, amount)
        best: dict[str, float] = {}
        for _ in range(TURNS):
            for kind in ("bare", "signerd"):
                result = run(kind, source, target)
                best[kind] = min(best.get(kind, result["seconds"]), result["seconds"])
                rss[kind, amount] = result["peak_rss"]
                target.unlink()
        source.unlink()
        for kind, seconds in best.items():
            print(f"{amount / 1e6:8.0f} MB  {kind:8} {amount / 1e6 / seconds:7.0f} MB/s   ", end="")
            print(f"peak RSS {rss[kind, amount] / 1e6:6.1f} MB")
        print(f"{amount / 1e6:8.0f} MB  ratio    {best['bare'] / best['signerd']:7.2f}")
    difference = (rss["signerd", size] - rss["signerd", small]) / 1e6
    print(f"peak RSS at {size / 1e6:.0f} MB less that at {small / 1e6:.0f} MB: {difference:+.1f} MB")
    alone = {
        kind: min(run(kind, directory, directory)["seconds"] for _ in range(TURNS)) for kind in IN_MEMORY
    }
    for kind, seconds in alone.items():
        print(f"in memory    {kind:14} {1024 * MIB / 1e6 / seconds:7.0f} MB/s")
    print(f"in memory    ratio          {alone['cipher-bare'] / alone['cipher-signerd']:7.2f}")


def parse_size(text: str) -> int:
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    raise argparse.ArgumentTypeError(f"a size ends in one of {', '.join(UNITS)}")


def run(kind: str, source: Path, target: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", kind, str(source), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def make_export(path: Path, size: int) -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    from signerd.core.keys import secp256k1
    from signerd.core.keys.node import NodeKeys
    from signerd.units import Secret

    keys = NodeKeys.derive(Secret(SECRET))
    nonce = bytes(12)
    key = secp256k1.ecdh(b"B" * 32, keys.node_id)
    cipher = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), mode=None).encryptor()
    poly1305 = Poly1305(cipher.update(bytes(64))[:32])
    poly1305.update(keys.node_id + bytes(15))
    with path.open("wb") as file:
        file.write(bytes(62))
        rest = size
        while rest:
            chunk = cipher.update(bytes(min(rest, CHUNK)))
            poly1305.update(chunk)
            file.write(chunk)
            rest -= len(chunk)
        poly1305.update(bytes(-size % 16) + (33).to_bytes(8, "little") + size.to_bytes(8, "little"))
        file.seek(0)
        file.write(b"\x01" + secp256k1.public_key(b"B" * 32) + nonce + poly1305.finalize())
        file.flush()
        os.fsync(file.fileno())


def child_bare(source: Path, target: Path) -> dict[str, float]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    start = time.perf_counter()
    cipher = Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), mode=None).decryptor()
    poly1305 = Poly1305(bytes(32))
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        reader.seek(62)
        while chunk := reader.read(CHUNK):
            poly1305.update(chunk)
            writer.write(cipher.update(chunk))
        poly1305.finalize()
    return measured(start)


def child_signerd(source: Path, target: Path) -> dict[str, float]:
    from signerd.core.keys.node import NodeKeys
    from signerd.store import export_file
    from signerd.units import Secret

    start = time.perf_counter()
    with export_file.open_source(source) as opened:
        export_file.to_file(opened, target, NodeKeys.derive(Secret(SECRET)))
    return measured(start)


def child_cipher_bare(_source: Path, _target: Path) -> dict[str, float]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    cipher = Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), mode=None).decryptor()
    poly1305 = Poly1305(bytes(32))
    chunk = bytes(CHUNK)
    start = time.perf_counter()
    for _ in range(1024 * MIB // CHUNK):
        poly1305.update(chunk)
        cipher.update(chunk)
    poly1305.finalize()
    return measured(start)


def child_cipher_signerd(_source: Path, _target: Path) -> dict[str, float]:
    from signerd.core import export
    from signerd.units import NodeId, Secret

    header = export.Header(ephemeral_key=bytes(33), nonce=bytes(12), tag=bytes(16))
    decryptor = export.Decryptor(header, Secret(bytes(32)), NodeId(bytes(33)))
    chunk = bytes(CHUNK)
    start = time.perf_counter()
    for _ in range(1024 * MIB // CHUNK):
        decryptor.update(chunk)
    return measured(start)


def measured(start: float) -> dict[str, float]:
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


IN_MEMORY = ("cipher-bare", "cipher-signerd")
CHILDREN = {
    "bare": child_bare,
    "signerd": child_signerd,
    "cipher-bare": child_cipher_bare,
    "cipher-signerd": child_cipher_signerd,
}

if __name__ == "__main__":
    main()

"""How a node leaves: ExportNode, and the encrypted file that it makes."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from signerd.core.keys import secp256k1
from signerd.dev import files, rpc
from signerd.dev.backend import Backend
from signerd.dev.file_server import FileServer
from signerd.dev.placement import PlacementService
from signerd.greenlight.pb import scheduler_pb2 as pb

_VERSION = b"\x01"
_TAG_SIZE = 16


class ExportService:
    """A node is exported once; from then on it cannot be scheduled, and asking again gives the same URL."""

    def __init__(
        self, backend: Backend, placement: PlacementService, server: FileServer, directory: Path
    ) -> None:
        self._backend = backend
        self._placement = placement
        self._server = server
        self._directory = directory
        self._one_at_a_time = asyncio.Lock()

    def methods(self) -> dict[str, rpc.Method]:
        return {"ExportNode": rpc.unary(pb.ExportNodeRequest, self._export_node)}

    async def _export_node(self, _request: pb.ExportNodeRequest, caller: rpc.Caller) -> pb.ExportNodeResponse:
        node = self._backend.node_of(caller)
        async with self._one_at_a_time:
            if node.registration.export is None:
                name = f"{secrets.token_hex(16)}.enc"
                backup = encrypt(self._backend.settings.export_payload, node.node_id)
                files.write(files.make_directory(self._directory) / name, backup)
                node.registration = replace(node.registration, export=name)
                await self._placement.stop(node)
        return pb.ExportNodeResponse(url=self._server.url(node.registration.export or ""))


def encrypt(payload: bytes, node_id: bytes) -> bytes:
    """Version 01, ephemeral key (33), nonce (12), Poly1305 tag (16), ChaCha20 ciphertext (RFC 8439).

    The key is the ECDH secret with the node id, which is the associated data as well.
    """
    while not secp256k1.is_secret(ephemeral := secrets.token_bytes(32)):
        pass
    nonce = secrets.token_bytes(12)
    sealed = ChaCha20Poly1305(secp256k1.ecdh(ephemeral, node_id)).encrypt(nonce, payload, node_id)
    header = _VERSION + secp256k1.public_key(ephemeral) + nonce
    return header + sealed[-_TAG_SIZE:] + sealed[:-_TAG_SIZE]

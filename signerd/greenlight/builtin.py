"""The public anchors of Blockstream's service: root certificate and the nobody identity (tls/README.md)."""

from __future__ import annotations

from importlib import resources


def ca_pem() -> bytes:
    """The root certificate, PEM."""
    return _read("ca.pem")


def nobody_cert_pem() -> bytes:
    """The nobody certificate with its chain, leaf first, PEM."""
    return _read("nobody.crt")


def nobody_key_pem() -> bytes:
    """The nobody key, PKCS#8 PEM. Public by design."""
    return _read("nobody-key.pem")


def _read(name: str) -> bytes:
    return resources.files("signerd.greenlight").joinpath("tls", name).read_bytes()

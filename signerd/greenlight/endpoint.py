"""Where to connect: https URIs of schedulers and nodes, taken apart strictly (RFC 3986)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from signerd.errors import ConfigError, ProtocolViolation, SignerdError

DEFAULT_PORT = 443

_URI = re.compile(
    r"""
    (?P<scheme> [A-Za-z][A-Za-z0-9+.-]* ) ://
    (?: \[ (?P<ipv6> [0-9A-Fa-f:.]+ ) \] | (?P<host> [A-Za-z0-9_-]{1,63} (?: \. [A-Za-z0-9_-]{1,63} ){0,9} ) )
    (?: : (?P<port> [0-9]{1,5} ) )?
    /?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host (a name or an address, without brackets) and port of an https URI."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self._bracketed}:{self.port}"

    @property
    def target(self) -> str:
        """The name under which gRPC dials it."""
        return f"dns:///{self}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse(uri: str, *, handed_out: bool = False) -> Endpoint:
    """Take an https URI apart.

    Raises ConfigError for one that the user configured, ProtocolViolation for one that the scheduler handed
    out: plain http is never spoken, and a URI is never repaired by guessing.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise _refusal(uri, "is not a URI like https://host:port", handed_out=handed_out)
    if match["scheme"].lower() != "https":
        raise _refusal(uri, "does not start with https://", handed_out=handed_out)
    port = int(match["port"]) if match["port"] else DEFAULT_PORT
    if not 0 < port < 65536:
        raise _refusal(uri, f"has no valid port: {port}", handed_out=handed_out)
    if match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            raise _refusal(uri, "has no valid IPv6 address", handed_out=handed_out) from None
    return Endpoint(match["ipv6"] or match["host"], port)


def _refusal(uri: str, problem: str, *, handed_out: bool) -> SignerdError:
    # A refused URI may hold anything, so it is quoted and cut.
    shown = repr(uri if len(uri) <= 100 else uri[:100] + "…")
    if handed_out:
        return ProtocolViolation(
            f"the scheduler handed out the node address {shown}, which {problem}",
            hint="ask the operator of the scheduler",
        )
    return ConfigError(
        f"the scheduler URI {shown} {problem}",
        hint="write it as https://host or https://host:port (`scheduler.uri`, GL_SCHEDULER_GRPC_URI)",
    )

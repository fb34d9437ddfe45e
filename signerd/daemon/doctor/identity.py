"""Whether secret, certificate, rune and node id belong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from signerd.core import certificates
from signerd.core.runes.check import is_authentic
from signerd.core.runes.rune import Rune
from signerd.daemon import expiry, identity
from signerd.daemon.doctor.finding import Finding, failed, passed, skipped, warned
from signerd.errors import CredentialsError, SignerdError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.greenlight.credentials import Credentials
    from signerd.greenlight.transport import Identity
    from signerd.units import UnixTime

_DAY = 86_400
_CHECKS = ("certificate", "certificate-expiry", "rune")


class Identities:
    """Looks at who this signer is; `device` is there afterwards if its credentials can be used."""

    def __init__(self, settings: Settings, keys: NodeKeys | SignerdError, now: UnixTime) -> None:
        self._settings = settings
        self._keys = keys
        self._now = now
        self.device: Identity | None = None
        self.node_id: bytes | None = None

    def look(self) -> Iterator[Finding]:
        """In the order in which the one follows from the other."""
        keys = self._keys
        if isinstance(keys, SignerdError):
            yield failed("secret", keys)
        else:
            self.node_id = bytes(keys.node_id)
            yield passed("secret", f"{self._settings.secret_file} is the secret of node {keys.node_id.hex()}")
        try:
            credentials = identity.load_credentials(self._settings)
            device = certificates.read_device(credentials.cert)
        except SignerdError as problem:
            yield failed("credentials", problem)
            for check in _CHECKS:
                yield skipped(check, "there are no credentials to look at")
            return
        self.node_id = self.node_id or bytes(device.node_id)
        yield passed("credentials", f"{self._settings.credentials_file} is of device {device.device!r}")
        yield self._certificate(credentials)
        yield self._expiry(device.not_after)
        yield self._rune(credentials.rune)

    def _certificate(self, credentials: Credentials) -> Finding:
        try:
            device = identity.device(self._settings, credentials)
            found = identity.check(device, node_id=self.node_id or b"", now=self._now)
        except SignerdError as problem:
            return failed("certificate", problem)
        self.device = device
        return passed("certificate", f"it leads to the CA in use, and belongs to node {found.node_id.hex()}")

    def _expiry(self, not_after: UnixTime) -> Finding:
        days = (not_after - self._now) // _DAY
        if days < 0:
            return failed(
                "certificate-expiry",
                CredentialsError(
                    f"the certificate expired {-days} days ago",
                    hint="run `signerd recover`, if this machine's clock is right",
                ),
            )
        says = f"the certificate is good for {days} more days"
        if days < expiry.WARN_DAYS:
            return warned("certificate-expiry", says, "run `signerd recover` to get a new one")
        return passed("certificate-expiry", says)

    def _rune(self, text: str) -> Finding:
        if not text:
            return warned(
                "rune", "the credentials hold no rune", "run `signerd recover` to get credentials with one"
            )
        if isinstance(self._keys, SignerdError):
            return skipped("rune", "without the secret nobody can tell whose rune it is")
        try:
            rune = Rune.from_base64(text)
        except SignerdError as problem:
            return failed("rune", problem)
        if not is_authentic(rune, self._keys.rune_secret):
            return failed(
                "rune",
                CredentialsError(
                    "the rune in the credentials was not made with this secret",
                    hint="the credentials are another node's, or damaged: run `signerd recover`",
                ),
            )
        return passed("rune", "it was made with this secret")

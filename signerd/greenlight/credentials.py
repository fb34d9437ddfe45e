"""The credentials file (credentials.gfs): certificate, key, CA and rune of one device, in one protobuf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from signerd.errors import CredentialsError
from signerd.greenlight.pb import credentials_pb2

VERSION = 1
_HINT = "restore the file from a backup, or run `signerd recover` to get new credentials"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a device is and what it may do: PEM chain (leaf first), PEM key, PEM root, base64url rune.

    The rune is empty in files from before there were runes.
    """

    cert: bytes
    key: bytes = field(repr=False)
    ca: bytes
    rune: str = field(repr=False)

    def encode(self) -> bytes:
        """The file's bytes, as every Greenlight client writes them: all five fields, in order."""
        blob = credentials_pb2.Blob(version=VERSION, cert=self.cert, key=self.key, ca=self.ca, rune=self.rune)
        return blob.SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read the file's bytes. Raises CredentialsError for anything that is not a whole set.

        Other clients answer a damaged file with an anonymous identity; here damage is an error.
        """
        try:
            blob = credentials_pb2.Blob.FromString(raw)
        except DecodeError as error:
            raise CredentialsError("the credentials are not readable", hint=_HINT) from error
        if len(UnknownFieldSet(blob)):
            raise CredentialsError(
                "the credentials have fields that this signerd does not know",
                hint="they may come from a newer program: update signerd",
            )
        # Files of before version 1 have no version at all.
        if blob.version not in (0, VERSION):
            raise CredentialsError(
                f"the credentials have version {blob.version}, and signerd reads version {VERSION}",
                hint="update signerd",
            )
        missing = [name for name in ("cert", "key", "ca") if not getattr(blob, name)]
        if missing:
            raise CredentialsError(f"the credentials have no {', no '.join(missing)}", hint=_HINT)
        return cls(cert=blob.cert, key=blob.key, ca=blob.ca, rune=blob.rune)

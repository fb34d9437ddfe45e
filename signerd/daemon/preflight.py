"""What must hold of this installation before a secret is used."""

from __future__ import annotations

from embit.util import secp256k1

from signerd.errors import ConfigError


def require_compiled_curve() -> None:
    """That embit computes on the curve with its C library: its fallback is slow and leaks through timing.

    Nothing of ours gives embit a private key; an installation where it fell back is broken all the same.
    Raises ConfigError.
    """
    module = secp256k1.ec_pubkey_create.__module__
    if module != "embit.util.ctypes_secp256k1":
        raise ConfigError(
            f"embit has no C library for secp256k1 on this machine and fell back to {module}",
            hint="install libsecp256k1, or use a platform for which embit brings it",
        )

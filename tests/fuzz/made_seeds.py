"""Where inputs about made lives begin: each kind of request, and lives with what must not follow."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.made import Kind

MAKE = 11
"""The action of that name."""
_HTLC = (9, 9, 9, 9)
FIRST, PUT_IN, TAKE_OUT = 1, 0, 2
"""The funding: that of the opening, and those of the two splices."""


def choices(kind: Kind, number: int, htlcs: int = 0, *, funding: int = FIRST) -> bytes:
    """One request: its kind, commitment number, HTLCs, feerate, what changes hands, the funding."""
    return bytes([MAKE, kind, number, htlcs, *_HTLC * htlcs, 20, 0, funding])


def step(number: int, htlcs: int = 0, *, fundings: tuple[int, ...] = (FIRST,)) -> bytes:
    """Both sides go on to a commitment."""
    sign = b"".join(choices(Kind.SIGN, number, htlcs, funding=funding) for funding in fundings)
    validate = b"".join(choices(Kind.VALIDATE, number, htlcs, funding=funding) for funding in fundings)
    return sign + choices(Kind.REVOCATION, number - 1) + validate + choices(Kind.REVOKE, number - 1)


def whole_splice(number: int, funding: int) -> bytes:
    """From the wish to the lock; the commitment in force has this number."""
    return (
        choices(Kind.SPLICE, 0, funding=funding)
        + choices(Kind.SET_UP, 0, funding=funding)
        + choices(Kind.VALIDATE, number, funding=funding)
        + choices(Kind.SIGN, number, funding=funding)
        + choices(Kind.SPLICE, 0, funding=funding)
        + choices(Kind.LOCK, 0, funding=funding)
    )


def seeds() -> Iterator[bytes]:
    """What follows an opening."""
    for kind in Kind:
        for htlcs in range(3):
            for funding in (FIRST, PUT_IN, TAKE_OUT):
                yield choices(kind, 1, htlcs, funding=funding)
            yield choices(kind, 1, htlcs) * 2
    for htlcs in range(4):
        yield from _lives(b"".join(step(number, htlcs) for number in (1, 2, 3)), htlcs)
    for version in (4, 5, 6):
        older = choices(Kind.INIT, version)
        validate = choices(Kind.VALIDATE, 1) + choices(Kind.POINT, 2) + choices(Kind.VALIDATE, 2)
        yield older + choices(Kind.SIGN, 1) + choices(Kind.REVOCATION, 0) + validate + choices(Kind.POINT, 3)
        yield older + validate + choices(Kind.INIT, 6) + choices(Kind.REVOKE, 1) + choices(Kind.POINT, 3)
        yield older + choices(Kind.PUBLISH, 0) + validate
    new, forget = Kind.NEW, Kind.FORGET
    for order in (
        ((new, 4), (forget, 4), (forget, 0), (new, 0)),
        ((new, 4), (forget, 0), (forget, 4), (new, 4)),
    ):
        yield b"".join(choices(kind, number) for kind, number in order)
    yield from _splices()


def _lives(life: bytes, htlcs: int) -> Iterator[bytes]:
    """A life up to commitment 3, and what may and what may not come then."""
    claims = (Kind.REMOTE_HTLC, Kind.PUBLISH, Kind.LOCAL_HTLC)
    yield life + b"".join(choices(kind, 3, htlcs) for kind in (*claims, Kind.FORGET, Kind.NEW))
    over = (Kind.PUBLISH, Kind.LOCAL_HTLC, Kind.REMOTE_HTLC, Kind.POINT, Kind.SIGN, Kind.VALIDATE)
    yield life + b"".join(choices(kind, 2, htlcs) for kind in (*over, Kind.REVOCATION, Kind.REVOKE))
    early = choices(Kind.REVOKE, 3) + choices(Kind.REVOCATION, 3)
    yield life + early + choices(Kind.PUBLISH, 3, htlcs) + choices(Kind.REVOKE, 2)


def _splices() -> Iterator[bytes]:
    for funding in (PUT_IN, TAKE_OUT):
        lock = choices(Kind.LOCK, 0, funding=funding)
        for before in (b"", step(1)):
            number = 1 if before else 0
            locked = before + whole_splice(number, funding)
            yield locked
            publish = choices(Kind.PUBLISH, number + 1, funding=funding)
            yield locked + step(number + 1, fundings=(funding,)) + publish
            yield locked + step(number + 1) + choices(Kind.LOCK, 0)
            yield locked + choices(Kind.PUBLISH, number) + choices(Kind.PUBLISH, number, funding=funding)
            moving = locked.removesuffix(lock)
            yield moving + step(number + 1, fundings=(FIRST, funding)) + lock
            yield moving + step(number + 1, fundings=(funding,))
    yield whole_splice(0, PUT_IN) + whole_splice(0, TAKE_OUT)
    # Locked in without a commitment of ours for it.
    unsigned = (choices(kind, 0, funding=PUT_IN) for kind in (Kind.SPLICE, Kind.SET_UP, Kind.LOCK))
    yield step(1) + b"".join(unsigned)

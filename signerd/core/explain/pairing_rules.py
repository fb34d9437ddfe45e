"""Rules of pairing approvals."""

from __future__ import annotations

from signerd.core.explain.explanation import Explanation

RULES: dict[str, Explanation] = {
    "pairing-denied-by-policy": Explanation(
        'the configuration has pairing.policy = "deny"',
        'set it to `"attested"`, pair, and set it back',
    ),
    "pairing-size": Explanation(
        "the name or the rune has over 16,384 characters, or the restrictions over 131,072; for the inbox "
        "200 and 4,096",
        "nothing honest is so long; pair again with another device",
    ),
    "pairing-device-id": Explanation(
        "the device id is not a P-256 public key in lower-case hex, 130 digits",
        "take the code as the new device shows it",
    ),
    "pairing-device-name": Explanation(
        "the name holds a control or invisible character or one of \\=/^$~<>{}#!&|",
        "give the device another name",
    ),
    "pairing-stale": Explanation(
        "the approval is older than max_age_seconds",
        "approve again; compare the clocks of both machines",
    ),
    "pairing-from-the-future": Explanation(
        "the approval is dated more than max_ahead_seconds ahead",
        "set the clock of the approving device, or of this machine",
    ),
    "pairing-signature": Explanation(
        "it was not signed by the key that it names, for this node",
        "approve again; if that does not help, the approving device does not follow the protocol",
    ),
    "pairing-rune-undecodable": Explanation(
        "the approving device's rune is no rune",
        "recover the approving device's credentials",
    ),
    "pairing-rune-authcode": Explanation(
        "that rune was not made for this node, or was changed",
        "use a rune that this node's signer made, and narrow it with `signerd rune restrict` only",
    ),
    "pairing-rune-id": Explanation(
        "that rune was made for another version of runes",
        "pair the approving device again",
    ),
    "pairing-rune-method": Explanation(
        "that rune does not allow approvepairing",
        "approve with another device",
    ),
    "pairing-rune-pubkey": Explanation(
        "that rune is for another key than the one that signed",
        "approve with the device that the rune belongs to",
    ),
    "pairing-rune-time": Explanation(
        "that rune has expired, or is not valid yet",
        "approve with another device, or pair this one again",
    ),
    "pairing-rune-unknown-field": Explanation(
        "that rune demands something of a field that signers do not know",
        "approve with another device",
    ),
    "pairing-rune-restriction": Explanation(
        "that rune has a restriction over several fields that does not hold",
        "approve with another device; `signerd rune decode` shows the restriction",
    ),
    "pairing-rune-unbound": Explanation(
        "that rune is not bound to one key alone",
        "pair the approving device again",
    ),
    "pairing-restrictions-grammar": Explanation(
        "the restrictions asked for cannot be read",
        "write them as above",
    ),
    "pairing-restrictions-ambiguous": Explanation(
        "they hold an escaped &, which signers read differently",
        "pair without `&` inside values",
    ),
    "pairing-restrictions-border": Explanation(
        "they begin with a field that nobody knows, which may be the end of the name",
        "begin the restrictions with the one on `pubkey`, as `pair new` does",
    ),
    "pairing-not-bound-to-device": Explanation(
        "no restriction is exactly pubkey= and the device id",
        "pair with a device that asks for a rune of its own",
    ),
    "pairing-widening": Explanation(
        "the approving rune demands something that the new one would not",
        "ask for the same restriction, or approve with an unrestricted device",
    ),
    "pairing-replayed": Explanation(
        "this very approval was answered before",
        "approve again: each approval counts once",
    ),
    "pairing-rune-revoked": Explanation(
        "the approving device was revoked",
        "approve with another device",
    ),
    "pairing-device-revoked": Explanation(
        "the new device's key was revoked",
        "pair it with a new key: in an empty directory",
    ),
    "pairing-register-full": Explanation(
        "20,000 runes are in the register",
        "revoke devices that you do not know",
    ),
    "pairing-inbox-full": Explanation(
        "32 requests wait for you, or 8 by this device",
        "decide them, then approve again; revoke a device that floods you",
    ),
    "pairing-denied-by-owner": Explanation(
        "you said no",
        "approve again, if it was a mistake",
    ),
    "pairing-expired": Explanation(
        "nobody decided it in time",
        "approve again, and decide sooner",
    ),
    "pairing-store-failing": Explanation(
        "this signer's disk is full, or cannot be written",
        "see to the disk, then approve again",
    ),
}

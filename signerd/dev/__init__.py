"""A small, strict Greenlight on this machine, to develop and test against. Use `local.LocalGreenlight`.

It shares no decision code with the signer that it judges: it uses the keys, the certificate request and
the rune decoder of the core, and nothing that approves or refuses.
"""

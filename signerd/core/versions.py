"""Which Core Lightning this signer speaks for; apart, so that reading the configuration loads no keys."""

DEFAULT_VERSION = "v25.05"
"""The Core Lightning release whose hsmd this signer speaks; the host picks the node's version by it."""

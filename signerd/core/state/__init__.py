"""What the signer must never forget, as immutable values with legal steps."""

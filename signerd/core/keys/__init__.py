"""Everything that is derived from the node secret, and the device keys of P-256."""

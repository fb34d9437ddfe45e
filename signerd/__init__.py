"""signerd: the signer of a hosted Core Lightning node, on the user's own machine."""

__version__ = "0.1.0"

"""Greenlight over gRPC: credentials, the scheduler's client, the node's client, registration."""

import os

# The C core writes its own lines to stderr, and repeats there what our errors already say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

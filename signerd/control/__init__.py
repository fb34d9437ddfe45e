"""The socket on which the daemon's owner asks it things: our own gRPC service, server and client."""

"""What the operator types: one verb, one file; results on stdout, talk on stderr."""

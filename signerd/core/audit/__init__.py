"""What this signer decided, in order, so that nobody can change it afterwards without its being noticed."""

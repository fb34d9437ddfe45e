"""What is not signed, and why: each rule by the name that a refusal carries."""

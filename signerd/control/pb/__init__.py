"""Generated from proto/ by .ci/generate. Change those, not this."""

"""hsmd messages as frozen values: a class per message, a codec per field type, both directions."""

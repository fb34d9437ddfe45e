"""Bitcoin and Lightning transactions as values: read, composed, compared, and what of them is signed."""

"""Runes: bearer tokens that anyone can narrow and only the key holder can make or check.

`rune` reads, makes and narrows them, `check` decides whether one allows a call, `explain` says in words
what one demands, `implies` tells whether some restrictions are at least as narrow as another.
"""

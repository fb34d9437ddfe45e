"""The pure part: bytes, values and `now` in; values out. Nothing here reads a clock, a file or a socket."""

"""What is wrong with this installation, and what to do about it: one finding after the other.

Nothing here changes anything: no file is written, no call is made that the service would remember.
"""

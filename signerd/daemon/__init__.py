"""Time: loops, order, retries, and what the process asks of the operating system."""

"""What a fuzzer does to the core: targets, and the inputs that were worth keeping.

`python -m fuzz` runs one; without a fuzzer, `test_corpus.py` plays all inputs that are kept. CONTRIBUTING.md
has the command.
"""

"""`python -m signerd` is the command line."""

from signerd.cli.main import main

main()

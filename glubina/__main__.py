"""`python -m glubina` does what the command `glubina` does."""

from glubina.cli import main

main()

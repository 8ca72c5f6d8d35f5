"""`python -m glubina.cli` does what the command `glubina` does."""

from glubina.cli import main

main()

"""Bad input: a table of ways to go wrong, and what a person is told."""

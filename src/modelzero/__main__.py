"""`python -m modelzero` is the same as `modelzero`."""

from modelzero.cli import main

main()

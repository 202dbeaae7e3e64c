"""Compare recorded runs: accounts, comparisons, and the verdict."""

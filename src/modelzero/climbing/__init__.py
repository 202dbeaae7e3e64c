"""From a list of rungs to a verdict: cells, workers, budget, accounts, comparisons."""

"""What records say when they are put side by side: accounts, comparisons, the verdict."""

"""What could make a result wrong: duplicates, groups, labels that contradict each other."""

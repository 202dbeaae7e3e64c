"""Find what could make a result wrong: duplicates, groups, contradictory labels."""

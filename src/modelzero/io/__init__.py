"""Files written whole, processes that can be ended, JSON."""

"""What saved runs tell, as pure functions: the ladder, comparisons, history, profiles, costs, recommendations."""

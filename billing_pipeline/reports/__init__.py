"""Results as people and programs read them. Nothing is computed here that is not already in a table."""

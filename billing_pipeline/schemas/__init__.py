"""The registry of columns and what is derived from it. No data passes through here."""

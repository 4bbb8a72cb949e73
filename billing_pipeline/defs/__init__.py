"""The Dagster shell: one Dagster noun per file, and no rule of billing in any of them."""

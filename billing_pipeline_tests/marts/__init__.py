"""The analysts' views: dbt for real, on a real PostgreSQL, as the roles that use them."""

"""Where everything is kept: documents as received (raw.py), Parquet (parquet.py), PostgreSQL (partitions.py).

Which server holds the tables, and how one connects to it, stands in servers.py, connections.py and embedded.py; how its
schema comes to be in migrate.py and migrations/. What a row means is not decided here.
"""

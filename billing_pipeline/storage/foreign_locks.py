"""Who holds a lock on a table of ours, for the message of a run that waited for it in vain."""

import psycopg

from billing_pipeline.storage.connections import APPLICATION_NAME, connect, server_name

# Reading takes AccessShareLock, which stops nobody; of the rest the strongest is the likeliest to have stopped us. Our
# own programs come last: two of ours wait for each other by the operator's lock, not by a table's.
_HOLDERS = """
SELECT held.pid, held.mode, held.relation::regclass::text, who.usename, who.application_name, who.state, who.xact_start
FROM pg_locks AS held
JOIN pg_stat_activity AS who ON who.pid = held.pid
JOIN pg_class ON pg_class.oid = held.relation
WHERE held.granted AND held.locktype = 'relation' AND held.pid <> pg_backend_pid()
  AND pg_class.relnamespace = 'billing'::regnamespace AND pg_class.relkind = 'r' AND held.mode <> 'AccessShareLock'
ORDER BY who.application_name = %s,
  array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
                       'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock'], held.mode), who.xact_start
LIMIT 1
"""


def explain_lock(url: str) -> str:
    """One line: which session holds which table and since when, and how to end it. StorageError when the server has gone."""
    server = server_name(url)
    with connect(url, autocommit=True) as connection:
        try:
            row = connection.execute(_HOLDERS, (APPLICATION_NAME,)).fetchone()
        except psycopg.Error:
            row = None
    if row is None:
        return f"PostgreSQL at {server}: a table was locked by another session, which has ended since; run again"
    pid, mode, table, user, program, state, since = row
    return (
        f"PostgreSQL at {server}: {table} is locked ({mode}) by pid {pid}, user {user}, {program or 'no program name'},"
        f" {state}, in a transaction since {since:%Y-%m-%d %H:%M:%S} UTC; have it ended, or end it with"
        f" SELECT pg_terminate_backend({pid}), and run again"
    )

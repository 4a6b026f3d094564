"""The tables of a PostgreSQL store, and what it says to them."""

from typing import Final, LiteralString

from psycopg.sql import SQL, Composable, Identifier, Literal

__all__ = ["COLUMNS", "ROUND", "Statements"]

ROUND: Final = 200
"""Jobs that a sweep takes at a time: whole logs of them are deleted in well under a second."""

COLUMNS: Final[dict[str, LiteralString]] = {
    "epoch": "text",
    "owner": "bytea",
    "seq": "int8",
    "ended": "bool",
    "token": "text",
    "leased_until": "float8",
    "stalled": "bool",
    "cancel": "bool",
    "attempt": "int4",
    "writer": "text",
    "number": "int8",
    "expires": "float8",
    "made": "float8",
    "shrinks": "float8",
}
"""The columns of a job beside its id: a `Record`'s, when it was made, and when its log may go."""

_BEGIN: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '4s', true),
    set_config('idle_in_transaction_session_timeout', '5s', true)
"""  # the last frees the jobs that a process holds which is stopped in the middle

_THERE: Final = """
SELECT count(to_regclass(name)) = 2 FROM unnest({tables}::text[]) AS name
"""  # asked first, since IF NOT EXISTS needs the right to create tables even where they exist

_CREATE: Final = """
SELECT pg_advisory_xact_lock(hashtext('sseprog: create tables'));
CREATE TABLE IF NOT EXISTS {jobs} (
    job_id text COLLATE "C" PRIMARY KEY,
    epoch text NOT NULL DEFAULT '',  -- which incarnation of its log
    owner bytea,                     -- who may watch, in UTF-8
    seq int8 NOT NULL DEFAULT -1,    -- the number of its newest event
    ended bool NOT NULL DEFAULT false,
    token text,                      -- who holds it
    leased_until float8,             -- as all times: seconds since 1970, by this server's clock
    stalled bool NOT NULL DEFAULT false,
    cancel bool NOT NULL DEFAULT false,
    attempt int4 NOT NULL DEFAULT 0,
    writer text NOT NULL DEFAULT '', -- who wrote last, which counts
    number int8 NOT NULL DEFAULT -1, -- what it writes
    expires float8,                  -- when it is forgotten
    made float8 NOT NULL DEFAULT 0,
    shrinks float8                   -- when its log shrinks to the newest event
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS {jobs_made} ON {jobs} (made);
CREATE INDEX IF NOT EXISTS {jobs_shrinks} ON {jobs} (shrinks) WHERE shrinks IS NOT NULL;
CREATE TABLE IF NOT EXISTS {events} (
    job_id text COLLATE "C" NOT NULL,
    seq int8 NOT NULL,
    kind text NOT NULL,              -- p, s, c or e: progress, a new stage, complete, error
    data bytea NOT NULL,             -- the job's state, as JSON
    PRIMARY KEY (job_id, seq)
);
"""
# A row of a job is changed with each of its events. As nothing that changes has an index, and
# pages have room, a change touches no index; so `expires`, looked for once a minute, has none.


_RESERVE: Final = """
INSERT INTO {jobs} (job_id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING
"""

_LOCK: Final = """
SELECT job_id, {columns} FROM {jobs} WHERE job_id = ANY(%s) ORDER BY job_id FOR UPDATE;
SELECT extract(epoch FROM clock_timestamp())::float8
"""  # in one order everywhere, so that nobody waits in a circle; the time is that of after the wait

_CHANGE: Final = """
UPDATE {jobs} AS job SET ({columns}) = ROW({new})
FROM unnest(%s::text[], {arrays}) AS new (job_id, {columns}) WHERE job.job_id = new.job_id
"""

_TRIM: Final = """
DELETE FROM {events} AS event USING unnest(%s::text[], %s::int8[]) AS upto (job_id, seq)
WHERE event.job_id = upto.job_id AND event.seq <= upto.seq
"""

_ADD: Final = """
INSERT INTO {events} (job_id, seq, kind, data)
SELECT * FROM unnest(%s::text[], %s::int8[], %s::text[], %s::bytea[])
"""

_READ: Final = """
SELECT place - 1, job.epoch, job.seq, owner, leased_until - {now}, stalled, kinds, datas
FROM unnest(%s::text[], %s::text[], %s::int8[], %s::bool[]) WITH ORDINALITY
    AS want (job_id, epoch, after, newest, place)
JOIN {jobs} AS job ON job.job_id = want.job_id AND (expires > {now}) IS NOT false
CROSS JOIN LATERAL (
    SELECT array_agg(kind ORDER BY seq) AS kinds, array_agg(data ORDER BY seq) AS datas
    FROM {events} AS event WHERE event.job_id = job.job_id AND event.seq > CASE
        WHEN newest THEN job.seq - 1 WHEN job.epoch = want.epoch THEN after ELSE -1 END
) AS log
"""

_RECENT: Final = """
SELECT job_id FROM {jobs} WHERE (expires > {now}) IS NOT false ORDER BY made DESC LIMIT %s
"""

_FORGET: Final = """
WITH due AS (
    SELECT job_id FROM {jobs} WHERE expires <= {now} LIMIT {round} FOR UPDATE SKIP LOCKED
), gone AS (DELETE FROM {events} AS event USING due WHERE event.job_id = due.job_id)
DELETE FROM {jobs} AS job USING due WHERE job.job_id = due.job_id
"""

_SHRINK: Final = """
WITH due AS (
    SELECT job_id, seq FROM {jobs} WHERE shrinks <= {now} LIMIT {round} FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {events} AS event USING due
    WHERE event.job_id = due.job_id AND event.seq < due.seq
)
UPDATE {jobs} AS job SET shrinks = NULL FROM due WHERE job.job_id = due.job_id
"""


class Statements:
    """All that a store says about tables whose names start with ``prefix``.

    Where two are to be said at once they are joined by ``;``.
    """

    def __init__(self, prefix: str) -> None:
        self._names: dict[str, Composable] = {
            "jobs": Identifier(f"{prefix}_jobs"),
            "events": Identifier(f"{prefix}_events"),
            "jobs_made": Identifier(f"{prefix}_jobs_made"),
            "jobs_shrinks": Identifier(f"{prefix}_jobs_shrinks"),
            "columns": SQL(", ").join(map(Identifier, COLUMNS)),
            "new": SQL(", ").join(Identifier("new", name) for name in COLUMNS),
            "arrays": SQL(", ").join(SQL("%s::{}[]").format(SQL(t)) for t in COLUMNS.values()),
            "tables": Literal([f"{prefix}_jobs", f"{prefix}_events"]),
            "channel": Literal(prefix),
            "now": SQL("extract(epoch FROM now())::float8"),
            "round": Literal(ROUND),
        }
        self.begin = self._said(_BEGIN)
        self.there = self._said(_THERE)
        self.create = self._said(_CREATE)
        self.reserve = self._said(_RESERVE)
        self.lock = self._said(_LOCK)
        self.change = self._said(_CHANGE)
        self.empty = self._said("DELETE FROM {events} WHERE job_id = ANY(%s)")
        self.trim = self._said(_TRIM)
        self.add = self._said(_ADD)
        self.notify = self._said("SELECT pg_notify({channel}, unnest(%s::text[]))")
        self.read = self._said(_READ)
        self.recent = self._said(_RECENT)
        self.forget = self._said(_FORGET)
        self.shrink = self._said(_SHRINK)

    def _said(self, text: LiteralString) -> bytes:
        return SQL(text).format(**self._names).as_bytes(None).strip()

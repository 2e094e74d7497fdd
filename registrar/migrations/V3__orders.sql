-- Orders wait their turn, remember what went wrong, and may go to another CA.

-- device: whose turn it is. turn: when it would be, if each device had one order at a time; Unix milliseconds.
-- since: when the state was entered. problem: the last one, as JSON.
ALTER TABLE orders ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN replaces TEXT;
ALTER TABLE orders ADD COLUMN fallback TEXT;
ALTER TABLE orders ADD COLUMN require_eku TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN problem TEXT;
ALTER TABLE orders ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET turn = due, since = due, created_at = due;
DROP INDEX orders_due;
CREATE INDEX orders_by_turn ON orders (issuer, turn) WHERE is_final = 0;
CREATE INDEX orders_by_device ON orders (issuer, device, turn) WHERE is_final = 0;
CREATE INDEX orders_by_age ON orders (created_at, id);

-- How much was taken of a CA's limits: when each bucket would be full again, Unix milliseconds.
CREATE TABLE quotas (
    bucket TEXT PRIMARY KEY,
    full_at INTEGER NOT NULL
) STRICT;
CREATE INDEX quotas_by_time ON quotas (full_at);

-- What the CA is to revoke, until it has.
CREATE TABLE revocations (
    fingerprint BLOB PRIMARY KEY,
    issuer TEXT NOT NULL,
    certificate BLOB NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    done_at INTEGER,
    problem TEXT
) STRICT;
CREATE INDEX revocations_due ON revocations (issuer, due) WHERE done_at IS NULL;

CREATE INDEX certificates_revoked ON certificates (issuer, not_after) WHERE revoked_at IS NOT NULL;

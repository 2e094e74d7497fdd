-- Everything that the registrar knows. Times are Unix milliseconds, UTC; identifiers 32 hexadecimal digits; DER as received.
-- Written in SQLite's types; PostgreSQL gets its own for them (store/sql/migrations.rs).

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO settings (name, value) VALUES ('generation', 0);

-- entry: 'voucher', or 'est' where its devices may enroll without one. masa: its options as JSON (store/model/masa.rs).
CREATE TABLE manufacturers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    masa_url TEXT,
    entry TEXT NOT NULL,
    masa TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE manufacturer_hosts (
    manufacturer TEXT NOT NULL REFERENCES manufacturers (id),
    position INTEGER NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (manufacturer, position)
) STRICT;

-- purpose: idevid, masa or voucher.
CREATE TABLE manufacturer_anchors (
    manufacturer TEXT NOT NULL REFERENCES manufacturers (id),
    purpose TEXT NOT NULL,
    position INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (manufacturer, purpose, position)
) STRICT;

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    profile TEXT NOT NULL,
    site TEXT,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_by_age ON devices (created_at, id);
CREATE INDEX devices_by_state ON devices (state, created_at, id);

-- One name, one device; lower case. A device that was never admitted may have none.
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    device TEXT NOT NULL UNIQUE REFERENCES devices (id)
) STRICT;

-- Either manufacturer and serial number, or a credential.
-- spki and certificate: the IDevID that was admitted; absent until the device shows one.
CREATE TABLE identities (
    device TEXT PRIMARY KEY REFERENCES devices (id),
    manufacturer TEXT REFERENCES manufacturers (id),
    serial TEXT,
    spki BLOB,
    certificate BLOB,
    credential TEXT UNIQUE,
    UNIQUE (manufacturer, serial),
    CHECK ((manufacturer IS NULL) = (serial IS NULL) AND (serial IS NULL) <> (credential IS NULL))
) STRICT;
CREATE INDEX identities_by_serial ON identities (serial);
CREATE INDEX identities_by_spki ON identities (spki);

-- What waits for a person, and what the person said. spki and certificate: the IDevID that asks.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    reason TEXT NOT NULL,
    spki BLOB NOT NULL,
    certificate BLOB NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL,
    decided_by TEXT,
    created_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    decided_at INTEGER
) STRICT;
-- One open question for one key of one device.
CREATE UNIQUE INDEX approvals_open ON approvals (device, spki) WHERE state = 'waiting';
CREATE INDEX approvals_by_age ON approvals (state, created_at, id);

-- secret_sha256: of 128 random bits of ours, so that no slow hash is needed.
CREATE TABLE credentials (
    name TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    profile TEXT NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- encoding: cms, jws or cose. audit_verdict: accepted, refused or missing; absent until the log was asked for.
CREATE TABLE voucher_exchanges (
    id TEXT PRIMARY KEY,
    request_sha256 BLOB NOT NULL UNIQUE,
    device TEXT NOT NULL REFERENCES devices (id),
    encoding TEXT NOT NULL,
    pledge_request BLOB NOT NULL,
    registrar_request BLOB NOT NULL,
    state TEXT NOT NULL,
    voucher BLOB,
    reason TEXT,
    audit_log BLOB,
    audit_verdict TEXT,
    audit_reason TEXT,
    audited_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX voucher_exchanges_by_device ON voucher_exchanges (device, updated_at);

-- Vouchers without a nonce, fetched ahead. voucher: absent until the MASA gave it. due: when the MASA is asked again.
-- lease: which node asks, until when.
CREATE TABLE nonceless_vouchers (
    device TEXT NOT NULL REFERENCES devices (id),
    encoding TEXT NOT NULL,
    registrar_request BLOB NOT NULL,
    voucher BLOB,
    expires_at INTEGER,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    problem TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    lease_node TEXT,
    lease_until INTEGER,
    PRIMARY KEY (device, encoding)
) STRICT;
CREATE INDEX nonceless_vouchers_by_due ON nonceless_vouchers (due);

-- replaces: SHA-256 of the certificate that is being renewed.
CREATE TABLE enrollments (
    id TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    profile TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    key BLOB NOT NULL,
    csr BLOB NOT NULL,
    replaces BLOB,
    state TEXT NOT NULL,
    certificate BLOB,
    reason TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX enrollments_by_key ON enrollments (key, created_at);
CREATE INDEX enrollments_by_device ON enrollments (device, created_at);
CREATE INDEX enrollments_by_state ON enrollments (state) WHERE state IN ('approved', 'ordered');
-- One open enrollment for one wish.
CREATE UNIQUE INDEX enrollments_open ON enrollments (key) WHERE state IN ('approved', 'ordered');

CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    csr BLOB NOT NULL,
    names TEXT NOT NULL,
    spki BLOB NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    is_final INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    lease_node TEXT,
    lease_until INTEGER
) STRICT;
CREATE INDEX orders_due ON orders (issuer, due) WHERE is_final = 0;
CREATE INDEX orders_ended ON orders (due) WHERE is_final = 1;

CREATE TABLE order_steps (
    "order" TEXT NOT NULL REFERENCES orders (id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    step TEXT NOT NULL,
    PRIMARY KEY ("order", seq)
) STRICT;

CREATE TABLE challenge_answers (
    owner TEXT NOT NULL,
    value TEXT NOT NULL,
    "order" TEXT NOT NULL,
    PRIMARY KEY (owner, value, "order")
) STRICT;
CREATE INDEX challenge_answers_by_order ON challenge_answers ("order");

CREATE TABLE accounts (
    issuer TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    directory TEXT NOT NULL
) STRICT;

CREATE TABLE certificates (
    fingerprint BLOB PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    enrollment TEXT NOT NULL REFERENCES enrollments (id),
    issuer TEXT NOT NULL,
    certificate BLOB NOT NULL,
    serial TEXT NOT NULL,
    spki BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX certificates_by_device ON certificates (device, created_at);
-- Which certificates count, and until when: the newest of each device that is not revoked.
CREATE INDEX certificates_current ON certificates (device, created_at, not_after, revoked_at)
    WHERE revoked_at IS NULL;
CREATE INDEX certificates_by_end ON certificates (not_after, fingerprint);
CREATE INDEX certificates_by_serial ON certificates (serial);
CREATE INDEX certificates_by_spki ON certificates (spki);

CREATE TABLE chain_certificates (
    fingerprint BLOB NOT NULL,
    issuer TEXT NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (fingerprint, issuer)
) STRICT;

-- One hash chain per node: hash is SHA-256 of previous and of every other column (store/chain.rs).
CREATE TABLE events (
    node TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    verdict TEXT NOT NULL,
    device TEXT,
    peer TEXT NOT NULL,
    clause TEXT NOT NULL,
    detail TEXT NOT NULL,
    correlation TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (node, seq)
) STRICT;
CREATE INDEX events_by_time ON events (time, node, seq);
CREATE INDEX events_by_device ON events (device, time) WHERE device IS NOT NULL;

-- Signed statements about a chain: kind 'head' says that the row with this number had this hash,
-- kind 'pruned' also that the rows up to it were removed for their age.
CREATE TABLE checkpoints (
    node TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    time INTEGER NOT NULL,
    spki BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (node, seq, kind)
) STRICT;

-- How far a reader of the events came: 'notify', say.
CREATE TABLE cursors (
    reader TEXT NOT NULL,
    node TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (reader, node)
) STRICT;

-- The registrar's own certificates, for all nodes. seq: without gaps, so that of two writers one is refused.
-- chain: PEM, its own first.
CREATE TABLE own_certificates (
    seq INTEGER PRIMARY KEY,
    spki BLOB NOT NULL,
    chain TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Roots of the domain that took over from earlier ones, each with what leads from one to the other (RFC 4210 4.4).
CREATE TABLE domain_roots (
    seq INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    previous BLOB NOT NULL,
    old_with_new BLOB NOT NULL,
    new_with_old BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    left_at INTEGER
) STRICT;

-- What somebody was warned of, once for all nodes.
CREATE TABLE own_warnings (
    about TEXT PRIMARY KEY
) STRICT;

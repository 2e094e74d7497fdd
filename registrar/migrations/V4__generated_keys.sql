-- Private keys that the registrar made for devices (RFC 7030 §4.4), sealed under a key that is not in the database
-- (vault.rs). A row is there from the request until the device has had time to fetch its key.
CREATE TABLE generated_keys (
    wish BLOB PRIMARY KEY,
    device TEXT NOT NULL REFERENCES devices (id),
    enrollment BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    sent_at INTEGER
) STRICT;
CREATE INDEX generated_keys_by_device ON generated_keys (device);

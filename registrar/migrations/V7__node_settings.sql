-- What each node says of the settings that must be the same at all of them: JSON, each key with a digest of its value.
CREATE TABLE node_settings (
    node TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT;

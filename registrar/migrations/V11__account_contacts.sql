-- contacts: how the CA was told to reach the account's owner, a JSON array of URLs; '[]' where it was told nothing.
-- contacts_refused: what it said where it did not take them.
ALTER TABLE accounts ADD COLUMN contacts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE accounts ADD COLUMN contacts_refused TEXT;

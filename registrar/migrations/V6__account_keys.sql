-- thumbprint: of the key that the CA knows the account by (RFC 7638); '' where that was not written down yet.
-- ended: 1 if an operator ended the account.
ALTER TABLE accounts ADD COLUMN thumbprint TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;

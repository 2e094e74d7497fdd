-- authority: SHA-256 of the CA certificate directly above, where the chain had one; it says which of the
-- chain_certificates /cacerts must still serve.
ALTER TABLE certificates ADD COLUMN authority BLOB;
CREATE INDEX certificates_by_authority ON certificates (authority, issuer, not_after) WHERE revoked_at IS NULL;

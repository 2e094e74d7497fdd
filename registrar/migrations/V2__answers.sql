-- Challenge answers of every type, and those that must still be taken back from where they were put.
-- kind: txt, http or tls-alpn. place: built-in, rfc2136, exec or acme-dns. retired: no order needs it any more.
-- reversed: a TXT record's owner name, the labels from the right, so that what stands below a name is a range.

ALTER TABLE challenge_answers ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE challenge_answers ADD COLUMN kind TEXT NOT NULL DEFAULT 'txt';
ALTER TABLE challenge_answers ADD COLUMN place TEXT NOT NULL DEFAULT 'built-in';
ALTER TABLE challenge_answers ADD COLUMN reversed TEXT NOT NULL DEFAULT '';
ALTER TABLE challenge_answers ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;

-- Until now an owner was always _acme-challenge.NAME.
UPDATE challenge_answers SET name = substr(owner, 17);

CREATE INDEX challenge_answers_by_place ON challenge_answers (reversed) WHERE retired = 0 AND kind = 'txt';

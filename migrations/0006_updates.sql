-- Contacts that follow their records.

-- When a contact was last written because its record changed: so many a day may be, without a person's word.
ALTER TABLE refs ADD COLUMN updated INTEGER;
CREATE INDEX refs_updated ON refs (source, updated) WHERE updated IS NOT NULL;

-- Settled references that the next sync reads and delivers again, though their records have not changed: what another
-- one on their contact gave up may be theirs now.
CREATE TABLE revisits (
    ref    INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    source TEXT NOT NULL,
    since  INTEGER NOT NULL,
    why    TEXT NOT NULL
) STRICT;
CREATE INDEX revisits_of_source ON revisits (source, since);

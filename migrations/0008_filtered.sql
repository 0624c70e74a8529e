-- People whom a source's filter keeps out, and tags that are to be taken off again.

-- That the filter keeps somebody out is evidence of its own kind.
CREATE TABLE gone_or_filtered (
    ref      INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    fate     TEXT NOT NULL CHECK (fate IN ('kept', 'tagged', 'deleted', 'held')),
    evidence TEXT NOT NULL CHECK (evidence IN ('feed', 'sweep', 'filter')),
    stamp    INTEGER,
    pass     INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
INSERT INTO gone_or_filtered SELECT ref, fate, evidence, stamp, pass, at FROM gone;
DROP TABLE gone;
ALTER TABLE gone_or_filtered RENAME TO gone;
CREATE INDEX gone_since ON gone (fate, at);

-- The filter each source was read under last (none: NULL), and the last pass before it: who was looked at up to then was
-- judged by an earlier one.
CREATE TABLE filters (
    source TEXT PRIMARY KEY,
    filter INTEGER,
    pass   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_filtered ON refs (source, seen_pass) WHERE reason = 'filtered';
CREATE INDEX refs_looked_at ON refs (source, seen_pass) WHERE state = 'settled';

-- References whose contact carries a tag that is true no longer: the record is back, or lives on in another.
CREATE TABLE tags_owed (
    ref    INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    source TEXT NOT NULL
) STRICT;
CREATE INDEX tags_owed_of_source ON tags_owed (source);

-- People who leave a CRM, ids written back to it, and what reading it costs a day.

-- A reference whose record the CRM has no longer, and what became of its contact. A merged record has an alias instead,
-- and is here only where its contact was left apart from the survivor's.
CREATE TABLE gone (
    ref      INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    fate     TEXT NOT NULL CHECK (fate IN ('kept', 'tagged', 'deleted', 'held')),
    evidence TEXT NOT NULL CHECK (evidence IN ('feed', 'sweep')),
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX gone_since ON gone (fate, at);

-- Propstreet's id that is to be written into the CRM's record. `refused` holds the CRM's words when it would not take it.
CREATE TABLE write_backs (
    ref     INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    refused TEXT,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX write_backs_owed ON write_backs (ref) WHERE refused IS NULL;

-- Requests to a source's CRM by the hour (since 1970), kept for a day.
CREATE TABLE spent (
    source   TEXT NOT NULL,
    hour     INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

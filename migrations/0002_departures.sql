-- People who leave a CRM, ids written back to it, what reading it costs a day, and under which map it was read.

-- A reference whose record the CRM has no longer, and what became of its contact: `held` is not decided yet, because
-- more have left than the guard lets go, or because its pass has not come to its end. A merged record has an alias instead.
-- `stamp` is the CRM's own of the deletion, where it has one: what is shown with an older one is a late echo. `pass` is
-- the pass that last saw it gone.
CREATE TABLE gone (
    ref      INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    fate     TEXT NOT NULL CHECK (fate IN ('kept', 'tagged', 'deleted', 'held')),
    evidence TEXT NOT NULL CHECK (evidence IN ('feed', 'sweep')),
    stamp    INTEGER,
    pass     INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX gone_since ON gone (fate, at);

-- The survivor's stamp when the merge was seen: a loser that is shown with no older one has been taken out of the bin.
ALTER TABLE aliases ADD COLUMN stamp INTEGER;
CREATE INDEX aliases_of_survivor ON aliases (survivor_namespace, survivor_id);

-- The field of each source's CRM that takes Propstreet's ids. A source without one owes nothing.
CREATE TABLE write_back_fields (
    source TEXT PRIMARY KEY,
    field  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- References whose contact's id is owed to that field, and when each is tried next. `refused` holds the CRM's words
-- when it would not take it.
CREATE TABLE write_backs (
    ref     INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    source  TEXT NOT NULL,
    due     INTEGER NOT NULL DEFAULT 0,
    refused TEXT
) STRICT;
CREATE INDEX write_backs_due ON write_backs (source, due);
CREATE INDEX write_backs_refused ON write_backs (source) WHERE refused IS NOT NULL;

-- A settlement that gives a reference another contact, or its old one again, makes it owed in the same transaction,
-- whoever settles it: a process that dies a moment later finds it here.
CREATE TRIGGER write_back_is_owed AFTER UPDATE OF source, state, propstreet_id ON refs
WHEN NEW.state = 'settled'
    AND (OLD.state <> 'settled' OR NEW.propstreet_id IS NOT OLD.propstreet_id OR NEW.source IS NOT OLD.source)
BEGIN
    INSERT OR REPLACE INTO write_backs (ref, source)
        SELECT NEW.ref, NEW.source FROM write_back_fields WHERE source = NEW.source;
END;
CREATE TRIGGER write_back_is_owed_no_longer AFTER UPDATE OF state ON refs
WHEN OLD.state = 'settled' AND NEW.state <> 'settled'
BEGIN
    DELETE FROM write_backs WHERE ref = NEW.ref;
END;

-- The version of the map each source was read under last: under another one, whom the map alone kept out is due again.
CREATE TABLE maps (
    source  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests to a source's CRM by the hour (since 1970), kept for a day.
CREATE TABLE spent (
    source   TEXT NOT NULL,
    hour     INTEGER NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- How many requests a day each source's CRM allows, by its last word: the next process must not ask first to know.
CREATE TABLE daily_limits (
    source   TEXT PRIMARY KEY,
    requests INTEGER NOT NULL CHECK (requests > 0)
) STRICT, WITHOUT ROWID;

-- Companies of Propstreet that employers of CRMs became.

-- One row a CRM's company, by the reference its company carries in Propstreet. `announced`: a write was sent whose answer
-- is not known; `settled`: it is that company; `waiting`: no company can be told to be it, `note` says why. `fields` holds
-- for each field a keyed hash of what the CRM said last and of what Propstreet returned then.
CREATE TABLE companies (
    company       INTEGER PRIMARY KEY,
    namespace     TEXT NOT NULL,
    id            TEXT NOT NULL,
    source        TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('announced', 'settled', 'waiting')),
    propstreet_id TEXT,
    etag          TEXT,
    fields        TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(fields)),
    note          TEXT NOT NULL,
    first_seen    INTEGER NOT NULL,
    last_changed  INTEGER NOT NULL,
    UNIQUE (namespace, id),
    CHECK (state <> 'settled' OR propstreet_id IS NOT NULL)
) STRICT;

-- When an employer that waits is tried again, and why it waits. One that has no row here is tried by the next sync.
CREATE TABLE awaited_employers (
    ref INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    due INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT;

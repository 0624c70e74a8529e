-- Merges that a CRM's webhook told of, and no reading has borne out yet.

-- By the CRM's own ids; of each loser the word that came last. It was told at `since`, is read after when `due`, and is
-- forgotten when reading has borne it out, or after a day. A reference that is a loser here is not let go.
CREATE TABLE told_merges (
    source   TEXT NOT NULL,
    loser    TEXT NOT NULL,
    survivor TEXT NOT NULL,
    since    INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    PRIMARY KEY (source, loser)
) STRICT, WITHOUT ROWID;

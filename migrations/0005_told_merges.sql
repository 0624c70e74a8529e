-- Merges that a CRM's webhook told of, by the CRM's own ids: hints, each kept until reading has borne it out, or for a day.
CREATE TABLE told_merges (
    source   TEXT NOT NULL,
    loser    TEXT NOT NULL,
    survivor TEXT NOT NULL,
    since    INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    PRIMARY KEY (source, loser)
) STRICT, WITHOUT ROWID;

-- What people decided by hand about single records.

-- One row a reference that something was decided about. `without_email`: it goes to Propstreet without its address.
-- `same_as`: it is the person of this contact, whatever their names are. `detach`: its reference is to be taken off this
-- contact, and is not yet. `revive`: its contact, deleted there, is to be brought back, and is not yet.
CREATE TABLE decisions (
    ref           INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    without_email INTEGER NOT NULL DEFAULT 0 CHECK (without_email IN (0, 1)),
    same_as       TEXT,
    detach        TEXT,
    revive        INTEGER NOT NULL DEFAULT 0 CHECK (revive IN (0, 1)),
    at            INTEGER NOT NULL
) STRICT;

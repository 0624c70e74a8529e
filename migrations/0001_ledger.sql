-- The whole ledger. Times are milliseconds since 1970 in UTC, except Propstreet's own stamps, kept as text untouched.
-- No column holds personal data: ids, references and keyed hashes only; the payload of a quarantined record expires.
-- Columns and tables that later rules fill (aliases, never_link, tombstones, seen_pass) stand here from the start,
-- because giving a table of a million rows a new shape later is the dear way.

-- One row a reference. `fingerprint`, `mapping`, `owned` and `propstreet_id` describe what was settled last, and stay
-- when the record is later quarantined, deferred or deleted.
CREATE TABLE refs (
    ref                INTEGER PRIMARY KEY,
    namespace          TEXT NOT NULL,
    id                 TEXT NOT NULL,
    source             TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('unsettled', 'settled', 'quarantined', 'deferred', 'deleted', 'moved')),
    outcome            TEXT CHECK (outcome IN ('created', 'adopted', 'linked', 'updated', 'unchanged', 'skipped', 'quarantined', 'deferred')),
    reason             TEXT,
    propstreet_id      TEXT,
    etag               TEXT,
    fingerprint        BLOB CHECK (length(fingerprint) = 32),
    mapping            INTEGER,
    owned              TEXT CHECK (json_valid(owned)),
    name               BLOB CHECK (length(name) = 16),
    email              BLOB CHECK (length(email) = 16),
    crm_modified       INTEGER,
    drifted            INTEGER NOT NULL DEFAULT 0 CHECK (drifted IN (0, 1)),
    pending_employment INTEGER NOT NULL DEFAULT 0 CHECK (pending_employment IN (0, 1)),
    attempts           INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    first_cause        TEXT,
    first_failed       INTEGER,
    next_try           INTEGER,
    seen_pass          INTEGER,
    first_seen         INTEGER NOT NULL,
    last_changed       INTEGER NOT NULL,
    UNIQUE (namespace, id),
    CHECK (state <> 'settled' OR (propstreet_id IS NOT NULL AND fingerprint IS NOT NULL AND mapping IS NOT NULL)),
    CHECK (state IN ('quarantined', 'deferred') OR next_try IS NULL)
) STRICT;
CREATE INDEX refs_settled ON refs (source, mapping) WHERE state = 'settled';
CREATE INDEX refs_waiting ON refs (source, state, reason, next_try) WHERE state IN ('quarantined', 'deferred');
CREATE INDEX refs_due ON refs (source, next_try) WHERE next_try IS NOT NULL;
CREATE INDEX refs_deleted ON refs (source) WHERE state = 'deleted';
CREATE INDEX refs_drifted ON refs (source) WHERE drifted = 1;
CREATE INDEX refs_pending_employment ON refs (source) WHERE pending_employment = 1;
CREATE INDEX refs_of_contact ON refs (propstreet_id) WHERE propstreet_id IS NOT NULL;
CREATE INDEX refs_of_email ON refs (email) WHERE email IS NOT NULL;

-- A write that was announced and has no outcome yet.
CREATE TABLE intents (
    ref         INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    source      TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('create', 'link', 'update', 'company', 'write_back')),
    target      TEXT,
    email       BLOB CHECK (length(email) = 16),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_of_email ON intents (email) WHERE email IS NOT NULL;

-- A record that needs a person.
CREATE TABLE quarantine (
    ref         INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    blocker     TEXT,
    fingerprint BLOB CHECK (length(fingerprint) = 32),
    payload     TEXT,
    expires     INTEGER,
    since       INTEGER NOT NULL,
    CHECK ((payload IS NULL) = (expires IS NULL))
) STRICT;
CREATE INDEX quarantine_of_blocker ON quarantine (blocker) WHERE blocker IS NOT NULL;
CREATE INDEX quarantine_expiring ON quarantine (expires) WHERE expires IS NOT NULL;

-- A reference whose record was merged into another.
CREATE TABLE aliases (
    ref                INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    survivor_namespace TEXT NOT NULL,
    survivor_id        TEXT NOT NULL,
    at                 INTEGER NOT NULL
) STRICT;

-- A person decided that this reference and this contact are not one person.
CREATE TABLE never_link (
    ref           INTEGER NOT NULL REFERENCES refs (ref) ON DELETE CASCADE,
    propstreet_id TEXT NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (ref, propstreet_id)
) STRICT, WITHOUT ROWID;

-- Somebody erased: the salted hash of a reference that is not to be created again.
CREATE TABLE tombstones (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    at   INTEGER NOT NULL
) STRICT;

-- Propstreet's contacts as last seen. `emails` is the hashes one after the other, the primary first; `refs` the keys
-- we compare; `spelled` the references as Propstreet spells them. The two tables below find a contact by either.
CREATE TABLE index_contacts (
    contact INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    etag    TEXT,
    deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    name    BLOB CHECK (length(name) = 16),
    emails  BLOB NOT NULL CHECK (length(emails) % 16 = 0),
    refs    TEXT NOT NULL CHECK (json_valid(refs)),
    spelled TEXT NOT NULL CHECK (json_valid(spelled)),
    updated TEXT NOT NULL
) STRICT;

CREATE TABLE index_emails (
    email   BLOB NOT NULL CHECK (length(email) = 16),
    contact INTEGER NOT NULL REFERENCES index_contacts (contact) ON DELETE CASCADE,
    place   INTEGER NOT NULL CHECK (place >= 0),
    PRIMARY KEY (email, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_emails_of_contact ON index_emails (contact);

CREATE TABLE index_refs (
    namespace TEXT NOT NULL,
    id        TEXT NOT NULL,
    contact   INTEGER NOT NULL REFERENCES index_contacts (contact) ON DELETE CASCADE,
    PRIMARY KEY (namespace, id, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_refs_of_contact ON index_refs (contact);

CREATE TABLE index_state (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    filled INTEGER NOT NULL CHECK (filled IN (0, 1)),
    cursor TEXT,
    since  TEXT
) STRICT;
INSERT INTO index_state (one, filled) VALUES (1, 0);

-- How far a source has been read, a cursor a kind of pass.
CREATE TABLE cursors (
    source    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    watermark INTEGER,
    lo        INTEGER,
    hi        INTEGER,
    resume    TEXT,
    PRIMARY KEY (source, kind),
    CHECK ((lo IS NULL) = (hi IS NULL)),
    CHECK (resume IS NULL OR lo IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE passes (
    pass    INTEGER PRIMARY KEY AUTOINCREMENT,
    source  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('open', 'complete', 'incomplete', 'interrupted')),
    began   INTEGER NOT NULL,
    ended   INTEGER,
    counts  TEXT CHECK (json_valid(counts)),
    trouble TEXT,
    CHECK ((state = 'open') = (ended IS NULL))
) STRICT;
CREATE INDEX passes_of_source ON passes (source, kind);
CREATE INDEX passes_complete ON passes (source, kind) WHERE state = 'complete';
CREATE UNIQUE INDEX passes_open ON passes (source, kind) WHERE state = 'open';

-- What the ledger may be used with: a source's upstream account, Propstreet's base URL and client, the key file.
CREATE TABLE bindings (
    subject TEXT PRIMARY KEY,
    value   TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, append-only. `digest` is sha256(body), `chain` is sha256(chain before || digest), so that a body can
-- be emptied (a person's right) and the chain still holds.
CREATE TABLE events (
    event  INTEGER PRIMARY KEY,
    ref    INTEGER REFERENCES refs (ref) ON DELETE SET NULL,
    body   TEXT,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    chain  BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;
CREATE INDEX events_of_ref ON events (ref);
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER events_are_only_emptied BEFORE UPDATE ON events
WHEN NEW.event IS NOT OLD.event OR NEW.digest IS NOT OLD.digest OR NEW.chain IS NOT OLD.chain OR NEW.body IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an event can only be emptied');
END;

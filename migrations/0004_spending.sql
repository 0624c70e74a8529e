-- What was paid for a source's requests, and out of what.

-- A CRM counts what it allows a day in a unit of its own, requests or tokens. `requests` stays what was sent; `everyday` and
-- `backfill` are what was paid for it in that unit. A backfill that has a share of its own is counted apart, so that polls
-- go on beside it. Until now a request was the unit, and all of it everyday.
ALTER TABLE spent ADD COLUMN everyday INTEGER NOT NULL DEFAULT 0 CHECK (everyday >= 0);
ALTER TABLE spent ADD COLUMN backfill INTEGER NOT NULL DEFAULT 0 CHECK (backfill >= 0);
UPDATE spent SET everyday = requests;
ALTER TABLE daily_limits RENAME COLUMN requests TO units;
-- What can wait, a sweep or a write-back, is counted apart too, so that it leaves polls their part.
ALTER TABLE spent ADD COLUMN leisure INTEGER NOT NULL DEFAULT 0 CHECK (leisure >= 0);

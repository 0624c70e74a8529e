-- A CRM counts what it allows a day in a unit of its own, requests or tokens; and a backfill that has a share of its own is
-- counted apart, so that polls go on beside it.
ALTER TABLE spent ADD COLUMN everyday INTEGER NOT NULL DEFAULT 0 CHECK (everyday >= 0);
ALTER TABLE spent ADD COLUMN backfill INTEGER NOT NULL DEFAULT 0 CHECK (backfill >= 0);
UPDATE spent SET everyday = requests;
ALTER TABLE daily_limits RENAME COLUMN requests TO units;

-- Whom a sweep has met.

-- The sweep that last showed a reference, or asked for it by id: by the instant it began, in milliseconds. It is written
-- page by page together with the sweep's place, so that at its end it is known who is missing, whatever process read
-- which page. A table of its own, because it is rewritten every day and the rows of `refs` are wide.
CREATE TABLE sweep_marks (
    ref   INTEGER PRIMARY KEY REFERENCES refs (ref) ON DELETE CASCADE,
    sweep INTEGER NOT NULL
) STRICT;

-- A sweep under way has marked nobody: it begins anew.
DELETE FROM cursors WHERE kind = 'sweep' AND lo IS NOT NULL;

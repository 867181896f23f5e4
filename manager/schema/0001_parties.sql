-- Keys count up: the newest rows lie side by side, so a batch of them touches few pages.

CREATE TABLE parties (
    id INTEGER PRIMARY KEY,
    code INTEGER NOT NULL CHECK (code BETWEEN 100000000 AND 999999999),
    leader_id INTEGER NOT NULL CHECK (leader_id BETWEEN 0 AND next_participant_id - 1),
    capacity INTEGER NOT NULL CHECK (capacity > 0),
    next_participant_id INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at_ms INTEGER NOT NULL,
    name TEXT,
    cell INTEGER,
    discoverable INTEGER NOT NULL CHECK (discoverable IN (0, 1)),
    locked INTEGER NOT NULL CHECK (locked IN (0, 1)),
    attributes TEXT
) STRICT;

-- That a code and a device stand here once is kept in memory and checked at each load: an index over random values
-- costs more than the row itself.
CREATE TABLE participants (
    party_id INTEGER NOT NULL REFERENCES parties (id),
    id INTEGER NOT NULL CHECK (id >= 0),
    device BLOB NOT NULL CHECK (length(device) = 16),
    name TEXT,
    joined_at_ms INTEGER NOT NULL,
    PRIMARY KEY (party_id, id)
) STRICT, WITHOUT ROWID;

-- Codes of parties that closed: not drawn again for a while.
CREATE TABLE resting_codes (
    party_id INTEGER PRIMARY KEY,
    code INTEGER NOT NULL,
    closed_at_ms INTEGER NOT NULL
) STRICT;

-- What each Idempotency-Key got. Keys and requests are kept as hashes.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL CHECK (length(key) = 16),
    request BLOB NOT NULL CHECK (length(request) = 16),
    at_ms INTEGER NOT NULL,
    code INTEGER NOT NULL,
    party_id INTEGER NOT NULL,
    participant_id INTEGER NOT NULL,
    is_new INTEGER NOT NULL CHECK (is_new IN (0, 1))
) STRICT;

-- 'device' hashes devices; 'area:457' signs the tokens of that area code's parties and moves with it.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT, WITHOUT ROWID;

-- The next party id: ids never come back, also when the newest party has closed.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

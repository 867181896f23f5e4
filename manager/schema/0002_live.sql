-- What is known of a participant besides their seat. `seen_ms` counts the manager's running time.
ALTER TABLE participants ADD COLUMN seen_ms INTEGER NOT NULL DEFAULT 0 CHECK (seen_ms >= 0);
ALTER TABLE participants ADD COLUMN is_live INTEGER NOT NULL DEFAULT 0 CHECK (is_live IN (0, 1));
ALTER TABLE participants ADD COLUMN attributes TEXT;

-- Devices that a party's leader has sent away for good.
CREATE TABLE bans (
    party_id INTEGER NOT NULL REFERENCES parties (id),
    device BLOB NOT NULL CHECK (length(device) = 16),
    PRIMARY KEY (party_id, device)
) STRICT, WITHOUT ROWID;

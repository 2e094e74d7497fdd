-- What a manufacturer's IDevIDs are like: where the serial number stands, and whether they may have ended; JSON.
ALTER TABLE manufacturers ADD COLUMN idevid TEXT NOT NULL DEFAULT '{}';

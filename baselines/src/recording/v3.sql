-- Schema version 3 of recordings: one file may hold several recordings, its sources. Windows and containers belong to a
-- source through their boot. What was one recording becomes the file's own source.

-- A recording: everything that one recorder counted on one node. Of several copies the one that is furthest replaces the
-- others: the highest revision; of these the one with most windows removed.
CREATE TABLE source (
  source INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  revision INTEGER NOT NULL CHECK (revision >= 0), -- grows with every change that its recorder makes
  created INTEGER NOT NULL CHECK (created >= 0),
  host TEXT NOT NULL,
  machine_id TEXT,
  own INTEGER UNIQUE CHECK (own = 1) -- 1 for the one that is recorded into here, NULL for copies of others
) STRICT;
INSERT INTO source SELECT 1, id, revision, created, host, machine_id, 1 FROM recording;
DROP TABLE recording;

CREATE TABLE new_boot (
  boot INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source,
  boot_id TEXT NOT NULL,
  kernel TEXT NOT NULL,
  UNIQUE (source, boot_id)
) STRICT;
INSERT INTO new_boot SELECT boot, 1, boot_id, kernel FROM boot;
DROP TABLE boot;
ALTER TABLE new_boot RENAME TO boot;

CREATE TABLE new_window (
  learning_window INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL REFERENCES boot,
  number INTEGER NOT NULL CHECK (number > 0), -- counts the windows of one source, removed ones too
  started INTEGER NOT NULL CHECK (started >= 0),
  last_flush INTEGER NOT NULL CHECK (last_flush >= 0), -- the start until there is one
  ended INTEGER CHECK (ended >= 0), -- NULL while it is open, or until its recorder is found to be gone
  end_reason TEXT CHECK ((end_reason IS NULL) = (ended IS NULL)),
  end_detail TEXT, -- the exit code, or the failure's message
  selector TEXT NOT NULL,
  backend TEXT NOT NULL,
  tool_version TEXT NOT NULL,
  flush_interval INTEGER NOT NULL CHECK (flush_interval >= 0), -- nanoseconds
  lossy_from_start TEXT, -- why it can miss observations without counting them
  observations INTEGER NOT NULL DEFAULT 0,
  new_behaviours INTEGER NOT NULL DEFAULT 0,
  redacted INTEGER NOT NULL DEFAULT 0 CHECK (redacted >= 0), -- observations with a part hidden
  UNIQUE (boot, number)
) STRICT;
INSERT INTO new_window SELECT learning_window, boot, learning_window, started, last_flush, ended, end_reason, end_detail,
  selector, backend, tool_version, flush_interval, lossy_from_start, observations, new_behaviours, 0
  FROM learning_window;
DROP TABLE learning_window;
ALTER TABLE new_window RENAME TO learning_window;

-- Whether a part of its names is hidden.
ALTER TABLE container ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0 CHECK (redacted IN (0, 1));

-- Windows that retention took away, oldest first: evidence is never silently less.
CREATE TABLE removed_window (
  source INTEGER NOT NULL REFERENCES source,
  number INTEGER NOT NULL CHECK (number > 0),
  started INTEGER NOT NULL CHECK (started >= 0),
  ended INTEGER NOT NULL CHECK (ended >= 0),
  observations INTEGER NOT NULL CHECK (observations >= 0),
  losses INTEGER NOT NULL CHECK (losses >= 0),
  PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;

-- Which images a removed window had seen: their baselines say that there was more.
CREATE TABLE removed_image (
  source INTEGER NOT NULL,
  number INTEGER NOT NULL,
  repository TEXT NOT NULL,
  tag TEXT,
  digest TEXT,
  FOREIGN KEY (source, number) REFERENCES removed_window
) STRICT;
CREATE INDEX removed_image_window ON removed_image (source, number);

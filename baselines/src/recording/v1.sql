-- Schema version 1 of recordings. A released version never changes; the next one is another step in schema.rs.
-- Times are UTC nanoseconds since the epoch, never negative. Counts are never negative either.

-- The file itself: one row.
CREATE TABLE recording (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  id BLOB NOT NULL CHECK (length(id) = 16),
  revision INTEGER NOT NULL, -- grows with every change; a higher one of the same id replaces
  created INTEGER NOT NULL,
  host TEXT NOT NULL,
  machine_id TEXT
) STRICT;

-- Cgroup ids are unique within one boot of the node.
CREATE TABLE boot (
  boot INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL UNIQUE,
  kernel TEXT NOT NULL
) STRICT;

CREATE TABLE learning_window (
  learning_window INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL REFERENCES boot,
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
  new_behaviours INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE container (
  container INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL REFERENCES boot,
  cgroup INTEGER NOT NULL CHECK (cgroup <> 0), -- the kernel's unsigned 64-bit id, as the signed number with these bits
  namespace TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  container_name TEXT NOT NULL,
  id TEXT NOT NULL, -- empty where there is none
  repository TEXT NOT NULL,
  tag TEXT,
  digest TEXT,
  cgroup_path BLOB NOT NULL,
  started INTEGER NOT NULL CHECK (started >= 0),
  alive_until INTEGER NOT NULL CHECK (alive_until >= 0),
  partial INTEGER NOT NULL CHECK (partial IN (0, 1)), -- its start was not seen
  UNIQUE (boot, cgroup)
) STRICT;

-- Which containers a window saw.
CREATE TABLE presence (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  container INTEGER NOT NULL REFERENCES container,
  PRIMARY KEY (learning_window, container)
) STRICT, WITHOUT ROWID;

-- Each behaviour once; encoding.rs says what the bytes mean.
CREATE TABLE behaviour (
  behaviour INTEGER PRIMARY KEY,
  encoding BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE observation (
  container INTEGER NOT NULL REFERENCES container,
  behaviour INTEGER NOT NULL REFERENCES behaviour,
  minute INTEGER NOT NULL CHECK (minute >= 0), -- whole minutes since the epoch
  phase INTEGER NOT NULL CHECK (phase IN (0, 1)), -- startup, steady
  provenance INTEGER NOT NULL CHECK (provenance BETWEEN 0 AND 3), -- workload, kubelet, entered, runtime
  count INTEGER NOT NULL CHECK (count > 0),
  first_seen INTEGER NOT NULL CHECK (first_seen >= 0),
  last_seen INTEGER NOT NULL CHECK (last_seen >= 0),
  PRIMARY KEY (container, behaviour, minute, phase, provenance)
) STRICT, WITHOUT ROWID;

CREATE TABLE loss (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  cgroup INTEGER NOT NULL, -- as container.cgroup; 0 where it is not known. It need not have become a container
  reason TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count > 0),
  first_seen INTEGER NOT NULL CHECK (first_seen >= 0),
  last_seen INTEGER NOT NULL CHECK (last_seen >= 0),
  PRIMARY KEY (learning_window, cgroup, reason)
) STRICT, WITHOUT ROWID;

-- How long the recorder's own work took, in nanoseconds.
CREATE TABLE latency (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  name TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count >= 0),
  p50 INTEGER NOT NULL CHECK (p50 >= 0),
  p90 INTEGER NOT NULL CHECK (p90 >= 0),
  p99 INTEGER NOT NULL CHECK (p99 >= 0),
  max INTEGER NOT NULL CHECK (max >= 0),
  PRIMARY KEY (learning_window, name)
) STRICT, WITHOUT ROWID;

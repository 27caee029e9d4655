-- Schema version 5 of recordings: parts of recordings, and the DNS names that containers had asked for the addresses of their
-- peers.

-- What one namespace's containers are of a whole recording: that one's id, and the namespace. The whole replaces its parts.
ALTER TABLE source ADD COLUMN part_of BLOB CHECK (length(part_of) = 16);
ALTER TABLE source ADD COLUMN namespace TEXT CHECK (namespace IS NULL OR part_of IS NOT NULL);
-- 1 for the word that `part_of`, or its part, is lost at this revision: it is no recording.
ALTER TABLE source ADD COLUMN lost INTEGER NOT NULL DEFAULT 0 CHECK (lost = 0 OR (lost = 1 AND part_of IS NOT NULL));

-- Each peer once, under each name that it was asked for by.
CREATE TABLE new_peer (
  peer INTEGER PRIMARY KEY,
  kind TEXT NOT NULL, -- service, pod, node, external, unknown
  namespace TEXT NOT NULL, -- of a service or pod; else empty
  workload_kind TEXT NOT NULL, -- of a pod; else empty
  name TEXT NOT NULL, -- of an unknown one: why it is unknown; of an external one: empty
  dns_name TEXT NOT NULL, -- empty where there is none
  UNIQUE (kind, namespace, workload_kind, name, dns_name)
) STRICT;
INSERT INTO new_peer SELECT peer, kind, namespace, workload_kind, name, '' FROM peer;
DROP TABLE peer;
ALTER TABLE new_peer RENAME TO peer;

-- NULL: names were not asked for. Empty: they are seen. Else: why they are not.
ALTER TABLE learning_window ADD COLUMN names TEXT;

-- Why names can be missing or wrong, and how often. No row: never.
CREATE TABLE name_gap (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  gap TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count > 0),
  PRIMARY KEY (learning_window, gap)
) STRICT, WITHOUT ROWID;

-- Schema version 4 of recordings: who was reached, beside the addresses in behaviours.

-- Each peer once. Which names it has: peer.rs.
CREATE TABLE peer (
  peer INTEGER PRIMARY KEY,
  kind TEXT NOT NULL, -- service, pod, node, external, unknown
  namespace TEXT NOT NULL, -- of a service or pod; else empty
  workload_kind TEXT NOT NULL, -- of a pod; else empty
  name TEXT NOT NULL, -- of an unknown one: why it is unknown; of an external one: empty
  UNIQUE (kind, namespace, workload_kind, name)
) STRICT;

-- How often a container reached a peer by a behaviour, in one window.
CREATE TABLE reached (
  container INTEGER NOT NULL REFERENCES container,
  behaviour INTEGER NOT NULL REFERENCES behaviour,
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  provenance INTEGER NOT NULL CHECK (provenance BETWEEN 0 AND 3), -- as in observation
  peer INTEGER NOT NULL REFERENCES peer,
  count INTEGER NOT NULL CHECK (count > 0),
  first_seen INTEGER NOT NULL CHECK (first_seen >= 0),
  last_seen INTEGER NOT NULL CHECK (last_seen >= 0),
  PRIMARY KEY (container, behaviour, learning_window, provenance, peer)
) STRICT, WITHOUT ROWID;

-- What is not in `reached` as it was, in observations. No row: everything is.
CREATE TABLE reached_apart (
  learning_window INTEGER PRIMARY KEY REFERENCES learning_window,
  redacted INTEGER NOT NULL CHECK (redacted >= 0), -- a name of the peer is hidden
  left_out INTEGER NOT NULL CHECK (left_out >= 0) -- the file, or the recorder's memory, had no room for the peer
) STRICT;

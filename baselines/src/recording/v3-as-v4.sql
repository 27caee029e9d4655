-- How a reader that may not write sees the peers of schema versions 1 to 3, which hold none: as version 5 has them.
CREATE TEMP VIEW peer AS
  SELECT 0 AS peer, '' AS kind, '' AS namespace, '' AS workload_kind, '' AS name, '' AS dns_name WHERE 0;
CREATE TEMP VIEW reached AS
  SELECT 0 AS container, 0 AS behaviour, 0 AS learning_window, 0 AS provenance, 0 AS peer, 0 AS count, 0 AS first_seen,
    0 AS last_seen WHERE 0;
CREATE TEMP VIEW reached_apart AS
  SELECT 0 AS learning_window, 0 AS redacted, 0 AS left_out WHERE 0;

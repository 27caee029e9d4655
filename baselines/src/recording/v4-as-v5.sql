-- How a reader that may not write sees schema versions 1 to 4: as version 5 has them.
CREATE TEMP VIEW name_gap AS SELECT 0 AS learning_window, '' AS gap, 0 AS count WHERE 0;

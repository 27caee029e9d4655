-- How a reader that may not write sees schema versions 3 and 4: as version 5 has them.
CREATE TEMP VIEW source AS SELECT *, NULL AS part_of, NULL AS namespace FROM main.source;

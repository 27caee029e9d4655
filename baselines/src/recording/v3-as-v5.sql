-- How a reader that may not write sees schema versions 3 and 4, which hold sources: as version 5 has them.
CREATE TEMP VIEW source AS SELECT *, NULL AS part_of, NULL AS namespace, 0 AS lost FROM main.source;
CREATE TEMP VIEW learning_window AS SELECT *, NULL AS names FROM main.learning_window;

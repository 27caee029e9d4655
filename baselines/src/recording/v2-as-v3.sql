-- How a reader that may not write sees schema versions 1 and 2: as version 3 has them, with the columns of later ones.
CREATE TEMP VIEW source AS
  SELECT 1 AS source, id, revision, created, host, machine_id, 1 AS own, NULL AS part_of, NULL AS namespace,
  0 AS lost
  FROM main.recording;
CREATE TEMP VIEW boot AS SELECT boot, 1 AS source, boot_id, kernel FROM main.boot;
CREATE TEMP VIEW learning_window AS
  SELECT *, learning_window AS number, 0 AS redacted, NULL AS names FROM main.learning_window;
CREATE TEMP VIEW container AS SELECT *, 0 AS redacted FROM main.container;
CREATE TEMP VIEW removed_window AS
  SELECT 0 AS source, 0 AS number, 0 AS started, 0 AS ended, 0 AS observations, 0 AS losses WHERE 0;
CREATE TEMP VIEW removed_image AS
  SELECT 0 AS source, 0 AS number, '' AS repository, NULL AS tag, NULL AS digest WHERE 0;

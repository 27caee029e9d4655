-- Schema version 5 of recordings: parts of recordings.

-- What one namespace's containers are of a whole recording: that one's id, and the namespace. The whole replaces its parts.
ALTER TABLE source ADD COLUMN part_of BLOB CHECK (length(part_of) = 16);
ALTER TABLE source ADD COLUMN namespace TEXT CHECK ((namespace IS NULL) = (part_of IS NULL));

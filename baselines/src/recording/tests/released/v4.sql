-- A recording as version 4 of the schema was written: kept to test that it can be read for ever.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
  partial INTEGER NOT NULL CHECK (partial IN (0, 1)), redacted INTEGER NOT NULL DEFAULT 0 CHECK (redacted IN (0, 1)), -- its start was not seen
  UNIQUE (boot, cgroup)
) STRICT;
INSERT INTO container VALUES(1,1,4711,'host','container','web','main','3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c','shop/web','1.4','sha256:abababababababababababababababababababababababababababababababab',X'2f73797374656d2e736c6963652f34373131',1790000005000000000,1790000090000000000,0,0);
INSERT INTO container VALUES(2,1,-6,'host','unit','[redacted]','main','','host/db.service',NULL,NULL,X'2f73797374656d2e736c6963652f3138343436373434303733373039353531363130',1790000005000000000,1790000090000000000,1,1);
INSERT INTO container VALUES(3,2,4711,'host','container','web','main','3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c','shop/web','1.4','sha256:abababababababababababababababababababababababababababababababab',X'2f73797374656d2e736c6963652f34373131',1790001001000000000,1790001030000000000,0,0);
CREATE TABLE presence (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  container INTEGER NOT NULL REFERENCES container,
  PRIMARY KEY (learning_window, container)
) STRICT, WITHOUT ROWID;
INSERT INTO presence VALUES(1,1);
INSERT INTO presence VALUES(1,2);
INSERT INTO presence VALUES(2,1);
INSERT INTO presence VALUES(3,3);
CREATE TABLE behaviour (
  behaviour INTEGER PRIMARY KEY,
  encoding BLOB NOT NULL UNIQUE
) STRICT;
INSERT INTO behaviour VALUES(1,X'01000000000d2f7573722f62696e2f72756e63000000000f2f7573722f62696e2f73657276657200');
INSERT INTO behaviour VALUES(2,X'02000000000f2f7573722f62696e2f73657276657200000000102f6574632f7365727665722e636f6e660100');
INSERT INTO behaviour VALUES(3,X'02000000000f2f7573722f62696e2f73657276657200000000122f6d65726765642f646174612f636166c3a90301000000000b2f646174612f636166c3a9');
INSERT INTO behaviour VALUES(4,X'02000000000f2f7573722f62696e2f73657276657201000000112f746d702f780a202864656c65746564290400');
INSERT INTO behaviour VALUES(5,X'03000000000f2f7573722f62696e2f736572766572040a000007153806');
INSERT INTO behaviour VALUES(6,X'0100000000072f62696e2f736800000000072f62696e2f736801040000000a2e2f636865636b2e7368');
INSERT INTO behaviour VALUES(7,X'02000000000c2f7573722f7362696e2f6462000000000d2f7661722f6c69622f64622f1f0200');
INSERT INTO behaviour VALUES(8,X'03000000000c2f7573722f7362696e2f64620620010db8000000000000000000000001003511');
INSERT INTO behaviour VALUES(9,X'02000000000f2f7573722f62696e2f73657276657200000000122f7573722f6c69622f6c6962632e736f2e360800');
INSERT INTO behaviour VALUES(10,X'04000000000f2f7573722f62696e2f736572766572000000000c2f72756e2f64622e736f636b');
INSERT INTO behaviour VALUES(11,X'06000000000f2f7573722f62696e2f73657276657204000000001f9006');
INSERT INTO behaviour VALUES(12,X'05000000000f2f7573722f62696e2f736572766572040a000035003511');
INSERT INTO behaviour VALUES(13,X'08000000000c2f7573722f7362696e2f6462000000000d2f7573722f62696e2f677a697000000008677a6970002d3900');
INSERT INTO behaviour VALUES(14,X'07000000000c2f7573722f7362696e2f6462000000000d2f7573722f62696e2f7375646f000000000000000000000001ff');
INSERT INTO behaviour VALUES(15,X'02000000000f2f7573722f62696e2f73657276657207000000122f686f6d652f5b72656461637465645d2f780100');
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
INSERT INTO observation VALUES(1,1,29833333,0,3,1,1790000005000000000,1790000006000000000);
INSERT INTO observation VALUES(1,2,29833333,0,0,1,1790000006000000000,1790000007000000000);
INSERT INTO observation VALUES(1,2,29833335,1,0,1,1790000120000000000,1790000121000000000);
INSERT INTO observation VALUES(1,3,29833334,1,0,12,1790000070000000000,1790000071000000000);
INSERT INTO observation VALUES(1,4,29833334,1,0,3,1790000071000000000,1790000072000000000);
INSERT INTO observation VALUES(1,5,29833334,1,0,40,1790000075000000000,1790000076000000000);
INSERT INTO observation VALUES(1,6,29833334,1,2,2,1790000080000000000,1790000081000000000);
INSERT INTO observation VALUES(1,9,29833333,0,0,1,1790000006000000000,1790000007000000000);
INSERT INTO observation VALUES(1,10,29833333,0,0,1,1790000009000000000,1790000010000000000);
INSERT INTO observation VALUES(1,11,29833333,0,0,1,1790000009000000000,1790000010000000000);
INSERT INTO observation VALUES(1,12,29833334,1,0,5,1790000072000000000,1790000073000000000);
INSERT INTO observation VALUES(1,15,29833334,1,0,3,1790000040000000000,1790000041000000000);
INSERT INTO observation VALUES(2,7,29833333,1,0,9,1790000007000000000,1790000008000000000);
INSERT INTO observation VALUES(2,8,29833333,1,0,1,1790000008000000000,1790000009000000000);
INSERT INTO observation VALUES(2,13,29833333,1,0,1,1790000020000000000,1790000021000000000);
INSERT INTO observation VALUES(2,14,29833333,1,0,1,1790000021000000000,1790000022000000000);
INSERT INTO observation VALUES(3,2,29833350,0,0,1,1790001010000000000,1790001011000000000);
CREATE TABLE loss (
  learning_window INTEGER NOT NULL REFERENCES learning_window,
  cgroup INTEGER NOT NULL, -- as container.cgroup; 0 where it is not known. It need not have become a container
  reason TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count > 0),
  first_seen INTEGER NOT NULL CHECK (first_seen >= 0),
  last_seen INTEGER NOT NULL CHECK (last_seen >= 0),
  PRIMARY KEY (learning_window, cgroup, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO loss VALUES(1,0,'map_full',2,1790000011000000000,1790000013000000000);
INSERT INTO loss VALUES(1,99,'batch_cut',1,1790000080000000000,1790000082000000000);
INSERT INTO loss VALUES(1,4711,'key_quota',7,1790000010000000000,1790000012000000000);
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
INSERT INTO latency VALUES(1,'drain',45,1100000,2200000,3300000,9900000);
INSERT INTO latency VALUES(1,'flush',45,1100000,2200000,3300000,9900000);
CREATE TABLE source (
  source INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  revision INTEGER NOT NULL CHECK (revision >= 0), -- grows with every change that its recorder makes
  created INTEGER NOT NULL CHECK (created >= 0),
  host TEXT NOT NULL,
  machine_id TEXT,
  own INTEGER UNIQUE CHECK (own = 1) -- 1 for the one that is recorded into here, NULL for copies of others
) STRICT;
INSERT INTO source VALUES(1,X'0123456789abcdef0000000000000055',9,1790000000000000000,'worker-1','0f1e2d3c4b5a69788796a5b4c3d2e1f0',1);
INSERT INTO source VALUES(2,X'0123456789abcdef0000000000000066',5,1789990000000000000,'worker-2',NULL,NULL);
CREATE TABLE IF NOT EXISTS "boot" (
  boot INTEGER PRIMARY KEY,
  source INTEGER NOT NULL REFERENCES source,
  boot_id TEXT NOT NULL,
  kernel TEXT NOT NULL,
  UNIQUE (source, boot_id)
) STRICT;
INSERT INTO boot VALUES(1,1,'5a1e0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4','6.12.30');
INSERT INTO boot VALUES(2,1,'77aa0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4','6.12.30');
CREATE TABLE IF NOT EXISTS "learning_window" (
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
INSERT INTO learning_window VALUES(1,1,1,1790000000000000000,1790000090000000000,1790000091000000000,'completed',NULL,'host (unified cgroup hierarchy)','tracepoint','0.1.0',2000000000,NULL,82,15,3);
INSERT INTO learning_window VALUES(2,1,2,1790000100000000000,1790000130000000000,1790000131000000000,'command_exited','3','run shop/web:1.4','tracepoint','0.1.0',2000000000,'kprobes may be skipped',1,0,0);
INSERT INTO learning_window VALUES(3,2,3,1790001000000000000,1790001030000000000,NULL,NULL,NULL,'host (unified cgroup hierarchy)','tracepoint','0.1.0',2000000000,NULL,1,0,0);
CREATE TABLE removed_window (
  source INTEGER NOT NULL REFERENCES source,
  number INTEGER NOT NULL CHECK (number > 0),
  started INTEGER NOT NULL CHECK (started >= 0),
  ended INTEGER NOT NULL CHECK (ended >= 0),
  observations INTEGER NOT NULL CHECK (observations >= 0),
  losses INTEGER NOT NULL CHECK (losses >= 0),
  PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;
INSERT INTO removed_window VALUES(2,1,1789990000000000000,1789990090000000000,12,3);
CREATE TABLE removed_image (
  source INTEGER NOT NULL,
  number INTEGER NOT NULL,
  repository TEXT NOT NULL,
  tag TEXT,
  digest TEXT,
  FOREIGN KEY (source, number) REFERENCES removed_window
) STRICT;
INSERT INTO removed_image VALUES(2,1,'shop/web','1.4','sha256:abababababababababababababababababababababababababababababababab');
CREATE INDEX removed_image_window ON removed_image (source, number);
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
INSERT INTO peer VALUES(1,'service','shop','','db');
INSERT INTO peer VALUES(2,'pod','shop','StatefulSet','db');
INSERT INTO peer VALUES(3,'unknown','','','unanswered');
INSERT INTO peer VALUES(4,'node','','','[redacted]');
INSERT INTO reached VALUES(1,5,1,0,1,37,1790000075000000000,1790000075500000000);
INSERT INTO reached VALUES(1,5,1,0,2,2,1790000075500000000,1790000076000000000);
INSERT INTO reached VALUES(1,12,1,0,3,5,1790000072000000000,1790000073000000000);
INSERT INTO reached VALUES(2,8,1,0,4,1,1790000008000000000,1790000009000000000);
INSERT INTO reached_apart VALUES(1,1,1);

PRAGMA application_id = 1463898692;
PRAGMA user_version = 4;
COMMIT;

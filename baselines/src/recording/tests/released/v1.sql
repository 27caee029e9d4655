-- A recording as version 1 of the schema was written: kept to test that it can be read for ever.
BEGIN TRANSACTION;
CREATE TABLE recording (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  id BLOB NOT NULL CHECK (length(id) = 16),
  revision INTEGER NOT NULL, -- grows with every change; a higher one of the same id replaces
  created INTEGER NOT NULL,
  host TEXT NOT NULL,
  machine_id TEXT
) STRICT;
INSERT INTO recording VALUES(1,X'0123456789abcdef0000000000000011',9,1790000000000000000,'worker-1','0f1e2d3c4b5a69788796a5b4c3d2e1f0');
CREATE TABLE boot (
  boot INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL UNIQUE,
  kernel TEXT NOT NULL
) STRICT;
INSERT INTO boot VALUES(1,'5a1e0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4','6.12.30');
INSERT INTO boot VALUES(2,'77aa0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4','6.12.30');
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
INSERT INTO learning_window VALUES(1,1,1790000000000000000,1790000090000000000,1790000091000000000,'completed',NULL,'host (unified cgroup hierarchy)','tracepoint','0.1.0',2000000000,NULL,69,8);
INSERT INTO learning_window VALUES(2,1,1790000100000000000,1790000130000000000,1790000131000000000,'command_exited','3','run shop/web:1.4','tracepoint','0.1.0',2000000000,'kprobes may be skipped',1,0);
INSERT INTO learning_window VALUES(3,2,1790001000000000000,1790001030000000000,NULL,NULL,NULL,'host (unified cgroup hierarchy)','tracepoint','0.1.0',2000000000,NULL,1,0);
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
INSERT INTO container VALUES(1,1,4711,'host','container','web','main','3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c','shop/web','1.4','sha256:abababababababababababababababababababababababababababababababab',X'2f73797374656d2e736c6963652f34373131',1790000005000000000,1790000090000000000,0);
INSERT INTO container VALUES(2,1,-6,'host','unit','db.service','main','','host/db.service',NULL,NULL,X'2f73797374656d2e736c6963652f3138343436373434303733373039353531363130',1790000005000000000,1790000090000000000,1);
INSERT INTO container VALUES(3,2,4711,'host','container','web','main','3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c','shop/web','1.4','sha256:abababababababababababababababababababababababababababababababab',X'2f73797374656d2e736c6963652f34373131',1790001001000000000,1790001030000000000,0);
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
INSERT INTO observation VALUES(2,7,29833333,1,0,9,1790000007000000000,1790000008000000000);
INSERT INTO observation VALUES(2,8,29833333,1,0,1,1790000008000000000,1790000009000000000);
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
INSERT INTO loss VALUES(1,99,'undescribed',1,1790000080000000000,1790000082000000000);
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

PRAGMA application_id = 1463898692;
PRAGMA user_version = 1;
COMMIT;

//! Names as real programs make them.

use super::mined_from;
use crate::templates::signature;

/// Paths of one program, and the templates that they all fold into.
const MADE_UP: &[(&[&str], &[&str])] = &[
    (
        &[
            "/var/lib/nginx/body/0000000001",
            "/var/lib/nginx/body/0000000002",
            "/var/lib/nginx/body/0000000017",
            "/var/lib/nginx/body/0000000020",
            "/var/lib/nginx/body/0000000021",
        ],
        &["/var/lib/nginx/body/{number}"],
    ),
    (
        &[
            "/var/lib/postgresql/base/16384/2619",
            "/var/lib/postgresql/base/16384/2620",
            "/var/lib/postgresql/base/16384/1247",
            "/var/lib/postgresql/base/16384/1249",
            "/var/lib/postgresql/base/16384/3456",
        ],
        &["/var/lib/postgresql/base/16384/{number}"],
    ),
    (
        &[
            "/var/lib/postgresql/pg_wal/000000010000000000000001",
            "/var/lib/postgresql/pg_wal/00000001000000000000000A",
            "/var/lib/postgresql/pg_wal/0000000100000000000000FF",
        ],
        &["/var/lib/postgresql/pg_wal/{hex:24}"],
    ),
    (&["/proc/123/status", "/proc/4567/status"], &["/proc/{pid}/status"]),
    (
        &[
            "/proc/123/task/124/stat",
            "/proc/123/task/125/stat",
            "/proc/130/task/131/stat",
        ],
        &["/proc/{pid}/task/{pid}/stat"],
    ),
    (
        &[
            "/tmp/go-build1234567/b001/x.o",
            "/tmp/go-build98765/b001/x.o",
            "/tmp/go-build4242/b001/x.o",
            "/tmp/go-build77/b001/x.o",
            "/tmp/go-build1029384756/b001/x.o",
        ],
        &["/tmp/go-build{number}/b001/x.o"],
    ),
    (
        &[
            "/run/secrets/kubernetes.io/serviceaccount/..2024_01_01_10_00_00.123456789/token",
            "/run/secrets/kubernetes.io/serviceaccount/..2024_01_02_11_10_30.4123456789/token",
            "/run/secrets/kubernetes.io/serviceaccount/..2024_02_01_00_00_59.23456789/token",
        ],
        &["/run/secrets/kubernetes.io/serviceaccount/..{timestamp}/token"],
    ),
    (
        &[
            "/var/log/journal/0f8c2d1b3a4e5f60718293a4b5c6d7e8/system.journal",
            "/var/log/journal/1f8c2d1b3a4e5f60718293a4b5c6d7e8/system.journal",
            "/var/log/journal/2f8c2d1b3a4e5f60718293a4b5c6d7e8/system.journal",
        ],
        &["/var/log/journal/{hex:32}/system.journal"],
    ),
    (
        &[
            "/var/log/journal/m/system@0f8c2d1b3a4e5f60718293a4b5c6d7e8-0000000000000001-00060f1c2d3e4f50.journal",
            "/var/log/journal/m/system@0f8c2d1b3a4e5f60718293a4b5c6d7e8-000000000000a2b3-00060f1c2d3e4f51.journal",
            "/var/log/journal/m/system@0f8c2d1b3a4e5f60718293a4b5c6d7e8-000000000000a2b4-00060f1c2d3e4f52.journal",
        ],
        &["/var/log/journal/m/system@0f8c2d1b3a4e5f60718293a4b5c6d7e8-{hex:16}-{hex:16}.journal"],
    ),
    (
        &[
            "/var/lib/redis/temp-123.rdb",
            "/var/lib/redis/temp-200.rdb",
            "/var/lib/redis/temp-7.rdb",
            "/var/lib/redis/temp-8.rdb",
            "/var/lib/redis/temp-1999.rdb",
        ],
        &["/var/lib/redis/temp-{number}.rdb"],
    ),
    (
        &[
            "/var/log/app.log.1.gz",
            "/var/log/app.log.2.gz",
            "/var/log/app.log.3.gz",
            "/var/log/app.log.4.gz",
            "/var/log/app.log.5.gz",
        ],
        &["/var/log/app.log.{number}.gz"],
    ),
    (
        &[
            "/var/log/app-2024-01-01.log",
            "/var/log/app-2024-01-02.log",
            "/var/log/app-20240103.log",
        ],
        &["/var/log/app-{date}.log"],
    ),
    (
        &[
            "/var/lib/php/sess_0123456789abcdefghijklmnop",
            "/var/lib/php/sess_abcdefghijklmnop0123456789",
            "/var/lib/php/sess_a1b2c3d4e5f6g7h8i9j0k1l2m3",
            "/var/lib/php/sess_zyxwvutsrqponmlkj012345678",
            "/var/lib/php/sess_00000000000000000000000000",
            "/var/lib/php/sess_abcdefghijklmnopqrstuvwxyz",
        ],
        &["/var/lib/php/sess_{random:26}"],
    ),
    (
        &[
            "/tmp/phpAbC123",
            "/tmp/php1x2y3z",
            "/tmp/phpZZZZZ9",
            "/tmp/php0aaaaa",
            "/tmp/phpQ1W2E3",
            "/tmp/phpqwerty",
        ],
        &["/tmp/php{random:6}"],
    ),
    (
        &[
            "/tmp/tmpab1_cd2e",
            "/tmp/tmpz9y8x7w6",
            "/tmp/tmp0a0a0a0a",
            "/tmp/tmp_______1",
            "/tmp/tmpqqqqqqq7",
            "/tmp/tmpabcdefgh",
        ],
        &["/tmp/tmp{random:8}"],
    ),
    (
        &[
            "/tmp/tmp.a1B2c3D4e5",
            "/tmp/tmp.Z9Z9Z9Z9Z9",
            "/tmp/tmp.0000000000",
            "/tmp/tmp.aaaaaaaaa1",
            "/tmp/tmp.aaaaaaaaa2",
        ],
        &["/tmp/tmp.{random:10}"],
    ),
    (
        &[
            "/srv/share/x/.nfs0000000000d4b1c400000001",
            "/srv/share/x/.nfs0000000000d4b1c400000002",
            "/srv/share/x/.nfs0000000000d4b1c500000003",
        ],
        &["/srv/share/x/.nfs{hex:24}"],
    ),
    (
        &[
            "/etc/systemd/x/.#unit0123456789abcdef",
            "/etc/systemd/x/.#unit1123456789abcdef",
            "/etc/systemd/x/.#unit2123456789abcdef",
        ],
        &["/etc/systemd/x/.#unit{hex:16}"],
    ),
    (
        &[
            "/tmp/hsperfdata_app/101",
            "/tmp/hsperfdata_app/202",
            "/tmp/hsperfdata_app/303",
            "/tmp/hsperfdata_app/404",
            "/tmp/hsperfdata_app/505",
        ],
        &["/tmp/hsperfdata_app/{number}"],
    ),
    (
        &[
            "/var/log/pods/shop_web-5d4f8c7b9-x2x7p_2c48913c-b5ab-4bcf-8e3d-6a7f8b9c0d1e/web/0.log",
            "/var/log/pods/shop_web-5d4f8c7b9-zz9tq_3c48913c-b5ab-4bcf-8e3d-6a7f8b9c0d1e/web/0.log",
            "/var/log/pods/shop_web-7f9c6b5d8-xkcdz_4c48913c-b5ab-4bcf-8e3d-6a7f8b9c0d1e/web/0.log",
        ],
        &["/var/log/pods/shop_web-{pod-hash}-{pod-suffix}_{uuid}/web/0.log"],
    ),
    (
        &[
            "/var/lib/docker/containers/aaaabbbbccccddddeeeeffff00001111aaaabbbbccccddddeeeeffff00001111/hostname",
            "/var/lib/docker/containers/baaabbbbccccddddeeeeffff00001111aaaabbbbccccddddeeeeffff00001111/hostname",
            "/var/lib/docker/containers/caaabbbbccccddddeeeeffff00001111aaaabbbbccccddddeeeeffff00001111/hostname",
        ],
        &["/var/lib/docker/containers/{hex:64}/hostname"],
    ),
    (
        &[
            "/sys/fs/cgroup/kubepods.slice/kubepods-pod2c48913c_b5ab_4bcf_8e3d_6a7f8b9c0d1e.slice/memory.max",
            "/sys/fs/cgroup/kubepods.slice/kubepods-pod3c48913c_b5ab_4bcf_8e3d_6a7f8b9c0d1e.slice/memory.max",
            "/sys/fs/cgroup/kubepods.slice/kubepods-pod4c48913c_b5ab_4bcf_8e3d_6a7f8b9c0d1e.slice/memory.max",
        ],
        &["/sys/fs/cgroup/kubepods.slice/kubepods-pod{uuid}.slice/memory.max"],
    ),
    (
        &[
            "/opt/app/releases/v1.2.3/app",
            "/opt/app/releases/v1.2.4/app",
            "/opt/app/releases/v1.10/app",
            "/opt/app/releases/v2.0.0/app",
            "/opt/app/releases/v2.0.1/app",
        ],
        &["/opt/app/releases/v{version}/app"],
    ),
    (
        &[
            "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.140234234",
            "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.140234235",
            "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.17",
            "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.18",
            "/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.19",
        ],
        &["/usr/lib/python3.11/__pycache__/os.cpython-311.pyc.{number}"],
    ),
    (
        &[
            "/var/tmp/d20240131-17-abc1def/x",
            "/var/tmp/d20240201-17-abc1def/x",
            "/var/tmp/d20240202-17-abc1def/x",
            "/var/tmp/d20240203-17-abc1def/x",
            "/var/tmp/d20240204-17-abc1def/x",
        ],
        // The letter of Ruby's temporary directories is a digit of a hash, too.
        &["/var/tmp/{hex:9}-17-abc1def/x"],
    ),
    (
        &[
            "/var/tmp/job123456789.tmp",
            "/var/tmp/job987654321.tmp",
            "/var/tmp/job17246382910112.tmp",
            "/var/tmp/job1.tmp",
            "/var/tmp/job2.tmp",
        ],
        &["/var/tmp/job{number}.tmp"],
    ),
];

#[test]
fn names_that_programs_make_up_fold() {
    for (paths, templates) in MADE_UP {
        let expected = templates.iter().map(ToString::to_string).collect();
        assert_eq!(mined_from(*paths), (expected, vec![]));
    }
}

/// A cache that spreads its files by the first digits of their hash; some of those have no digit, or no letter.
#[test]
fn caches_fold_at_every_level() {
    let hash = |number: u64| format!("{number:02x}").repeat(62);
    let path = |(a, b): (u64, u64)| format!("/root/.npm/_cacache/content-v2/sha512/{a:02x}/{b:02x}/{}", hash(a ^ b));
    let pairs = (0..256).flat_map(|a| (0..40).map(move |b| (a, b * 5)));
    let (templates, rest) = mined_from(pairs.map(path));
    assert_eq!(rest, Vec::<String>::new());
    assert!(
        templates.contains(&"/root/.npm/_cacache/content-v2/sha512/{hex:2}/{hex:2}/{hex:124}".to_owned()),
        "{templates:?}"
    );
    assert!(templates.len() <= 4, "{templates:?}");
}

/// Paths that people named.
const GIVEN: &[&[&str]] = &[
    &[
        "/usr/bin/cat",
        "/usr/bin/ls",
        "/usr/bin/sed",
        "/usr/bin/awk",
        "/usr/bin/grep",
        "/usr/bin/sort",
    ],
    &[
        "/usr/bin/python3.9",
        "/usr/bin/python3.10",
        "/usr/bin/python3.11",
        "/usr/bin/python3.12",
        "/usr/bin/python3.13",
        "/usr/bin/python3.14",
    ],
    &[
        "/etc/ssl/certs/Amazon_Root_CA_1.pem",
        "/etc/ssl/certs/Amazon_Root_CA_2.pem",
        "/etc/ssl/certs/Amazon_Root_CA_3.pem",
        "/etc/ssl/certs/Amazon_Root_CA_4.pem",
        "/etc/ssl/certs/Amazon_Root_CA_5.pem",
        "/etc/ssl/certs/Amazon_Root_CA_6.pem",
    ],
    &[
        "/etc/ssl/certs/5ed36f99.0",
        "/etc/ssl/certs/6ed36f99.0",
        "/etc/ssl/certs/7ed36f99.0",
        "/etc/ssl/certs/8ed36f99.0",
    ],
    &[
        "/opt/certs/mozilla/GTS_Root_R1.crt",
        "/opt/certs/mozilla/GTS_Root_R2.crt",
        "/opt/certs/mozilla/GTS_Root_R3.crt",
        "/opt/certs/mozilla/GTS_Root_R4.crt",
    ],
    &[
        "/usr/share/locale/de/x.mo",
        "/usr/share/locale/fr/x.mo",
        "/usr/share/locale/ca/x.mo",
        "/usr/share/locale/fa/x.mo",
        "/usr/share/locale/bb/x.mo",
        "/usr/share/locale/ee/x.mo",
    ],
    &[
        "/srv/locale/de/x",
        "/srv/locale/ca/x",
        "/srv/locale/fa/x",
        "/srv/locale/bb/x",
        "/srv/locale/ee/x",
        "/srv/locale/ff/x",
    ],
    &[
        "/opt/app/words/deadbeef",
        "/opt/app/words/feedface",
        "/opt/app/words/cafebabe",
        "/opt/app/words/beadfeed",
        "/opt/app/words/facadeed",
        "/opt/app/words/deedbead",
    ],
    &[
        "/tmp/tmpabcdefgh",
        "/tmp/tmpbcdefghi",
        "/tmp/tmpcdefghij",
        "/tmp/tmpdefghijk",
        "/tmp/tmpefghijkl",
        "/tmp/phpseclib",
    ],
    &[
        "/opt/app/lib/os.cpython-311.pyc",
        "/opt/app/lib/re.cpython-311.pyc",
        "/opt/app/lib/io.cpython-311.pyc",
        "/opt/app/lib/ast.cpython-311.pyc",
        "/opt/app/lib/cgi.cpython-311.pyc",
    ],
    &[
        "/opt/app/lib/a~",
        "/opt/app/lib/b~",
        "/opt/app/lib/c~",
        "/opt/app/lib/.#d",
        "/opt/app/lib/.#e",
        "/opt/app/lib/.#f",
    ],
    &[
        "/proc/self/status",
        "/proc/thread-self/status",
        "/proc/sys/status",
        "/proc/net/status",
        "/proc/bus/status",
    ],
];

#[test]
fn names_that_people_give_do_not_fold() {
    for paths in GIVEN {
        let (templates, rest) = mined_from(*paths);
        assert_eq!((templates, rest.len()), (vec![], paths.len()), "{paths:?}");
    }
}

/// What nobody tells apart is a signature by itself: `.` for a literal, `?` for pieces that count for nothing.
#[test]
fn signatures_are_read_like_this() {
    let cases = [
        ("plain", ""),
        ("self", ""),
        ("x86_64", "number number"),
        ("ext4", "number"),
        ("512x512", "number number"),
        ("libc.so.6", "number"),
        ("libicudata.so.72.1", "number number"),
        ("1.2.3", "version"),
        ("v1.2", "version"),
        ("python3.11", "number number"),
        ("a1b2c3d", "hex:7"),
        ("abc123", "number"),
        ("deadbeef", "?hex:8"),
        ("DEADBEEF12", "hex:10"),
        ("DeadBeef12", "number"),
        ("ab", "?hex:2"),
        ("a1", "hex:2"),
        ("12", "number"),
        ("foo-https", "?pod-suffix"),
        ("web-5d4f8c7b9-x2x7p", "pod-hash pod-suffix"),
        ("agent-x2x7p", "pod-suffix"),
        ("2024-13-01", "number number number"),
        ("2024-12-01", "date"),
        ("2024-12-01T10:00:00Z", "timestamp"),
        ("20241201100000", "timestamp"),
        ("backup-2024-12-01-3.tar", "date number"),
        ("a1b2c3.d4e5f6", "random:6 random:6"),
        ("123456789012345678901234567890123", "hex:33"),
        ("é1", "number"),
    ];
    for (name, classes) in cases {
        let signature = signature::of_name(name.as_bytes());
        let text = signature.map_or(String::new(), |signature| {
            let classes: Vec<String> = signature.pieces.iter().map(|piece| piece.class.to_string()).collect();
            format!("{}{}", if signature.is_evidence { "" } else { "?" }, classes.join(" "))
        });
        assert_eq!(text, classes, "{name}");
    }
    assert_eq!(
        signature::of_name("1".repeat(300).as_bytes()),
        None,
        "no file's name is that long"
    );
    assert_eq!(signature::of_name("1-".repeat(100).as_bytes()), None, "too many runs");
}

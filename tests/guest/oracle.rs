//! What the kernel's own hooks see of the files of a cgroup's tasks, by `profiler-ebpf/src/oracle.rs`.

use std::collections::HashMap;
use std::fs;

use aya::maps::{Array, MapData, RingBuf};
use aya::programs::{FEntry, Lsm};
use aya::{Btf, Ebpf, EbpfLoader};
use end_to_end::Cgroup;
use profiler::probes::kernel_btf;

static PROBES: &[u8] = aya::include_bytes_aligned!(env!("WARDLINE_ORACLE_PROBES"));

/// Two functions of the kernel that policies hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    BprmCheck,
    FileOpen,
}

/// One call of them.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) hook: Hook,
    /// What a policy compares: anonymous files and `/` have no path.
    pub(crate) path: Option<String>,
    /// `i_nlink`.
    pub(crate) links: u32,
}

/// Watches until it is dropped.
pub(crate) struct Oracle {
    hits: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    _probes: Ebpf,
}

impl Oracle {
    pub(crate) fn of(cgroup: &Cgroup) -> Self {
        let kernel = kernel_btf().unwrap();
        let mut loader = EbpfLoader::new();
        let id = cgroup.id();
        loader.override_global("CGROUP", &id, true);
        let places = [
            ("FILE_PATH", "file", "f_path"),
            ("FILE_INODE", "file", "f_inode"),
            ("INODE_LINKS", "inode", "i_nlink"),
            ("DENTRY_PARENT", "dentry", "d_parent"),
            ("MOUNT_ROOT", "vfsmount", "mnt_root"),
            ("BINPRM_FILE", "linux_binprm", "file"),
        ]
        .map(|(name, structure, field)| (name, kernel.offset(structure, field).unwrap()));
        for (name, offset) in &places {
            loader.override_global(name, offset, true);
        }
        let mut probes = loader.load(PROBES).unwrap();
        attach(&mut probes);
        Self {
            hits: probes.take_map("HITS").unwrap().try_into().unwrap(),
            lost: probes.take_map("LOST").unwrap().try_into().unwrap(),
            _probes: probes,
        }
    }

    /// Every call since the last time.
    pub(crate) fn hits(&mut self) -> Vec<Hit> {
        let mut opened = HashMap::new();
        let mut hits = Vec::new();
        while let Some(item) = self.hits.next() {
            hits.push(decode(&item, &mut opened));
        }
        assert_eq!(
            self.lost.get(&0, 0).unwrap(),
            0,
            "the oracle's ring buffer is too small"
        );
        hits
    }
}

/// As LSM programs, but for 5.10: there they may not call `bpf_d_path`, and need not be called. Debian's never preempts in the
/// kernel, so that fentry programs are not skipped.
fn attach(probes: &mut Ebpf) {
    let btf = Btf::from_sys_fs().unwrap();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    if release.starts_with("5.10.") {
        for (program, function) in [
            ("file_open_traced", "security_file_open"),
            ("bprm_check_traced", "security_bprm_check"),
        ] {
            let program: &mut FEntry = probes.program_mut(program).unwrap().try_into().unwrap();
            program.load(function, &btf).unwrap();
            program.attach().unwrap();
        }
    } else {
        for (program, hook) in [("file_open", "file_open"), ("bprm_check", "bprm_check_security")] {
            let program: &mut Lsm = probes.program_mut(program).unwrap().try_into().unwrap();
            program.load(hook, &btf).unwrap();
            program.attach().unwrap();
        }
    }
}

/// `struct Hit`. An execution's file is the one that its thread has opened last at that address.
fn decode(item: &[u8], opened: &mut HashMap<(u32, u64), Option<String>>) -> Hit {
    let number = |at: usize| u32::from_ne_bytes(item[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(item[at..at + 8].try_into().unwrap());
    let (thread, is_execution, file, links, is_anonymous) =
        (number(0), number(4) == 1, long(8), number(16), number(20) == 1);
    if is_execution {
        let path = opened
            .get(&(thread, file))
            .expect("what is executed was opened")
            .clone();
        return Hit {
            hook: Hook::BprmCheck,
            path,
            links,
        };
    }
    let length = long(24).cast_signed();
    let length = usize::try_from(length).unwrap_or_else(|_| panic!("bpf_d_path: error {length}"));
    let path = String::from_utf8(item[32..32 + length - 1].to_vec()).unwrap();
    let path = (!is_anonymous && path != "/").then_some(path);
    opened.insert((thread, file), path.clone());
    Hit {
        hook: Hook::FileOpen,
        path,
        links,
    }
}

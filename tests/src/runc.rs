//! Containers of a real runtime.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::{Finished, Scratch, finish};

/// Makes a bundle for runc: a root file system of one static program under some names, and what to run in it.
pub fn bundle(scratch: &Scratch, cgroup: &str, script: &str) {
    let root = scratch.path("rootfs");
    for folder in ["bin", "proc", "etc"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for name in ["sh", "cat", "sleep"] {
        fs::copy("/usr/bin/busybox", root.join("bin").join(name)).unwrap();
    }
    for file in ["own", "left", "exec"] {
        fs::write(root.join("etc").join(file), "").unwrap();
    }
    let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({ "type": kind }));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": { "path": "rootfs" },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "cgroupsPath": cgroup, "namespaces": namespaces },
    });
    scratch.file("config.json", config.to_string());
    fs::set_permissions(scratch.directory(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A container that runs. Dropping it ends it, and removes what is left of its cgroups: runc makes one in each hierarchy.
pub struct Runc<'a> {
    scratch: &'a Scratch,
    id: &'a str,
    cgroup: PathBuf,
}

impl<'a> Runc<'a> {
    /// Starts the container of a [`bundle`].
    pub fn start(scratch: &'a Scratch, id: &'a str, cgroup: &str) -> Self {
        let container = Self {
            scratch,
            id,
            cgroup: Path::new(cgroup.trim_start_matches('/')).to_owned(),
        };
        let bundle = scratch.directory().to_str().unwrap();
        let created = finish(&mut container.command(&["run", "--detach", "--bundle", bundle, id]));
        assert_eq!(created.code(), 0, "{created}");
        container
    }

    /// Executes something in it, as a kubelet has it done.
    pub fn exec(&self, words: &[&str]) -> Finished {
        let exec = finish(&mut self.command(&[&["exec", self.id], words].concat()));
        assert_eq!(exec.code(), 0, "{exec}");
        exec
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.scratch.path("state")).args(arguments);
        runc.current_dir(self.scratch.directory());
        runc
    }
}

impl Drop for Runc<'_> {
    fn drop(&mut self) {
        let mut delete = self.command(&["delete", "--force", self.id]);
        // Gone already, unless the test failed.
        let _ = delete.stderr(Stdio::null()).status();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        for mount in mounts.filter(|mount| mount[2].starts_with("cgroup")) {
            for parent in self
                .cgroup
                .ancestors()
                .skip(1)
                .filter(|parent| *parent != Path::new(""))
            {
                // Stays where somebody else is in it.
                let _ = fs::remove_dir(Path::new(mount[1]).join(parent));
            }
        }
    }
}

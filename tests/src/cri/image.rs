//! Container images, made on the spot: one layer with one static program under some names (OCI image layout).

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use profiler::checksum;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::finish;

/// An image.
pub struct Image {
    folder: TempDir,
    /// Of its manifest: what a registry would call it by.
    pub digest: String,
    manifest_bytes: u64,
}

impl Image {
    /// One that executes this. `file` becomes /etc/own in it, so that no two images are the same.
    pub fn new(command: &[&str], file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for part in ["rootfs/bin", "rootfs/proc", "rootfs/etc", "layout/blobs/sha256"] {
            fs::create_dir_all(path(part)).unwrap();
        }
        for name in ["sh", "cat", "sleep"] {
            fs::copy("/usr/bin/busybox", path("rootfs/bin").join(name)).unwrap();
        }
        fs::write(path("rootfs/etc/own"), file).unwrap();
        fs::write(path("rootfs/etc/exec"), "").unwrap();
        tar(&path("rootfs"), &path("layer"));
        let layout = path("layout");
        let (layer, layer_bytes) = add(&layout, &fs::read(path("layer")).unwrap());
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Entrypoint": command, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        });
        let (config, config_bytes) = add(&layout, config.to_string().as_bytes());
        let part = |kind: &str, digest: &str, size: u64| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": part("config.v1+json", &config, config_bytes),
            "layers": [part("layer.v1.tar", &layer, layer_bytes)],
        });
        let (digest, manifest_bytes) = add(&layout, manifest.to_string().as_bytes());
        Self {
            folder,
            digest,
            manifest_bytes,
        }
    }

    /// An archive of it, under this name.
    pub(super) fn archive(&self, name: &str) -> tempfile::TempPath {
        let manifest = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": self.digest,
            "size": self.manifest_bytes, "annotations": {"io.containerd.image.name": name},
            "platform": {"architecture": "amd64", "os": "linux"},
        });
        let layout = self.folder.path().join("layout");
        let write = |name: &str, content: Value| fs::write(layout.join(name), content.to_string()).unwrap();
        write("index.json", json!({"schemaVersion": 2, "manifests": [manifest]}));
        write("oci-layout", json!({"imageLayoutVersion": "1.0.0"}));
        let archive = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        tar(&layout, &archive);
        archive
    }
}

/// Adds content to a layout: its digest, and its length.
fn add(layout: &Path, content: &[u8]) -> (String, u64) {
    let unnamed = layout.join("unnamed");
    fs::write(&unnamed, content).unwrap();
    let (digest, bytes) = checksum::of(&mut File::open(&unnamed).unwrap()).unwrap();
    fs::rename(unnamed, layout.join("blobs/sha256").join(&digest)).unwrap();
    (format!("sha256:{digest}"), bytes)
}

fn tar(folder: &Path, archive: &Path) {
    let mut command = Command::new("tar");
    command
        .args(["--create", "--owner=0", "--group=0", "--file"])
        .arg(archive);
    let done = finish(command.arg("--directory").arg(folder).arg("."));
    assert_eq!(done.code(), 0, "{done}");
}

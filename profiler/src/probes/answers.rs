//! Answers of the domain name system that containers receive: attaching the program that copies them, and its ring buffer.

use std::fs::File;
use std::path::Path;

use aya::maps::{Array, MapData, RingBuf};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};

use super::{ProbeError, Probes, program, take};
use crate::cgroups::{Hierarchy, Kind};
use crate::privileges;

/// What was answered.
pub struct Answers {
    /// The answers. Read it whenever its descriptor is readable.
    pub ring: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    told: u64,
}

impl Answers {
    /// How many answers found no room since the last call.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn take_lost(&mut self) -> Result<u64, ProbeError> {
        let refused = |error| ProbeError::refused("reading how many answers were lost", &error);
        let lost = self.lost.get(&0, 0).map_err(refused)?;
        Ok(lost.saturating_sub(std::mem::replace(&mut self.told, lost)))
    }
}

impl Probes {
    /// Copies answers to whoever is in this hierarchy, from now on. Once in the life of these probes.
    ///
    /// # Errors
    /// Why that cannot be, in one line: it takes the unified hierarchy, `CAP_NET_ADMIN` beside `CAP_BPF`
    /// (`bpf_prog_attach_check_attach_type`, kernel/bpf/syscall.c), a kernel with `CONFIG_CGROUP_BPF`, and nobody's program
    /// on the root that wants to be alone.
    pub fn watch_answers(&mut self, hierarchy: &Hierarchy) -> Result<Answers, String> {
        if hierarchy.kind != Kind::V2 {
            return Err(format!(
                "workloads are told apart by the {} cgroup hierarchy, and sockets only by the unified one",
                hierarchy.kind
            ));
        }
        if !privileges::may_administer_networks() {
            return Err("this process has no CAP_NET_ADMIN".to_owned());
        }
        let attached = self.attach_answers(&hierarchy.mount_point);
        attached.map_err(|error| error.to_string().lines().collect::<Vec<_>>().join("; "))
    }

    fn attach_answers(&mut self, hierarchy: &Path) -> Result<Answers, ProbeError> {
        let refused = |error: &dyn std::error::Error| ProbeError::refused("watching answers to DNS queries", error);
        let root = File::open(hierarchy).map_err(|error| refused(&error))?;
        let answers: &mut CgroupSkb = program(&mut self.ebpf, "answers")?;
        answers.load().map_err(|error| refused(&error))?;
        // As a link, beside whatever others there are: links know no other way, and no flag for this one
        // (`cgroup_bpf_link_attach`, kernel/bpf/cgroup.c).
        answers
            .attach(root, CgroupSkbAttachType::Ingress, CgroupAttachMode::Single)
            .map_err(|error| refused(&error))?;
        Ok(Answers {
            ring: take(&mut self.ebpf, "ANSWERS")?,
            lost: take(&mut self.ebpf, "ANSWERS_LOST")?,
            told: 0,
        })
    }
}

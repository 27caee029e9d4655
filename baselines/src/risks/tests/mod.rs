mod assessing;
mod chains;
mod deciding;
mod files;
mod properties;
mod shipped;

use crate::behaviour::{Access, Action, Behaviour, Phase, Protocol, Provenance};
use crate::document::{Behaviours, Evidence};
use crate::path::FilePath;
use crate::risks::{Catalogue, CatalogueFile, Finding, Seen};
use crate::testing::seconds;

/// Evidence of so many containers, in these phases.
pub(crate) fn evidence(containers: u64, phases: &[Phase], provenance: &[Provenance]) -> Evidence {
    Evidence {
        count: containers,
        units: containers,
        containers,
        nodes: 1,
        days: None,
        rate: None,
        first_seen: seconds(0),
        last_seen: seconds(60),
        phases: phases.to_vec(),
        provenance: provenance.to_vec(),
    }
}

pub(crate) fn path(path: &str) -> FilePath {
    FilePath::canonical(path.as_bytes())
}

pub(crate) fn did(subject: &str, action: Action) -> Behaviour {
    Behaviour {
        subject: path(subject),
        action,
    }
}

pub(crate) fn exec(parent: &str, binary: &str) -> Behaviour {
    did(
        parent,
        Action::Exec {
            binary: path(binary),
            script: None,
            arguments: None,
        },
    )
}

fn script(parent: &str, binary: &str, script: &str) -> Behaviour {
    did(
        parent,
        Action::Exec {
            binary: path(binary),
            script: Some(path(script)),
            arguments: None,
        },
    )
}

pub(crate) fn open(subject: &str, file: &str, access: Access) -> Behaviour {
    did(
        subject,
        Action::Open {
            path: path(file),
            access,
            backing: None,
        },
    )
}

pub(crate) fn connect(subject: &str, address: &str, port: u16) -> Behaviour {
    did(
        subject,
        Action::Connect {
            address: address.parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        },
    )
}

fn listen(subject: &str, port: u16) -> Behaviour {
    did(
        subject,
        Action::Listen {
            address: "0.0.0.0".parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        },
    )
}

pub(crate) fn lists<'a>(all: impl IntoIterator<Item = (&'a Behaviour, Evidence)>) -> Behaviours {
    let mut lists = Behaviours::default();
    for (behaviour, evidence) in all {
        lists.push(behaviour.clone(), evidence);
    }
    lists
}

/// The workload did these in the steady phase, in one container of one.
fn steady(all: &[Behaviour]) -> Behaviours {
    lists(
        all.iter()
            .map(|it| (it, evidence(1, &[Phase::Steady], &[Provenance::Workload]))),
    )
}

/// What the shipped catalogue finds in this.
fn assess(learned: &Behaviours) -> Vec<Finding> {
    let seen = Seen {
        learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    Catalogue::shipped().assess(&seen)
}

/// The entries' ids with how many behaviours each is about, sorted by id.
fn ids(findings: &[Finding]) -> Vec<(&str, usize)> {
    let mut ids: Vec<(&str, usize)> = findings
        .iter()
        .map(|finding| (finding.key.entry().as_str(), finding.sightings.len()))
        .collect();
    ids.sort_unstable();
    ids
}

/// A catalogue of these entries.
fn file(entries: &str) -> CatalogueFile {
    CatalogueFile::from_yaml(&format!("apiVersion: wardline.dev/v1\nkind: RiskCatalogue\n{entries}")).unwrap()
}

//! What a workload did, how often, and how much of it has been seen.
//!
//! This crate is the pure core of Wardline: it knows no kernel, no cluster and no network, so everything in it can be
//! tested with nothing but data.
//!
//! | module | question it answers |
//! |---|---|
//! | [`behaviour`] | What did a workload do, without who and when? |
//! | [`path`] | Which bytes does a policy compare, and what do we know about where they came from? |
//! | [`peer`] | Whom did it reach? |
//! | [`workload`] | Who did it, and which image was it? |
//! | [`time`] | When? |
//! | [`quantity`] | How do people write how long, and how much? |
//! | [`loss`] | What happened and was not recorded? |
//! | [`redaction`] | What must never be written down? |
//! | [`recording`] | Where is it kept, safe from crashes, until somebody asks? |
//! | [`analysis`] | What do one or many recordings say about each image? |
//! | [`coverage`] | How much of what it does has been seen, and is that enough? |
//! | [`templates`] | Which paths are one, but for the names that programs make up, and what would a wildcard admit? |
//! | [`networks`] | Which connections are one, but for addresses and ports that rotate? |
//! | [`document`] | How is that written down for people and for the generator? |
//! | [`risks`] | What of it must not become a habit, and what did people decide about it? |
//! | [`diff`] | What has changed since, and what of it has to be looked at? |
//!
//! A recorder counts what containers do and flushes it into a recording; the analysis makes one baseline an image of it:
//!
//! ```
//! use std::time::Duration;
//!
//! use baselines::behaviour::{Access, Action, Behaviour, Phase, Protocol, Provenance};
//! use baselines::path::FilePath;
//! use baselines::recording::{Container, EndReason, Flush, Node, Observation, Recording, WindowStart};
//! use baselines::time::UtcTime;
//! use baselines::workload::Image;
//! use baselines::{analysis, document};
//!
//! let directory = tempfile::tempdir()?;
//! let file = directory.path().join("recording.db");
//! let node = Node {
//!     host: "worker-1".to_owned(),
//!     boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
//!     kernel: "6.18.1".to_owned(),
//!     machine_id: None,
//! };
//! let mut writer = Recording::open_or_create(&file, &node)?;
//! let now = UtcTime::now();
//! let window = writer.start_window(&WindowStart {
//!     started: now,
//!     selector: "run shop/web:1.4".to_owned(),
//!     backend: "tracepoint".to_owned(),
//!     tool_version: "0.1.0".to_owned(),
//!     flush_interval: Duration::from_secs(2),
//!     lossy_from_start: None,
//!     names: baselines::dns::Names::Off,
//! })?;
//! let container = Container {
//!     cgroup_id: 4711,
//!     workload: "host/unit/web.service/main".parse()?,
//!     id: String::new(),
//!     image: Image { repository: "shop/web".to_owned(), tag: Some("1.4".to_owned()), digest: None },
//!     cgroup_path: b"/system.slice/web.service".to_vec(),
//!     started: now,
//!     alive_until: now,
//!     partial: false,
//! };
//! let observed = |action, count| Observation {
//!     cgroup_id: 4711,
//!     behaviour: Behaviour { subject: FilePath::canonical(*b"/usr/bin/server"), action },
//!     provenance: Provenance::Workload,
//!     phase: Phase::Startup,
//!     minute: now.minute(),
//!     count,
//!     first_seen: now,
//!     last_seen: now,
//! };
//! let path = FilePath::canonical(*b"/etc/server.conf");
//! let open = Action::Open { path, access: Access::READ, backing: None };
//! let connect = Action::Connect { address: "10.0.0.7".parse()?, port: 5432, protocol: Protocol::Tcp };
//! writer.flush(window, &Flush {
//!     at: now,
//!     containers: vec![container],
//!     observations: vec![observed(open, 1), observed(connect, 12)],
//!     ..Flush::default()
//! })?;
//! writer.end_window(window, &EndReason::CommandExited { code: 0 }, now)?;
//!
//! for baseline in analysis::baselines(&[file])? {
//!     assert_eq!(baseline.image.to_string(), "shop/web:1.4");
//!     assert_eq!(baseline.behaviours.connect[0].evidence.count, 12);
//!     let text = document::to_yaml(&baseline);
//!     println!("{text}");
//!     assert_eq!(document::from_yaml(&text)?, baseline);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod analysis;
pub mod behaviour;
pub mod coverage;
pub mod diff;
pub mod dns;
pub mod document;
pub mod loss;
pub mod networks;
pub mod path;
pub mod peer;
pub mod quantity;
pub mod recording;
pub mod redaction;
pub mod risks;
mod serde_text;
pub mod templates;
#[cfg(test)]
mod testing;
pub mod time;
pub mod workload;

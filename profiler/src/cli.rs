//! The command line of `profile`.

mod agent;
mod collect;
mod coverage;
mod start;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use self::agent::Agent;
pub use self::collect::Collect;
pub use self::coverage::{Coverage, LookAtCoverage};
pub use self::start::{Kubernetes, Start};
use self::values::{duration, recording_size, ring_kib};
use crate::learning_policy::{Tetragon, namespace};
use crate::probes::Sizes;

/// Where recordings are kept, unless told otherwise.
pub const RECORDING: &str = "/var/lib/wardline/recording.db";

/// Learn what workloads really do: executions, connections and file opens, counted in the kernel.
#[derive(Debug, Parser)]
#[command(
    version,
    name = "profile",
    max_term_width = 100,
    after_help = "\
Examples:
  sudo profile doctor                                  What this kernel offers
  sudo profile run --image shop/web:1.4 -- ./server    Learn one command
  sudo profile start --namespace host --for 10m        Learn the workloads of this machine
  profile status                                       What was learned, and what was lost
  profile start --namespace production --for 24h       On a workstation: let a cluster's agents learn
  profile collect --window production-x7k2p --out production.db
                                                       And bring what they have learned here
  generate baselines --out baselines-out/              Then: one document an image
  generate policies --out policies/                    And one policy

Exit codes: 0 success, 1 failure, 2 wrong usage; `profile run` ends with its command's exit code."
)]
pub struct Cli {
    /// Print no list and no progress; warnings and errors still go to standard error.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Without what is hidden from help: completion scripts for bash would list it.
    pub fn for_people() -> clap::Command {
        let all = Self::command();
        let visible = all.get_subcommands().filter(|command| !command.is_hide_set());
        clap::Command::new("profile")
            .version(env!("CARGO_PKG_VERSION"))
            .args(all.get_arguments().cloned())
            .subcommands(visible.cloned())
    }
}

/// What `profile` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what this kernel offers, which backend will be used, what it misses, and what would give a better one.
    Doctor {
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Learn one command, in a cgroup of its own. Ends with its exit code.
    #[command(after_help = "\
Examples:
  sudo profile run --image shop/web:1.4 -- ./server --port 8080
  sudo profile run --image test/unit -- cargo test

Exit codes: the command's, or 128 + n if signal n killed it; 127 if it was not found, 126 if it could not be executed.
1 if nothing could be recorded, or not to the end (the disk stayed full): a command that runs already runs on to its end.")]
    Run(Run),
    /// Learn the workloads of this machine until the time is over or Ctrl-C.
    #[command(after_help = "\
Examples:
  sudo profile start --namespace host --for 10m
  sudo profile start --for 24h --recording /srv/learn.db
  sudo profile start --until-covered --for 14d         Until enough was seen, but not for longer than that
  profile start --namespace production --for 24h       With a kubeconfig: on every node of the cluster
  sudo profile start --namespace production --kubeconfig ~/.kube/config --node node-7
                                                       On this node alone
  sudo profile start --namespace production --runtime-endpoint unix:///run/containerd/containerd.sock
                                                       Without a cluster: as its container runtime names pods
  profile start --namespace shop,payments --for 7d --detach --selector 'app=web,env in (prod,canary),!debug'
  sudo profile start --local --all-namespaces --image 'registry.example/shop/*' --image nginx")]
    Start(Start),
    /// Say what was learned: windows, containers, behaviours, losses. Or how a learning window of a cluster does.
    #[command(after_help = "\
Examples:
  profile status                          The recording of this machine
  profile status shop-x7k2p -o yaml       A learning window of the cluster, see `profile list`")]
    Status {
        /// A learning window of the cluster.
        window: Option<String>,
        /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
        #[arg(long, value_name = "FILE", requires = "window")]
        kubeconfig: Option<PathBuf>,
        /// The recording.
        #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
        recording: PathBuf,
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// End a learning window of a cluster, or the recorder of this machine.
    #[command(after_help = "\
Examples:
  profile stop shop-x7k2p                              A learning window of the cluster
  sudo profile stop                                    Who records into the usual recording here
  sudo profile stop --recording /srv/learn.db          Who records into this one")]
    Stop {
        /// The learning window of the cluster.
        window: Option<String>,
        /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
        #[arg(long, value_name = "FILE", requires = "window")]
        kubeconfig: Option<PathBuf>,
        /// The recording whose recorder is to end its window.
        #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
        recording: PathBuf,
    },
    /// List the learning windows of a cluster.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  profile list
  profile list -o json --kubeconfig ~/.kube/production
  profile status                          The windows in the recording of this machine"
    )]
    List {
        /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Bring the recordings of a cluster's learning window to this machine, as one file.
    #[command(after_help = "\
Recordings come by a port-forward through the API server. Each agent asks it who you are and whether
you may `get recordings.wardline.dev` in every namespace that is asked for. What came is kept until
all of it is there: the same command goes on where it was broken off. A node that is gone before its
recording was collected is told of in the file, by name.

Examples:
  profile collect --window shop-x7k2p --out shop.db
  profile collect --window everything --namespace shop,payments --out shop.db
  profile collect --window shop-x7k2p --out shop.db --service-account ci/wardline
  profile collect --window shop-x7k2p --out shop.db --without node-7   Give up a node
  generate baselines --recording shop.db --out baselines-out/")]
    Collect(Collect),
    /// Make one recording out of several files.
    #[command(after_help = "\
Every recording has an id and a revision. Distinct ids add up; of several copies of one recording
the highest revision counts, also where one was merged before. The order of the files changes
nothing. Files may be being recorded into: what was flushed at that moment is taken. A folder means
the recordings in it, and a quoted pattern those that it matches.

Examples:
  profile merge worker-1.db worker-2.db --out recording.db
  profile merge recording.db worker-1.db --out recording.db --force     A newer copy of worker-1
  generate baselines --recording recording.db --out baselines-out/")]
    Merge {
        /// The recordings.
        #[arg(required = true, value_name = "PATH")]
        files: Vec<PathBuf>,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace it if it is there.
        #[arg(long)]
        force: bool,
        /// How to print what it is made of.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Write what was observed into one Parquet file, for notebooks.
    #[command(after_help = "\
One row says how often one container showed one behaviour in one minute. pandas, polars and DuckDB
read the file, and so does `generate`: baselines made of it are those of the recordings. Of several
copies of one recording the highest revision counts. docs/reference/observations.md has the columns.

Examples:
  profile export --parquet observations.parquet /var/lib/wardline/recording.db
  profile export --parquet all.parquet 'recordings/*.db' --force
  generate baselines --recording all.parquet --out baselines-out/")]
    Export {
        /// The recordings: files, folders or quoted patterns.
        #[arg(required = true, value_name = "PATH")]
        files: Vec<PathBuf>,
        /// The file to make. It is private to its owner, like every recording.
        #[arg(long, value_name = "FILE")]
        parquet: PathBuf,
        /// Replace it if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Remove old windows from a recording, and give the space back.
    #[command(after_help = "\
Whole windows go, oldest first, with what was counted in them; the recording remembers which, and
the baselines of images that they had seen say so. A recording that is being written is refused.

Examples:
  profile prune --keep 30d --dry-run
  profile prune --recording /srv/learn.db --keep 90d --max-size 500MiB")]
    Prune(Prune),
    /// Copy a recording to another file, also while it is being written.
    #[command(after_help = "\
The copy has everything that was flushed when the copying began. It is private to its owner, like every recording.

Examples:
  profile backup --out /backup/recording.db
  profile backup --out /backup/recording.db --force     Replace the last one")]
    Backup {
        /// The recording.
        #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
        recording: PathBuf,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace it if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Put a backup in the place of a recording that is lost.
    #[command(after_help = "\
Unlike `cp`, this checks the backup, refuses to replace what is being written, and leaves either
the old file or the whole new one. What is recorded from then on is a recording of its own in the
same file, so that it adds to copies which were collected from the lost one after the backup.

Examples:
  profile restore /backup/recording.db
  profile restore /backup/recording.db --recording /srv/learn.db --force")]
    Restore {
        /// The backup.
        backup: PathBuf,
        /// Where the recording goes.
        #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
        recording: PathBuf,
        /// Replace what is there.
        #[arg(long)]
        force: bool,
        /// How to print what was restored.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Make a recording of what another program has seen.
    #[command(subcommand)]
    Import(Import),
    /// Follow the learning windows of a cluster on one of its nodes. The DaemonSet runs this.
    #[command(after_help = "\
Examples:
  sudo profile agent --kubeconfig agent.kubeconfig --node node-7
  kubectl get learningwindows                          What the agents follow

Runs until it is told to stop (SIGTERM). Its windows go on when an agent is there again.")]
    Agent(Agent),
    /// Print the tracing policy that makes Tetragon's agent post what `profile import tetragon` needs.
    #[command(after_help = "\
Examples:
  profile policy-for-learning --tetragon 1.6 --namespace production | kubectl apply -f -
  profile policy-for-learning > /etc/tetragon/tetragon.tp.d/wardline-learn.yaml")]
    PolicyForLearning {
        /// The release that the policy is for.
        #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
        tetragon: Tetragon,
        /// Only pods of this namespace [default: everything on each node].
        #[arg(long, short, value_name = "NAME", value_parser = namespace)]
        namespace: Option<String>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  profile completions bash > /etc/bash_completion.d/profile")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Say how far an open window's images are. `profile start --until-covered` starts this itself.
    #[command(hide = true)]
    LookAtCoverage(LookAtCoverage),
    /// Answer questions about files. `profile run` and `profile start` start this themselves.
    #[command(hide = true)]
    LookUp {
        /// Who asks.
        parent: u32,
    },
}

/// `profile import`.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Tetragon's events, as its agent exports them: JSON, one a line.
    #[command(after_help = "\
Examples:
  profile import tetragon /var/run/cilium/tetragon/          The agent's export, with its rotated files
  profile import tetragon --recording web.db export.log.gz   One file, compressed or not
  kubectl logs -n kube-system -l app.kubernetes.io/name=tetragon -c export-stdout --tail=-1 |
    profile import tetragon --recording recordings/ -        One recording a node, in a folder that is there
  sudo profile import tetragon --for 24h unix:///var/run/tetragon/tetragon.sock
  profile policy-for-learning --tetragon 1.7                 First: what makes the agent post what is needed

The same events are counted once, however often they are imported into a recording.")]
    Tetragon(ImportTetragon),
}

/// `profile import tetragon`.
#[derive(Debug, Args)]
pub struct ImportTetragon {
    /// Files, folders of them (.log, .json, .jsonl, each also with .gz), - for standard input; or an agent's Unix socket,
    /// for what it sees from now on.
    #[arg(required = true, value_name = "FILE|DIRECTORY|-|unix://SOCKET")]
    pub sources: Vec<PathBuf>,
    /// The recording to write into; it is made if it is not there. A folder gets one recording for each node.
    #[arg(long, value_name = "FILE|DIRECTORY", default_value = RECORDING, env = "WARDLINE_RECORDING")]
    pub recording: PathBuf,
    /// From an agent's socket: how long. Without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Only events of this node.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Record the arguments of executions, too, of each the first 512 bytes. They may hold secrets.
    #[arg(long)]
    pub record_args: bool,
    /// How long a container starts up: what it does later is counted as steady.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub startup: Duration,
    /// How to print what was imported.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// How to print a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `profile run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What the command is an image of: repository[:tag][@digest].
    #[arg(long, value_name = "NAME", value_parser = crate::image::parse)]
    pub image: baselines::workload::Image,
    /// Where and how to record.
    #[command(flatten)]
    pub recording: Recording,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
}

/// `profile prune`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("retention").required(true).multiple(true).args(["keep", "max_size"])))]
pub struct Prune {
    /// The recording.
    #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
    pub recording: PathBuf,
    /// Remove windows that ended longer ago than this: 12h, 30d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep: Option<Duration>,
    /// Remove windows until the file takes at most this much: 500MiB, 2GiB.
    #[arg(long, value_name = "SIZE", value_parser = recording_size)]
    pub max_size: Option<u64>,
    /// Only say what would go.
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of everything that records.
#[derive(Debug, Args)]
pub struct Recording {
    /// The recording to write into; it is made if it is not there.
    #[arg(long, value_name = "FILE", default_value = RECORDING, env = "WARDLINE_RECORDING")]
    pub recording: PathBuf,
    /// Hide what this glob matches in paths, arguments and names, before anything is written; may be given several times.
    /// `/home/*` hides the name in /home/alice/.ssh, `/run/secrets/**` all below, `acme-*` such names anywhere. See
    /// docs/how-to/redact.md.
    #[arg(long, value_name = "PATTERN")]
    pub redact: Vec<baselines::redaction::Pattern>,
    /// The most that the recording may take on the disk, such as 500MiB: what would make it larger is counted as lost.
    #[arg(long, value_name = "SIZE", value_parser = recording_size)]
    pub recording_max: Option<u64>,
    /// Record the arguments of executions, too, of each the first 512 bytes. They may hold secrets.
    #[arg(long)]
    pub record_args: bool,
    /// Do not look at what containers are answered to DNS queries: connections are recorded without the names of whom they
    /// reach.
    #[arg(long, overrides_with = "no_dns")] // an agent and its window may both say so
    pub no_dns: bool,
    /// Where the probes watch: lsm, fentry, tracepoint or kprobe [default: the best that works, see `profile doctor`].
    #[arg(long, value_name = "NAME", env = "WARDLINE_BACKEND")]
    pub backend: Option<crate::probes::backend::Backend>,
    /// How often to write: the most that a crash can cost.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub flush_interval: Duration,
    /// How long a container starts up, from its first execution: what it does later is counted as steady. Of pods with a
    /// readiness or startup probe, that tells.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub startup: Duration,
    /// Memory to take on a busy machine, in MiB: tables in the kernel and our own together. What finds no room is counted as
    /// lost.
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB, value_parser = clap::value_parser!(u32).range(40..=4096))]
    pub memory: u32,
    /// Distinct behaviours that the kernel counts at a time (about 200 bytes each, twice that for a moment when it fills up)
    /// [default: 24576 for 64 MiB of memory and --no-dns, else 20736].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4_194_304), help_heading = "Tables in the kernel")]
    pub behaviours_max: Option<u32>,
    /// Of these, how many one cgroup may use: most containers have one [default: half of them].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Tables in the kernel")]
    pub behaviours_per_container: Option<u64>,
    /// Executables that the kernel tells apart before it starts anew (at half of that).
    #[arg(long, value_name = "COUNT", default_value_t = Sizes::default().images, value_parser = clap::value_parser!(u32).range(1..=1_048_576), help_heading = "Tables in the kernel")]
    pub executables_max: u32,
    /// Cgroups that the kernel knows at a time, excluded ones among them (about 200 bytes each) [default: 16384, or twice as
    /// many as there are at the start].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_048_576), help_heading = "Tables in the kernel")]
    pub cgroups_max: Option<u32>,
    /// Ring buffer for descriptions of new behaviours, in KiB: a power of two [default: 4096 for 64 MiB of memory].
    #[arg(long, value_name = "KIB", value_parser = ring_kib, help_heading = "Tables in the kernel")]
    pub ring: Option<u32>,
}

impl Recording {
    /// The sizes of the kernel's tables, on a machine with that many cgroups to begin with.
    pub fn sizes(&self, cgroups: usize) -> Sizes {
        let twice = u32::try_from(cgroups.saturating_mul(2)).unwrap_or(u32::MAX);
        // What grows with what is new: the counters, their descriptions, and what is kept of both until it is written.
        let room = self.memory.saturating_sub(FIXED_MIB);
        let scaled = |size: u32, room: u32| {
            let scaled = u64::from(size) * u64::from(room) / u64::from(MEMORY_MIB - FIXED_MIB);
            u32::try_from(scaled).unwrap_or(u32::MAX)
        };
        let names = if self.no_dns { 0 } else { NAMES_MIB };
        let keys = scaled(Sizes::default().keys, room.saturating_sub(names));
        let keys = self.behaviours_max.unwrap_or(keys);
        let ring = scaled(Sizes::default().ring, room).clamp(1 << 20, 1 << 30);
        Sizes {
            cgroups: self
                .cgroups_max
                .unwrap_or(twice.clamp(Sizes::default().cgroups, CGROUPS_ROOM_MAX)),
            keys,
            keys_per_cgroup: self.behaviours_per_container.unwrap_or(u64::from(keys).div_ceil(2)),
            images: self.executables_max,
            ring: self.ring.map_or(1 << ring.ilog2(), |kib| kib * 1024),
            // Nobody writes to it then: a page, of whatever size pages are.
            answers: if self.no_dns {
                64 << 10
            } else {
                Sizes::default().answers
            },
            ..Sizes::default()
        }
    }
}

/// How much memory to take, where nobody says.
const MEMORY_MIB: u32 = 64;
/// How much of it is always taken: the program itself, and the tables of cgroups, processes and executables.
const FIXED_MIB: u32 = 32;
/// What the names of peers take at most, see [`crate::names`], with the ring buffer of the answers.
const NAMES_MIB: u32 = 5;

/// The largest table of cgroups that is made without being asked for (some 24 MiB): twice [`crate::cgroups::CGROUPS_MAX`].
const CGROUPS_ROOM_MAX: u32 = 131_072;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        Cli::for_people().debug_assert();
    }

    #[test]
    fn nobody_is_offered_what_is_only_for_ourselves() {
        let has_look_up = |command: clap::Command| command.find_subcommand("look-up").is_some();
        assert!(has_look_up(Cli::command()) && !has_look_up(Cli::for_people()));
    }

    #[test]
    fn the_table_of_cgroups_has_room_for_twice_as_many_as_there_are() {
        let sizes = |arguments: &[&str], cgroups| {
            let words = ["profile", "start"].iter().chain(arguments);
            match Cli::try_parse_from(words).unwrap().command {
                Command::Start(start) => start.recording.sizes(cgroups).cgroups,
                other => unreachable!("{other:?}"),
            }
        };
        let cases = [
            (0, 16_384),
            (8_192, 16_384),
            (8_193, 16_386),
            (30_000, 60_000),
            (crate::cgroups::CGROUPS_MAX, 131_070),
            (usize::MAX, 131_072),
        ];
        for (there, room) in cases {
            assert_eq!(sizes(&[], there), room, "{there}");
            assert_eq!(sizes(&["--cgroups-max", "5"], there), 5);
        }
    }

    #[test]
    fn the_tables_grow_with_the_memory_unless_their_sizes_are_given() {
        let sizes = |arguments: &[&str]| {
            let words = ["profile", "start"].iter().chain(arguments);
            match Cli::try_parse_from(words).unwrap().command {
                Command::Start(start) => start.recording.sizes(0),
                other => unreachable!("{other:?}"),
            }
        };
        let defaults = Sizes {
            answers: sizes(&["--no-dns"]).answers,
            ..Sizes::default()
        };
        assert_eq!(sizes(&["--no-dns"]), defaults);
        let cases = [
            (&["--memory", "40", "--no-dns"][..], 6_144, 1 << 20),
            (&["--memory", "96", "--no-dns"], 49_152, 8 << 20),
            (&["--memory", "4096", "--no-dns"], 3_121_152, 256 << 20),
            (&["--memory", "96", "--no-dns", "--ring", "64"], 49_152, 64 << 10),
            (&["--behaviours-max", "10"], 10, 4 << 20),
            // The names' room is taken from the behaviours'.
            (&["--memory", "40"], 2_304, 1 << 20),
            (&[], 20_736, 4 << 20),
            (&["--memory", "96"], 45_312, 8 << 20),
        ];
        for (arguments, keys, ring) in cases {
            let sizes = sizes(arguments);
            assert_eq!((sizes.keys, sizes.ring), (keys, ring), "{arguments:?}");
            assert_eq!(sizes.keys_per_cgroup, u64::from(keys).div_ceil(2));
        }
    }

    #[test]
    fn what_to_keep_must_be_said() {
        let parse = |arguments: &[&str]| Cli::try_parse_from(["profile", "prune"].iter().chain(arguments));
        assert!(parse(&[]).is_err() && parse(&["--dry-run"]).is_err());
        for arguments in [
            &["--keep", "30d"][..],
            &["--max-size", "1GiB"],
            &["--keep", "30d", "--max-size", "1GiB"],
        ] {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
        }
    }
}

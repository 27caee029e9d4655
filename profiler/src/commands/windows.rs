//! Learning windows of a cluster, from a workstation: make one, follow it, stop it, list them.

mod follow;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::{Expression, Selector};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{print, printable, runtime, say};
use crate::agent::objects::{
    CoverageStatus, EVERY_NAMESPACE, LearningWindow, LearningWindowSpec, LearningWindowStatus, Phase, RecordOptions,
};
use crate::cli::{self, Output};
use crate::error::Failure;
use crate::kubernetes::connect::{ConnectError, Source};
use crate::kubernetes::times::utc;
use crate::table::{Table, serialise};

/// What a role of whoever makes and stops windows needs.
const RULE: &str =
    "{apiGroups: [wardline.dev], resources: [learningwindows], verbs: [create, get, list, patch, watch]}";

/// When a window ends by time that is to end by coverage, where nobody says.
const COVERED_WITHIN: Duration = Duration::from_hours(30 * 24);

/// Makes a window, and follows it until it ends.
///
/// # Errors
/// [`Failure`].
pub fn start(source: &Source, options: &cli::Start, quiet: bool) -> Result<ExitCode, Failure> {
    let spec = spec(options)?;
    let mut window = LearningWindow::new(options.name.as_deref().unwrap_or_default(), spec);
    if options.name.is_none() {
        let namespaces = &window.spec.namespaces;
        let prefix = match namespaces.as_slice() {
            [one] if one != EVERY_NAMESPACE => format!("{one:.40}-"),
            _ => "learn-".to_owned(),
        };
        window.metadata = ObjectMeta {
            generate_name: Some(prefix),
            ..ObjectMeta::default()
        };
    }
    runtime()?.block_on(async {
        let client = source.client().await?;
        let api = Api::all(client);
        let made = api.create(&PostParams::default(), &window).await;
        let made: LearningWindow = made.map_err(|error| ConnectError::of("make a learning window", RULE, &error))?;
        let name = made.name_any();
        let until = match made.spec.coverage_target {
            Some(target) => format!(", until {target} of what each image does is covered"),
            None => String::new(),
        };
        say(
            quiet,
            &format!("made the learning window {name}, for {}{until}", made.spec.duration),
        );
        if options.detach {
            say(
                quiet,
                &format!("`profile status {name}` says how it does; `profile stop {name}` ends it"),
            );
            return Ok(ExitCode::SUCCESS);
        }
        follow::follow(api, &made, quiet).await
    })
}

/// The object that these options ask for.
fn spec(options: &cli::Start) -> Result<LearningWindowSpec, Failure> {
    if let Some(option) = options.only_for_this_machine() {
        return Err(Failure::Usage {
            what: format!("{option} is for recording on this machine, and the agents of a cluster are to learn"),
            help: "leave it out (`profile agent` has such options), or add --local to record here".to_owned(),
        });
    }
    let duration = match (options.duration, options.coverage.target) {
        (Some(duration), _) => duration,
        (None, Some(_)) => COVERED_WITHIN,
        (None, None) => {
            return Err(Failure::Usage {
                what: "a learning window of a cluster has an end".to_owned(),
                help: "write how long: --for 24h; it can be stopped before, or made longer; or --until-covered"
                    .to_owned(),
            });
        }
    };
    let criteria = options.coverage.criteria();
    Ok(LearningWindowSpec {
        namespaces: if options.all_namespaces {
            vec![EVERY_NAMESPACE.to_owned()]
        } else {
            options.namespaces.clone()
        },
        selector: options.selector.clone().map(label_selector).unwrap_or_default(),
        images: options.images.iter().map(ToString::to_string).collect(),
        duration: in_seconds(duration),
        coverage_target: options.coverage.target,
        coverage_held: format!("{}h", criteria.held.as_secs() / 3600),
        coverage_starts: criteria.starts,
        coverage_dates: criteria.dates,
        stop: false,
        record: RecordOptions {
            arguments: options.recording.record_args,
            dns_names: !options.recording.no_dns,
            redact: options.recording.redact.iter().map(ToString::to_string).collect(),
            startup: in_seconds(options.recording.startup),
        },
    })
}

/// Every expression by itself: `matchLabels` is a map, which can say only one thing of a label.
fn label_selector(selector: Selector) -> LabelSelector {
    let expressions = selector.into_iter().map(|expression| match expression {
        Expression::Equal(key, value) => Expression::In(key, [value].into()),
        Expression::NotEqual(key, value) => Expression::NotIn(key, [value].into()),
        other => other,
    });
    expressions.collect::<Selector>().into()
}

/// Objects have whole seconds: at least one.
fn in_seconds(time: Duration) -> String {
    format!("{}s", time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

/// Ends a window.
///
/// # Errors
/// [`Failure`].
pub fn stop(kubeconfig: Option<&Path>, name: &str, quiet: bool) -> Result<ExitCode, Failure> {
    with_windows(kubeconfig, async |api| {
        let patch = Patch::Merge(json!({"spec": {"stop": true}}));
        let stopped = api.patch(name, &PatchParams::default(), &patch).await;
        stopped.map_err(|error| ConnectError::of("stop a learning window", RULE, &error))?;
        say(
            quiet,
            &format!("the nodes end the learning window {name}; `profile status {name}` says how far they are"),
        );
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints how a window does.
///
/// # Errors
/// [`Failure`].
pub fn status(kubeconfig: Option<&Path>, name: &str, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    with_windows(kubeconfig, async |api| {
        let found = api.get(name).await;
        let window = found.map_err(|error| ConnectError::of("read a learning window", RULE, &error))?;
        let text = match output {
            Output::Table => described(&window),
            Output::Json | Output::Yaml => serialise(&window, output)?,
        };
        if !quiet {
            print(text.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Lists the windows.
///
/// # Errors
/// [`Failure`].
pub fn list(kubeconfig: Option<&Path>, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    with_windows(kubeconfig, async |api| {
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| ConnectError::of("list learning windows", RULE, &error))?;
        let text = match output {
            Output::Table => listing(&listed.items),
            Output::Json | Output::Yaml => serialise(&listed.items, output)?,
        };
        if !quiet {
            print(text.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn with_windows(
    kubeconfig: Option<&Path>,
    work: impl AsyncFnOnce(Api<LearningWindow>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let source = Source::find(kubeconfig)?.ok_or(ConnectError::NotFound)?;
    runtime()?.block_on(async {
        let client: Client = source.client().await?;
        work(Api::all(client)).await
    })
}

fn phase(status: &LearningWindowStatus) -> &'static str {
    match status.phase {
        Phase::Pending => "Pending",
        Phase::Learning => "Learning",
        Phase::Ended => "Ended",
        Phase::Refused => "Refused",
        Phase::Failing => "Failing",
    }
}

fn listing(windows: &[LearningWindow]) -> String {
    let mut table = Table::new([
        "NAME",
        "PHASE",
        "NAMESPACES",
        "MADE",
        "DURATION",
        "NODES",
        "CONTAINERS",
        "EVENTS",
        "LOST",
    ]);
    for window in windows {
        let status = window.status.clone().unwrap_or_default();
        table.row([
            window.name_any(),
            phase(&status).to_owned(),
            window.spec.namespaces.join(","),
            made(window),
            printable(&window.spec.duration),
            status.nodes.reporting.to_string(),
            status.containers.to_string(),
            status.events.to_string(),
            status.lost.to_string(),
        ]);
    }
    table.to_string()
}

fn made(window: &LearningWindow) -> String {
    let made = window.metadata.creation_timestamp.as_ref();
    made.map_or_else(|| "-".to_owned(), |made| utc(made).to_string())
}

fn described(window: &LearningWindow) -> String {
    let status = window.status.clone().unwrap_or_default();
    let nodes = &status.nodes;
    let moment = |time: &Option<_>| {
        time.as_ref()
            .map_or_else(|| "-".to_owned(), |time| utc(time).to_string())
    };
    let message = status
        .message
        .iter()
        .map(|message| format!("Note: {}\n", printable(message)));
    let losses = status
        .losses
        .iter()
        .map(|(reason, count)| format!("  {} {count}\n", printable(reason)));
    let mut workloads = Table::new(["WORKLOAD", "CONTAINERS", "BEHAVIOURS", "EVENTS", "LAST NEW"]);
    for one in &status.workloads {
        workloads.row([
            printable(&one.workload),
            one.containers.to_string(),
            one.behaviours.to_string(),
            one.events.to_string(),
            moment(&one.last_new),
        ]);
    }
    let more = match status.workloads_left_out {
        0 => String::new(),
        more => format!("and {more} more workloads\n"),
    };
    format!(
        "Learning window {}: {}, made {}, ends {}, ended {}\n\
         Nodes: {} tell of it, {} learn, {} have ended, {} cannot record, {} are silent\n\
         {}{}Events: {}; lost: {}\n{}\n{workloads}{more}",
        window.name_any(),
        phase(&status),
        made(window),
        moment(&status.ends_at),
        moment(&status.ended_at),
        nodes.reporting,
        nodes.learning,
        nodes.ended,
        nodes.failing,
        nodes.silent,
        message.collect::<String>(),
        status.coverage.as_ref().map(covered).unwrap_or_default(),
        status.events,
        status.lost,
        losses.collect::<String>(),
    )
}

/// How much was seen, for people: a line for all, and one for each image that waits.
fn covered(coverage: &CoverageStatus) -> String {
    let CoverageStatus { images, ready, .. } = coverage;
    let ended = coverage
        .covered_at
        .as_ref()
        .map(|at| format!("; enough was seen at {}", utc(at)));
    let all = format!(
        "Coverage: {ready} of {images} images are ready{}\n",
        ended.unwrap_or_default()
    );
    let missing = [
        (
            coverage.nodes_missing,
            &coverage.nodes_missing_names,
            "nodes have not told",
        ),
        (
            coverage.images_left_out,
            &coverage.images_left_out_names,
            "images do so much that it cannot be told, and the window ends by time",
        ),
    ];
    let missing = missing
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, names, what)| {
            let names: Vec<String> = names.iter().take(3).map(|name| printable(name)).collect();
            let more = if count > 3 { ", ..." } else { "" };
            format!("  {count} {what}: {}{more}\n", names.join(", "))
        });
    let waiting = coverage.waiting.iter().map(|one| {
        let [image, state, advice] = [&one.image, &one.state, &one.advice].map(|text| printable(text));
        format!("  {image} is {state}: {advice}\n")
    });
    std::iter::once(all).chain(missing).chain(waiting).collect()
}

/// How far a window is, in seconds of how many, at `now`.
fn elapsed(window: &LearningWindow, now: UtcTime) -> (u64, u64) {
    let Ok(ends_at) = crate::agent::plan::ends_at(window) else {
        return (0, 0);
    };
    let made = window.metadata.creation_timestamp.as_ref().map_or(ends_at, utc);
    let all = ends_at.since(made).as_secs();
    (now.since(made).as_secs().min(all), all)
}

/// The recorder of this machine is told to end its window.
///
/// # Errors
/// [`Failure`].
pub fn stop_local(recording: &Path, quiet: bool) -> Result<ExitCode, Failure> {
    let Some(writer) = baselines::recording::writer_of(recording)? else {
        return Err(Failure::Usage {
            what: format!("nobody records into {}", recording.display()),
            help: "name another --recording, or a learning window of a cluster: see `profile list`".to_owned(),
        });
    };
    let id = i32::try_from(writer).ok().and_then(rustix::process::Pid::from_raw);
    let id = id.ok_or_else(|| Failure::Kernel(format!("{writer} is no process")))?;
    rustix::process::kill_process(id, rustix::process::Signal::TERM).map_err(|error| {
        Failure::Kernel(format!(
            "the recorder, process {writer}, cannot be stopped: {}",
            io::Error::from(error)
        ))
    })?;
    say(quiet, &format!("the recorder, process {writer}, ends its window"));
    Ok(ExitCode::SUCCESS)
}

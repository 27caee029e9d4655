//! `profile import tetragon unix://...` beside agents that behave, and agents that do not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::convert::Infallible;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Output, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use baselines::recording::{EndReason, Recording, Summary};
use profiler::import::tetragon::messages::{
    ArgumentMessage, EventMessage, FileMessage, GetEventsRequest, GetEventsResponse, Ignored, KprobeMessage,
    ProcessMessage, RateLimitMessage, Timestamp, ValueMessage,
};
use prost::Message;
use tempfile::TempDir;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// What goes over the wire for an event: the same bytes, where they are not spoilt.
#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(bytes = "vec", optional, tag = "9")]
    process_kprobe: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "11")]
    process_loader: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "30000")]
    of_the_future: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "40001")]
    rate_limit_info: Option<Vec<u8>>,
    #[prost(string, tag = "1000")]
    node_name: String,
    #[prost(message, optional, tag = "1001")]
    time: Option<Timestamp>,
}

/// The agent, which is written in Go, answers when there is a first event.
type Answer = BoxFuture<Response<Events>, Status>;
type Events = Pin<Box<dyn Stream<Item = Result<Wire, Status>> + Send>>;

/// An agent that sends what it is told to.
#[derive(Clone)]
struct Agent(fn() -> Events);

impl NamedService for Agent {
    const NAME: &'static str = "tetragon.FineGuidanceSensors";
}

impl Service<http::Request<Body>> for Agent {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/tetragon.FineGuidanceSensors/GetEvents");
        let agent = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<Wire, GetEventsRequest> = ProstCodec::default();
            Ok(Grpc::new(codec).server_streaming(agent, request).await)
        })
    }
}

impl ServerStreamingService<GetEventsRequest> for Agent {
    type Response = Wire;
    type ResponseStream = Events;
    type Future = Answer;

    fn call(&mut self, _: Request<GetEventsRequest>) -> Self::Future {
        let agent = self.clone();
        Box::pin(async move {
            let mut events = (agent.0)();
            let first = events.next().await;
            let events = tokio_stream::iter(first).chain(events);
            Ok(Response::new(Box::pin(events) as Events))
        })
    }
}

/// An open of `/0`, `/1`, ... by a process of the node.
fn open(number: u32) -> Wire {
    let argument = |arg, label: &str| ArgumentMessage {
        arg: Some(arg),
        label: label.to_owned(),
    };
    let file = FileMessage {
        path: format!("/{}", number % 1000),
        flags: String::new(),
    };
    wire(
        number,
        EventMessage::ProcessKprobe(KprobeMessage {
            process: Some(ProcessMessage {
                pid: Some(7),
                binary: "/usr/bin/cat".to_owned(),
                flags: "procFS".to_owned(),
                in_init_tree: Some(false),
                ..ProcessMessage::default()
            }),
            function_name: "security_file_open".to_owned(),
            args: vec![
                argument(ValueMessage::FileArg(file), ""),
                argument(ValueMessage::UintArg(0x1d), "f_mode"),
            ],
            action: 1,
        }),
    )
}

fn wire(number: u32, event: EventMessage) -> Wire {
    let message = GetEventsResponse {
        event: Some(event),
        node_name: "worker-1".to_owned(),
        time: Some(Timestamp {
            seconds: 1_700_000_000 + i64::from(number / 1_000),
            nanos: i32::try_from(number % 1_000).unwrap(),
        }),
    };
    Wire::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn events(
    wires: impl IntoIterator<Item = Wire, IntoIter: Send + 'static>,
) -> impl Stream<Item = Result<Wire, Status>> + Send {
    tokio_stream::iter(wires).map(Ok)
}

/// A folder with a socket and a recording.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn with(agent: fn() -> Events) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("tetragon.sock");
        let (listening, is_listening) = std::sync::mpsc::channel();
        // It ends with the tests.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::bind(socket).unwrap();
                listening.send(()).unwrap();
                let server = Server::builder().add_service(Agent(agent));
                server
                    .serve_with_incoming(UnixListenerStream::new(listener))
                    .await
                    .unwrap();
            });
        });
        is_listening.recv().unwrap();
        Self { folder }
    }

    fn recording(&self) -> PathBuf {
        self.folder.path().join("recording.db")
    }

    fn start(&self, options: &[&str]) -> Child {
        import(self.folder.path(), options)
    }

    fn run(&self, options: &[&str]) -> Output {
        self.start(options).wait_with_output().unwrap()
    }

    fn summary(&self) -> Summary {
        Recording::open(&self.recording()).unwrap().summary().unwrap()
    }

    /// The only window: how it ended, and how many events it holds.
    fn window(&self) -> (EndReason, u64) {
        let summary = self.summary();
        assert_eq!(summary.windows.len(), 1);
        let window = &summary.windows[0];
        (window.ended.clone().unwrap().1, window.observations)
    }
}

fn import(folder: &Path, options: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_profile"))
        .args(["import", "tetragon", "--recording"])
        .arg(folder.join("recording.db"))
        .arg(format!("unix://{}/tetragon.sock", folder.display()))
        .args(options)
        .env_remove("WARDLINE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output, says: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let errors = told.lines().filter(|line| line.starts_with("error:")).count();
    assert!(told.contains(says) && errors == 1 && told.contains("help:"), "{told}");
}

fn wait_until(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_mins(1), "it never came");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_agents_events_are_recorded_until_the_time_is_over() {
    let scratch = Scratch::with(|| {
        let future = Wire {
            of_the_future: Some(vec![1, 2, 3]),
            process_kprobe: None,
            ..open(50)
        };
        let others = [
            wire(60, EventMessage::ProcessLoader(Ignored {})),
            future,
            wire(
                70,
                EventMessage::RateLimitInfo(RateLimitMessage {
                    number_of_dropped_process_events: 12,
                }),
            ),
        ];
        Box::pin(events((0..40).map(open).chain(others)).chain(tokio_stream::pending()))
    });
    let output = scratch.run(&["--for", "2s", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scratch.window(), (EndReason::Completed, 40));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("\"source_rate_limit\": 12") && told.contains("\"process_loader\""),
        "{told}"
    );
    assert!(told.contains("\"unknown\""), "{told}");
    let losses = scratch.summary().losses;
    assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), 12);
}

#[test]
fn an_agent_that_has_nothing_to_tell_is_waited_for() {
    let silent = Scratch::with(|| Box::pin(tokio_stream::pending()));
    refused(&silent.run(&["--for", "1s"]), "there is no event of Tetragon");
    // Longer than the time between two writes.
    let slow = Scratch::with(|| {
        let started = Instant::now();
        let later = events((0..5).map(open)).filter(move |_| {
            while started.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(50));
            }
            true
        });
        Box::pin(later.chain(tokio_stream::pending()))
    });
    let output = slow.run(&["--for", "5s"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(slow.window(), (EndReason::Completed, 5));
}

#[test]
fn ctrl_c_ends_the_window_with_everything_in_it() {
    let scratch = Scratch::with(|| Box::pin(events((0..100).map(open)).chain(tokio_stream::pending())));
    let child = scratch.start(&[]);
    // It is written while it runs.
    wait_until(|| scratch.recording().exists());
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scratch.window(), (EndReason::Interrupted, 100));
}

#[test]
fn an_agent_that_goes_away_is_an_error_and_what_came_is_kept() {
    let scratch = Scratch::with(|| Box::pin(events((0..30).map(open))));
    refused(&scratch.run(&[]), "ended after 30: the agent ended the stream");
    let (reason, recorded) = scratch.window();
    assert!(matches!(reason, EndReason::Failed(_)) && recorded == 30, "{reason:?}");

    // The next window goes on, and what is sent again is not counted again.
    let output = scratch.run(&["-q"]);
    assert_eq!(output.status.code(), Some(1));
    let summary = scratch.summary();
    assert_eq!(
        summary.windows.iter().map(|window| window.observations).sum::<u64>(),
        30
    );
}

#[test]
fn garbage_and_errors_of_the_agent_end_it_as_well() {
    let garbage = Scratch::with(|| {
        let spoilt = Wire {
            process_kprobe: Some(vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            ..open(20)
        };
        Box::pin(events((0..20).map(open).chain([spoilt])).chain(tokio_stream::pending()))
    });
    refused(&garbage.run(&[]), "failed to decode");
    assert_eq!(garbage.window().1, 20);

    let error = Scratch::with(|| {
        Box::pin(events((0..10).map(open)).chain(tokio_stream::once(Err(Status::resource_exhausted("too slow")))))
    });
    refused(&error.run(&[]), "too slow");
    assert_eq!(error.window().1, 10);

    let huge = Scratch::with(|| {
        let large = Wire {
            node_name: "x".repeat(2 << 20),
            ..open(0)
        };
        Box::pin(events([open(1), large]).chain(tokio_stream::pending()))
    });
    refused(&huge.run(&[]), "length too large");
}

/// The connection's window holds back an agent that sends more than is read.
#[test]
fn a_flood_takes_time_and_no_memory() {
    const EVENTS: u32 = 200_000;
    let scratch = Scratch::with(|| Box::pin(events((0..EVENTS).map(open))));
    let mut child = scratch.start(&["-q"]);
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.split_ascii_whitespace().next()?.parse::<u64>().ok());
        peak_kib = kib.unwrap_or_default().max(peak_kib);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(scratch.window().1, u64::from(EVENTS));
    assert!((1..100 << 10).contains(&peak_kib), "{peak_kib} KiB");
}

#[test]
fn where_no_agent_answers_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    refused(
        &import(folder.path(), &[]).wait_with_output().unwrap(),
        "cannot get events from the agent",
    );
    // Something else listens there.
    let listener = UnixListener::bind(folder.path().join("tetragon.sock")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // It may have seen enough before the end of that.
        let _ = connection.write_all(b"220 mail.example ESMTP ready, and no HTTP at all\r\n");
        std::thread::sleep(Duration::from_secs(1));
    });
    refused(
        &import(folder.path(), &[]).wait_with_output().unwrap(),
        "cannot get events from the agent",
    );
    other.join().unwrap();
    assert!(!folder.path().join("recording.db").exists());

    for arguments in [
        &["import", "tetragon", "--for", "1s", "-"][..],
        &["import", "tetragon", "unix:///a", "-"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_profile"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

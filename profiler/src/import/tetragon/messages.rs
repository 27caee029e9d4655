//! The messages of Tetragon's gRPC API, as far as [`super::event`] needs them: `tetragon.FineGuidanceSensors/GetEvents`.
//!
//! Written here and not generated: few fields of few messages are read, and what is not named is skipped, as protocol
//! buffers do. The numbers are those of Tetragon's `api/v1/tetragon/{events,tetragon}.proto`, and never change there.

use std::borrow::Cow;

use baselines::time::UtcTime;
use prost::{Message, Oneof};

use super::arguments::{Address, Arguments, FILE_MODE, File, Socket, Unix};
use super::event::{Container, Event, Function, Hook, ImageName, Pod, Process, What};

/// What is asked for: an empty request is for every event.
#[derive(Clone, PartialEq, Message)]
pub struct GetEventsRequest {}

/// One event.
#[derive(Clone, PartialEq, Message)]
pub struct GetEventsResponse {
    /// What happened.
    #[prost(oneof = "EventMessage", tags = "1, 5, 9, 10, 11, 12, 27, 28, 29, 40000, 40001")]
    pub event: Option<EventMessage>,
    /// On which node.
    #[prost(string, tag = "1000")]
    pub node_name: String,
    /// When.
    #[prost(message, optional, tag = "1001")]
    pub time: Option<Timestamp>,
}

/// What happened.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the API's names say it")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and nearly every one is large"
)]
pub enum EventMessage {
    #[prost(message, tag = "1")]
    ProcessExec(ExecMessage),
    #[prost(message, tag = "5")]
    ProcessExit(ExitMessage),
    #[prost(message, tag = "9")]
    ProcessKprobe(KprobeMessage),
    #[prost(message, tag = "10")]
    ProcessTracepoint(Ignored),
    #[prost(message, tag = "11")]
    ProcessLoader(Ignored),
    #[prost(message, tag = "12")]
    ProcessUprobe(Ignored),
    #[prost(message, tag = "27")]
    ProcessThrottle(ThrottleMessage),
    #[prost(message, tag = "28")]
    ProcessLsm(LsmMessage),
    #[prost(message, tag = "29")]
    ProcessUsdt(Ignored),
    #[prost(message, tag = "40000")]
    Test(Ignored),
    #[prost(message, tag = "40001")]
    RateLimitInfo(RateLimitMessage),
}

/// A message that nothing is read of.
#[derive(Clone, PartialEq, Message)]
pub struct Ignored {}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    /// Since the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `ProcessExec`.
#[derive(Clone, PartialEq, Message)]
pub struct ExecMessage {
    /// The process after it.
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessMessage>,
    /// Before it.
    #[prost(message, optional, tag = "2")]
    pub parent: Option<ProcessMessage>,
}

/// `ProcessExit`.
#[derive(Clone, PartialEq, Message)]
pub struct ExitMessage {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessMessage>,
}

/// `ProcessKprobe`.
#[derive(Clone, PartialEq, Message)]
pub struct KprobeMessage {
    /// Who called.
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessMessage>,
    /// What.
    #[prost(string, tag = "3")]
    pub function_name: String,
    /// With what.
    #[prost(message, repeated, tag = "4")]
    pub args: Vec<ArgumentMessage>,
    /// What the policy did.
    #[prost(int32, tag = "6")]
    pub action: i32,
}

/// `ProcessLsm`.
#[derive(Clone, PartialEq, Message)]
pub struct LsmMessage {
    /// Who called.
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessMessage>,
    /// What.
    #[prost(string, tag = "3")]
    pub function_name: String,
    /// With what.
    #[prost(message, repeated, tag = "7")]
    pub args: Vec<ArgumentMessage>,
    /// What the policy did.
    #[prost(int32, tag = "8")]
    pub action: i32,
}

/// `Process`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Process")]
pub struct ProcessMessage {
    #[prost(string, tag = "1")]
    pub exec_id: String,
    #[prost(message, optional, tag = "2")]
    pub pid: Option<u32>,
    #[prost(string, tag = "5")]
    pub binary: String,
    #[prost(string, tag = "6")]
    pub arguments: String,
    #[prost(string, tag = "7")]
    pub flags: String,
    #[prost(message, optional, tag = "10")]
    pub pod: Option<PodMessage>,
    #[prost(string, tag = "11")]
    pub docker: String,
    #[prost(string, tag = "12")]
    pub parent_exec_id: String,
    #[prost(message, optional, tag = "20")]
    pub in_init_tree: Option<bool>,
}

/// `Pod`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Pod")]
pub struct PodMessage {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "4")]
    pub container: Option<ContainerMessage>,
    #[prost(string, tag = "6")]
    pub workload: String,
    #[prost(string, tag = "7")]
    pub workload_kind: String,
}

/// `Container`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Container")]
pub struct ContainerMessage {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub image: Option<ImageMessage>,
    #[prost(message, optional, tag = "4")]
    pub start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub pid: Option<u32>,
    #[prost(bool, tag = "13")]
    pub maybe_exec_probe: bool,
}

/// `Image`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in ImageName")]
pub struct ImageMessage {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// `KprobeArgument`.
#[derive(Clone, PartialEq, Message)]
pub struct ArgumentMessage {
    /// The value, if it is one of those that are read.
    #[prost(oneof = "ValueMessage", tags = "6, 7, 9, 15, 26, 30, 33")]
    pub arg: Option<ValueMessage>,
    /// What the policy calls it.
    #[prost(string, tag = "18")]
    pub label: String,
}

/// The value of an argument.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the API's names say it")]
pub enum ValueMessage {
    #[prost(message, tag = "6")]
    PathArg(FileMessage),
    #[prost(message, tag = "7")]
    FileArg(FileMessage),
    #[prost(message, tag = "9")]
    SockArg(SocketMessage),
    #[prost(uint32, tag = "15")]
    UintArg(u32),
    #[prost(message, tag = "26")]
    LinuxBinprmArg(ProgramMessage),
    #[prost(message, tag = "30")]
    SockaddrArg(AddressMessage),
    #[prost(message, tag = "33")]
    SockaddrunArg(UnixMessage),
}

/// `KprobeFile`, `KprobePath`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in File")]
pub struct FileMessage {
    #[prost(string, tag = "2")]
    pub path: String,
    #[prost(string, tag = "3")]
    pub flags: String,
}

/// `KprobeLinuxBinprm`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in File")]
pub struct ProgramMessage {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub flags: String,
}

/// `KprobeSock`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Socket")]
pub struct SocketMessage {
    #[prost(string, tag = "3")]
    pub protocol: String,
}

/// `KprobeSockaddr`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Address")]
pub struct AddressMessage {
    #[prost(string, tag = "1")]
    pub family: String,
    #[prost(string, tag = "2")]
    pub addr: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

/// `KprobeSockaddrUn`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as in Unix")]
pub struct UnixMessage {
    #[prost(string, tag = "2")]
    pub path: String,
}

/// `RateLimitInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct RateLimitMessage {
    /// How many events were left out.
    #[prost(uint64, tag = "1")]
    pub number_of_dropped_process_events: u64,
}

/// `ProcessThrottle`.
#[derive(Clone, PartialEq, Message)]
pub struct ThrottleMessage {
    /// 1: it starts.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
}

/// `KprobeAction`: `SIGKILL`, `OVERRIDE`, `SIGNAL`, `NOTIFYENFORCER`.
const DENIALS: [i32; 4] = [3, 5, 10, 13];

impl GetEventsResponse {
    /// The same event as its JSON would be.
    pub fn event(&self) -> Event<'_> {
        let other = |kind: &'static str| What::Other { kind: kind.into() };
        let what = match &self.event {
            Some(EventMessage::ProcessExec(exec)) => What::Exec {
                process: exec.process.as_ref().map(Process::from).unwrap_or_default(),
                parent: exec.parent.as_ref().map(Process::from),
            },
            Some(EventMessage::ProcessExit(exit)) => What::Exit {
                process: exit.process.as_ref().map(Process::from).unwrap_or_default(),
            },
            Some(EventMessage::ProcessKprobe(call)) => hook(
                false,
                call.process.as_ref(),
                &call.function_name,
                &call.args,
                call.action,
            ),
            Some(EventMessage::ProcessLsm(call)) => hook(
                true,
                call.process.as_ref(),
                &call.function_name,
                &call.args,
                call.action,
            ),
            Some(EventMessage::ProcessThrottle(throttle)) => What::Throttle {
                starts: throttle.r#type == 1,
            },
            Some(EventMessage::RateLimitInfo(info)) => What::RateLimit {
                dropped: info.number_of_dropped_process_events,
            },
            Some(EventMessage::ProcessTracepoint(_)) => other("process_tracepoint"),
            Some(EventMessage::ProcessLoader(_)) => other("process_loader"),
            Some(EventMessage::ProcessUprobe(_)) => other("process_uprobe"),
            Some(EventMessage::ProcessUsdt(_)) => other("process_usdt"),
            Some(EventMessage::Test(_)) => other("test"),
            None => other("unknown"),
        };
        Event {
            node: Cow::Borrowed(&self.node_name),
            time: self.time.as_ref().and_then(utc),
            what,
        }
    }
}

fn utc(time: &Timestamp) -> Option<UtcTime> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanos = u64::try_from(time.nanos).ok()?;
    Some(UtcTime::from_nanos(
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?,
    ))
}

fn hook<'a>(
    is_lsm: bool,
    process: Option<&'a ProcessMessage>,
    function: &'a str,
    arguments: &'a [ArgumentMessage],
    action: i32,
) -> What<'a> {
    What::Hook(Hook {
        is_lsm,
        function: Function::new(function.into()),
        process: process.map(Process::from),
        arguments: arguments.into(),
        is_denied: DENIALS.contains(&action),
    })
}

impl<'a> From<&'a ProcessMessage> for Process<'a> {
    fn from(process: &'a ProcessMessage) -> Self {
        Self {
            exec_id: Cow::Borrowed(&process.exec_id),
            parent_exec_id: Cow::Borrowed(&process.parent_exec_id),
            pid: process.pid.unwrap_or_default(),
            binary: Cow::Borrowed(&process.binary),
            arguments: Cow::Borrowed(&process.arguments),
            flags: Cow::Borrowed(&process.flags),
            docker: Cow::Borrowed(&process.docker),
            in_init_tree: process.in_init_tree,
            pod: process.pod.as_ref().map(Pod::from),
        }
    }
}

impl<'a> From<&'a PodMessage> for Pod<'a> {
    fn from(pod: &'a PodMessage) -> Self {
        Self {
            namespace: Cow::Borrowed(&pod.namespace),
            name: Cow::Borrowed(&pod.name),
            workload: Cow::Borrowed(&pod.workload),
            workload_kind: Cow::Borrowed(&pod.workload_kind),
            container: pod.container.as_ref().map(Container::from),
        }
    }
}

impl<'a> From<&'a ContainerMessage> for Container<'a> {
    fn from(container: &'a ContainerMessage) -> Self {
        let image = container.image.as_ref();
        Self {
            id: Cow::Borrowed(&container.id),
            name: Cow::Borrowed(&container.name),
            image: ImageName {
                id: Cow::Borrowed(image.map_or("", |image| &image.id)),
                name: Cow::Borrowed(image.map_or("", |image| &image.name)),
            },
            start_time: container.start_time.as_ref().and_then(utc),
            pid: container.pid.unwrap_or_default(),
            maybe_exec_probe: container.maybe_exec_probe,
        }
    }
}

impl<'a> From<&'a [ArgumentMessage]> for Arguments<'a> {
    fn from(list: &'a [ArgumentMessage]) -> Self {
        let mut arguments = Self::default();
        for argument in list {
            match &argument.arg {
                Some(
                    ValueMessage::FileArg(FileMessage { path, flags })
                    | ValueMessage::PathArg(FileMessage { path, flags }),
                ) => {
                    arguments.file.get_or_insert_with(|| file(path, flags));
                }
                Some(ValueMessage::LinuxBinprmArg(ProgramMessage { path, flags })) => {
                    arguments.program.get_or_insert_with(|| file(path, flags));
                }
                Some(ValueMessage::SockArg(SocketMessage { protocol })) => {
                    arguments.socket.get_or_insert_with(|| Socket {
                        protocol: protocol.into(),
                    });
                }
                Some(ValueMessage::SockaddrArg(AddressMessage { family, addr, port })) => {
                    arguments.address.get_or_insert_with(|| Address {
                        family: family.into(),
                        addr: addr.into(),
                        port: *port,
                    });
                }
                Some(ValueMessage::SockaddrunArg(UnixMessage { path })) => {
                    arguments.unix.get_or_insert_with(|| Unix { path: path.into() });
                }
                Some(ValueMessage::UintArg(number)) if argument.label == FILE_MODE => {
                    arguments.file_mode.get_or_insert(*number);
                }
                Some(ValueMessage::UintArg(_)) | None => {}
            }
        }
        arguments
    }
}

fn file<'a>(path: &'a str, flags: &'a str) -> File<'a> {
    File {
        path: path.into(),
        flags: flags.into(),
    }
}

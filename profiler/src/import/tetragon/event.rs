//! One event of Tetragon, as far as learning needs it.
//!
//! The names are those of its API (`api/v1/tetragon/{events,tetragon}.proto`, 1.0 to 1.8), written as its agent exports them:
//! one JSON object a line, with the proto's field names. What is not needed is skipped, and unknown fields are.
//!
//! ```
//! use profiler::import::tetragon::event::{Event, What};
//!
//! let line = br#"{"process_exec": {"process": {"pid": 7, "binary": "/bin/sh"}}, "node_name": "worker-1",
//!     "time": "2026-11-21T19:35:36.942275927Z"}"#;
//! let event = Event::parse(line).unwrap();
//! assert_eq!((&*event.node, event.kind().as_ref()), ("worker-1", "process_exec"));
//! let What::Exec { process, .. } = event.what else { unreachable!() };
//! assert_eq!(process.binary, "/bin/sh");
//! ```

use std::borrow::Cow;
use std::fmt;

use baselines::time::UtcTime;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::arguments::Arguments;

/// An event.
#[derive(Debug)]
pub struct Event<'a> {
    /// The node that it happened on; empty where the export leaves that out.
    pub node: Cow<'a, str>,
    /// When. None where the export leaves it out, or it is no time.
    pub time: Option<UtcTime>,
    /// What happened.
    pub what: What<'a>,
}

/// What an event tells.
#[derive(Debug)]
pub enum What<'a> {
    /// A program was executed, or ran already when the agent started.
    Exec {
        /// The process after it.
        process: Process<'a>,
        /// The process before it, or whose child it is.
        parent: Option<Process<'a>>,
    },
    /// A process ended.
    Exit {
        /// Which.
        process: Process<'a>,
    },
    /// A hook of a policy was called.
    Hook(Hook<'a>),
    /// The export left out events, because there were more than it may write.
    RateLimit {
        /// How many.
        dropped: u64,
    },
    /// The agent stopped, or began again, to report executions of a cgroup.
    Throttle {
        /// It stopped.
        starts: bool,
    },
    /// Anything else.
    Other {
        /// The event's name.
        kind: Cow<'a, str>,
    },
}

/// A call of a kernel function that a policy watches.
#[derive(Debug)]
pub struct Hook<'a> {
    /// Whether it came by `lsmhooks:`.
    pub is_lsm: bool,
    /// Which function.
    pub function: Function<'a>,
    /// Who called it.
    pub process: Option<Process<'a>>,
    /// What the policy posts of it.
    pub arguments: Arguments<'a>,
    /// The policy's action kept it from happening, or would have in enforce mode.
    pub is_denied: bool,
}

/// The functions that learning knows.
#[derive(Debug, PartialEq, Eq)]
pub enum Function<'a> {
    /// `security_bprm_check`: a program, a script or an interpreter is about to be executed.
    Exec,
    /// `security_file_open`.
    Open,
    /// `security_socket_connect`.
    Connect,
    /// `security_socket_sendmsg`.
    Send,
    /// Another one.
    Other(Cow<'a, str>),
}

impl<'a> Function<'a> {
    /// By its name, with or without `security_`.
    pub fn new(name: Cow<'a, str>) -> Self {
        match &*name {
            "security_bprm_check" | "bprm_check_security" => Self::Exec,
            "security_file_open" | "file_open" => Self::Open,
            "security_socket_connect" | "socket_connect" => Self::Connect,
            "security_socket_sendmsg" | "socket_sendmsg" => Self::Send,
            _ => Self::Other(name),
        }
    }
}

/// A process.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Process<'a> {
    /// Names this image of this process in the whole cluster.
    #[serde(borrow)]
    pub exec_id: Cow<'a, str>,
    /// The same of the process before it.
    #[serde(borrow)]
    pub parent_exec_id: Cow<'a, str>,
    /// In the host's PID namespace.
    pub pid: u32,
    /// The program as it was called, see [`super`].
    #[serde(borrow)]
    pub binary: Cow<'a, str>,
    /// What it was called with, without its name, in one text.
    #[serde(borrow)]
    pub arguments: Cow<'a, str>,
    /// Words about how the agent knows it.
    #[serde(borrow)]
    pub flags: Cow<'a, str>,
    /// The first characters of the container's id.
    #[serde(borrow)]
    pub docker: Cow<'a, str>,
    /// Whether it descends from its container's first process. None before Tetragon 1.3.
    pub in_init_tree: Option<bool>,
    /// Where it runs.
    #[serde(borrow)]
    pub pod: Option<Pod<'a>>,
}

impl Process<'_> {
    /// Whether its flags have this word.
    pub fn has_flag(&self, word: &str) -> bool {
        self.flags.split_ascii_whitespace().any(|flag| flag == word)
    }
}

/// A pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    /// Its namespace.
    #[serde(borrow)]
    pub namespace: Cow<'a, str>,
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Who owns it.
    #[serde(borrow)]
    pub workload: Cow<'a, str>,
    /// What that is.
    #[serde(borrow)]
    pub workload_kind: Cow<'a, str>,
    /// The container.
    #[serde(borrow)]
    pub container: Option<Container<'a>>,
}

/// A container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container<'a> {
    /// `containerd://...`.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Its name in the pod.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its image.
    #[serde(borrow)]
    pub image: ImageName<'a>,
    /// When it started; not known yet when its first program is executed.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<UtcTime>,
    /// The process's id inside of it.
    pub pid: u32,
    /// It is called as one of the pod's exec probes is.
    pub maybe_exec_probe: bool,
}

/// An image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageName<'a> {
    /// `repository@digest`, or what else the container runtime says.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// `repository:tag`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// Where it is no JSON object, or has another shape than an event.
    pub fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// What it is called in summaries: Tetragon's name for it, and the function's for hooks.
    pub fn kind(&self) -> Cow<'_, str> {
        match &self.what {
            What::Exec { .. } => "process_exec".into(),
            What::Exit { .. } => "process_exit".into(),
            What::Hook(hook) => hook.kind(),
            What::RateLimit { .. } => "rate_limit_info".into(),
            What::Throttle { .. } => "process_throttle".into(),
            What::Other { kind } => Cow::Borrowed(kind),
        }
    }

    /// Who did it.
    pub fn process(&self) -> Option<&Process<'a>> {
        match &self.what {
            What::Exec { process, .. } | What::Exit { process } => Some(process),
            What::Hook(hook) => hook.process.as_ref(),
            _ => None,
        }
    }
}

impl Hook<'_> {
    /// See [`Event::kind`].
    pub fn kind(&self) -> Cow<'static, str> {
        match (&self.function, self.is_lsm) {
            (Function::Exec, false) => "process_kprobe security_bprm_check".into(),
            (Function::Open, false) => "process_kprobe security_file_open".into(),
            (Function::Connect, false) => "process_kprobe security_socket_connect".into(),
            (Function::Send, false) => "process_kprobe security_socket_sendmsg".into(),
            (Function::Exec, true) => "process_lsm bprm_check_security".into(),
            (Function::Open, true) => "process_lsm file_open".into(),
            (Function::Connect, true) => "process_lsm socket_connect".into(),
            (Function::Send, true) => "process_lsm socket_sendmsg".into(),
            (Function::Other(name), false) => format!("process_kprobe {name}").into(),
            (Function::Other(name), true) => format!("process_lsm {name}").into(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExecFields<'a> {
    #[serde(borrow)]
    process: Process<'a>,
    #[serde(borrow)]
    parent: Option<Process<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExitFields<'a> {
    #[serde(borrow)]
    process: Process<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HookFields<'a> {
    #[serde(borrow)]
    process: Option<Process<'a>>,
    #[serde(borrow)]
    function_name: Cow<'a, str>,
    #[serde(borrow)]
    args: Arguments<'a>,
    #[serde(borrow)]
    action: Cow<'a, str>,
}

impl<'a> HookFields<'a> {
    fn hook(self, is_lsm: bool) -> What<'a> {
        What::Hook(Hook {
            is_lsm,
            function: Function::new(self.function_name),
            process: self.process,
            arguments: self.args,
            is_denied: is_denial(&self.action),
        })
    }
}

/// In monitor mode Tetragon names the action that the policy would have taken.
fn is_denial(action: &str) -> bool {
    matches!(
        action,
        "KPROBE_ACTION_OVERRIDE" | "KPROBE_ACTION_SIGKILL" | "KPROBE_ACTION_SIGNAL" | "KPROBE_ACTION_NOTIFYENFORCER"
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RateLimitFields {
    number_of_dropped_process_events: Number,
}

/// 64-bit numbers are texts in the JSON of protocol buffers, and readers take both.
#[derive(Default)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<'a> {
            Number(u64),
            Text(#[serde(borrow)] Cow<'a, str>),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(D::Error::custom),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ThrottleFields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// What is no time is as good as none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UtcTime>, D::Error> {
    Ok(Text::deserialize(deserializer)?.0.parse().ok())
}

/// Text without a copy where JSON has no escapes in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Event<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

/// By hand and not derived, because the names of events that are not known are wanted, too.
struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event of Tetragon")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
        let (mut node, mut time, mut what) = (Cow::Borrowed(""), None, None);
        while let Some(Text(key)) = map.next_key()? {
            let told = match &*key {
                "node_name" => {
                    node = map.next_value::<Text<'de>>()?.0;
                    continue;
                }
                "time" => {
                    time = map.next_value::<Text<'de>>()?.0.parse().ok();
                    continue;
                }
                "cluster_name" | "node_labels" | "aggregation_info" => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                "process_exec" => {
                    let ExecFields { process, parent } = map.next_value()?;
                    What::Exec { process, parent }
                }
                "process_exit" => {
                    let ExitFields { process } = map.next_value()?;
                    What::Exit { process }
                }
                "process_kprobe" => map.next_value::<HookFields<'de>>()?.hook(false),
                "process_lsm" => map.next_value::<HookFields<'de>>()?.hook(true),
                "rate_limit_info" => What::RateLimit {
                    dropped: map.next_value::<RateLimitFields>()?.number_of_dropped_process_events.0,
                },
                "process_throttle" => What::Throttle {
                    starts: map.next_value::<ThrottleFields<'de>>()?.kind == "THROTTLE_START",
                },
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    What::Other { kind: key }
                }
            };
            if what.is_none() || matches!(what, Some(What::Other { .. })) {
                what = Some(told);
            }
        }
        let what = what.ok_or_else(|| A::Error::custom("an object without an event"))?;
        Ok(Event { node, time, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_its_name_whatever_surrounds_it() {
        let cases = [
            (r#"{"process_exec":{}}"#, "process_exec"),
            (
                r#"{"new_field":1,"process_exit":{"process":{"new":[{}]},"status":9},"z":{}}"#,
                "process_exit",
            ),
            (
                r#"{"process_kprobe":{"function_name":"security_file_open"}}"#,
                "process_kprobe security_file_open",
            ),
            (
                r#"{"process_kprobe":{"function_name":"security_mmap_file"}}"#,
                "process_kprobe security_mmap_file",
            ),
            (
                r#"{"process_lsm":{"function_name":"bprm_check_security"}}"#,
                "process_lsm bprm_check_security",
            ),
            (r#"{"process_lsm":{}}"#, "process_lsm "),
            (
                r#"{"process_loader":{"path":"/lib/x.so"},"time":"no"}"#,
                "process_loader",
            ),
            (
                r#"{"rate_limit_info":{"number_of_dropped_process_events":"12"}}"#,
                "rate_limit_info",
            ),
            (r#"{"process_throttle":{"type":"THROTTLE_STOP"}}"#, "process_throttle"),
        ];
        for (line, kind) in cases {
            assert_eq!(Event::parse(line.as_bytes()).unwrap().kind(), kind);
        }
    }

    #[test]
    fn numbers_are_read_as_protocol_buffers_write_them() {
        for (written, expected) in [(r#""12""#, 12), ("12", 12), (r#""18446744073709551615""#, u64::MAX)] {
            let line = format!(r#"{{"rate_limit_info":{{"number_of_dropped_process_events":{written}}}}}"#);
            let What::RateLimit { dropped } = Event::parse(line.as_bytes()).unwrap().what else {
                panic!("{line}")
            };
            assert_eq!(dropped, expected);
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for line in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            r#"{"node_name":"a","time":"2026-11-21T19:35:36Z"}"#,
            r#"{"process_exec":7}"#,
            r#"{"process_exec":{"process":{"pid":"x"}}}"#,
            r#"{"process_exec":{}} trailing"#,
            r#"{"rate_limit_info":{"number_of_dropped_process_events":"-1"}}"#,
        ] {
            assert!(Event::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Event::parse(b"{\"process_exec\":{\"process\":{\"binary\":\"\xff\"}}}").is_err());
    }
}

//! The part of a Kubernetes API server that lists and watches the pods of one node (and no services), and does what a real one does only on a
//! bad day: forgets what it told (410), or holds more pods than a test can make one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Pods by their uids.
pub type Pods = BTreeMap<String, Value>;

/// It answers on a loopback address, without encryption, to anybody. It ends when this is dropped.
pub struct StubServer {
    address: SocketAddr,
    data: TempDir,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    pods: Pods,
    /// What watches have to tell, with the version after each.
    events: Vec<(u64, String)>,
    /// Watches from before this version are told that it is forgotten.
    oldest: u64,
    /// They are told so at once, by the status of the answer: not even the watch is begun.
    refuses: bool,
    lists: usize,
    /// What else may be asked for, by its path.
    others: BTreeMap<String, Value>,
    is_over: bool,
}

impl State {
    fn note(&mut self, kind: &str, mut pod: Value) -> Value {
        self.version += 1;
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.events
            .push((self.version, json!({"type": kind, "object": &pod}).to_string()));
        pod
    }
}

impl StubServer {
    /// Starts one that has no pods.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let for_listener = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for connection in listener.incoming() {
                if for_listener.lock().is_over {
                    return;
                }
                let shared = Arc::clone(&for_listener);
                // Whoever asks may go away at any time.
                thread::spawn(move || drop(connection.map(|stream| shared.serve(stream))));
            }
        });
        let server = Self {
            address,
            data: tempfile::tempdir().unwrap(),
            shared,
            listener: Some(listening),
        };
        let named = |kind: &str, value: Value| json!([{"name": "stub", kind: value}]);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "stub",
            "clusters": named("cluster", json!({"server": format!("http://{address}")})),
            "users": named("user", json!({})),
            "contexts": named("context", json!({"cluster": "stub", "user": "stub"})),
        });
        fs::write(server.kubeconfig(), kubeconfig.to_string()).unwrap();
        server
    }

    /// How to reach it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.path().join("kubeconfig")
    }

    /// A pod is there, or has changed.
    pub fn apply(&self, pod: Value) {
        let mut state = self.shared.lock();
        let uid = uid(&pod);
        let kind = if state.pods.contains_key(&uid) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let noted = state.note(kind, pod);
        state.pods.insert(uid, noted);
        self.shared.changed.notify_all();
    }

    /// A pod is gone, and was this at last.
    pub fn delete(&self, pod: Value) {
        let mut state = self.shared.lock();
        assert!(state.pods.remove(&uid(&pod)).is_some(), "{pod:#}");
        state.note("DELETED", pod);
        self.shared.changed.notify_all();
    }

    /// Makes changes that no watch hears of: it forgets all that it could have told, and whoever watches has to list again.
    pub fn expire(&self, change: impl FnOnce(&mut Pods)) {
        let mut state = self.shared.lock();
        change(&mut state.pods);
        state.version += 1;
        state.oldest = state.version;
        state.events.clear();
        self.shared.changed.notify_all();
    }

    /// The same, and whoever asks to watch what is forgotten gets the status 410 and nothing else.
    pub fn expire_and_refuse(&self, change: impl FnOnce(&mut Pods)) {
        self.shared.lock().refuses = true;
        self.expire(change);
    }

    /// Answers this path with this object.
    pub fn answer(&self, path: &str, object: Value) {
        self.shared.lock().others.insert(path.to_owned(), object);
    }

    /// How many times pods were listed, from the first page on.
    pub fn lists(&self) -> usize {
        self.shared.lock().lists
    }
}

impl Drop for StubServer {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        // Wakes it up.
        drop(TcpStream::connect(self.address));
        let ended = self.listener.take().unwrap().join();
        assert!(
            ended.is_ok() || thread::panicking(),
            "the stub of an API server has failed"
        );
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// One connection, until it is closed.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while let Some(request) = lines.next().transpose()? {
            // Nobody sends us a body.
            for header in lines.by_ref() {
                if header?.is_empty() {
                    break;
                }
            }
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|part| part.split_once('=')).collect();
            match path {
                "/api/v1/pods" if asked.contains_key("watch") => {
                    let version = asked.get("resourceVersion").map_or(0, |text| text.parse().unwrap());
                    return self.watch(&mut stream, version);
                }
                "/api/v1/pods" => respond(&mut stream, "200 OK", &self.list(&asked))?,
                // There are none, and none come.
                "/api/v1/services" if asked.contains_key("watch") => return self.tell_nothing(&mut stream),
                "/api/v1/services" => {
                    let none = json!({
                        "apiVersion": "v1", "kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": [],
                    });
                    respond(&mut stream, "200 OK", &none.to_string())?;
                }
                other => match self.lock().others.get(other).map(Value::to_string) {
                    Some(object) => respond(&mut stream, "200 OK", &object)?,
                    None => respond(&mut stream, "404 Not Found", &status(404, "NotFound").to_string())?,
                },
            }
        }
        Ok(())
    }

    /// A watch of what does not change.
    fn tell_nothing(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(STREAM)?;
        let mut state = self.lock();
        while !state.is_over {
            state = self.changed.wait(state).unwrap();
        }
        Ok(())
    }

    /// A page of the list. `continue` is the version of the first page and the last uid so far.
    fn list(&self, asked: &BTreeMap<&str, &str>) -> String {
        let mut state = self.lock();
        let (version, after) = asked
            .get("continue")
            .and_then(|text| text.split_once('.'))
            .unwrap_or_default();
        state.lists += usize::from(after.is_empty());
        let version = if version.is_empty() {
            state.version.to_string()
        } else {
            version.to_owned()
        };
        let limit = asked.get("limit").map_or(usize::MAX, |text| text.parse().unwrap());
        let page: Vec<_> = state
            .pods
            .iter()
            .filter(|(uid, _)| uid.as_str() > after)
            .take(limit)
            .collect();
        let more = match page.last() {
            Some((uid, _)) if page.len() == limit => format!("{version}.{uid}"),
            _ => String::new(),
        };
        let items: Vec<&Value> = page.iter().map(|(_, pod)| *pod).collect();
        let metadata = json!({"resourceVersion": version, "continue": more});
        json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}).to_string()
    }

    /// Tells what happens after a version, until whoever watches goes away.
    fn watch(&self, stream: &mut TcpStream, mut version: u64) -> io::Result<()> {
        let refuses = {
            let state = self.lock();
            state.refuses && version < state.oldest
        };
        if refuses {
            return respond(stream, "410 Gone", &status(410, "Expired").to_string());
        }
        stream.write_all(STREAM)?;
        loop {
            let mut state = self.lock();
            let (text, is_last) = loop {
                if state.is_over {
                    return Ok(());
                }
                if version < state.oldest && state.refuses {
                    // The connection breaks, and whoever watches asks again for the same.
                    return Ok(());
                }
                if version < state.oldest {
                    let expired = json!({"type": "ERROR", "object": status(410, "Expired")});
                    break (format!("{expired}\n"), true);
                }
                let mut text = String::new();
                for (_, event) in state.events.iter().filter(|(at, _)| *at > version) {
                    writeln!(text, "{event}").unwrap();
                }
                version = state.version;
                if !text.is_empty() {
                    break (text, false);
                }
                // Not for ever: a connection that was closed is noticed when something is written.
                state = self.changed.wait_timeout(state, Duration::from_secs(1)).unwrap().0;
            };
            drop(state);
            write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
            if is_last {
                return stream.write_all(b"0\r\n\r\n");
            }
        }
    }
}

/// What a watch's answer begins with.
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("the stub says {reason}"),
    })
}

fn respond(stream: &mut TcpStream, result: &str, body: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {result}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

//! The last look before anything is written: does the finished text say what was meant?
//!
//! The text is read back into types of its own, held against every limit of Tetragon that concerns it, and then each
//! learned behaviour is put to it, decided as Tetragon's programs decide; and so is what its prefixes and postfixes must not
//! admit: what is sensitive, denied, or waits for a decision. This knows exactly the part of the language
//! that [`crate::policy`] writes.

mod document;
mod limits;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use baselines::document::Baseline;
use baselines::path::{FilePath, Origin, PATH_BYTES_MAX};
use baselines::templates::Operator;

use crate::evidence::{enumerate, shorten};
use crate::policy::{Forbidden, executed_paths, is_admitted, sensitive_paths};
use crate::yaml::{self, YamlError};
use document::{ActionKind, ArgumentType, Call, Document, Filter, Kprobe, Operator as Word};
#[cfg(test)]
pub(crate) use limits::is_dns_label;

/// Why a finished policy must not be written.
#[derive(Debug, thiserror::Error)]
pub enum SelfCheckError {
    /// The text cannot be read back.
    #[error("the text cannot be read back: {0}")]
    Unreadable(#[from] YamlError),
    /// It breaks a limit.
    #[error("it breaks a limit of Tetragon: {0}")]
    Limit(String),
    /// A prefix or postfix admits what nothing but its own name may.
    #[error("it would admit what it must not: {0}")]
    Admits(String),
    /// It reports its own baseline.
    #[error("it would report behaviour of its own baseline: {0}")]
    Reports(String),
}

/// Checks a finished policy against the baseline that it was made from. `inexpressible` are the paths that it reports
/// because no policy can allow them, which people have been told; `forbidden` are those that it may admit by name only, and
/// only where something learned needs them.
///
/// # Errors
/// [`SelfCheckError`], the first that is found.
pub fn check(
    yaml: &str,
    baseline: &Baseline,
    inexpressible: &BTreeSet<&FilePath>,
    forbidden: &BTreeMap<FilePath, Forbidden>,
) -> Result<(), SelfCheckError> {
    let document: Document = yaml::parse(yaml)?;
    limits::check(&document).map_err(SelfCheckError::Limit)?;
    let hooks = document
        .spec
        .kprobes
        .iter()
        .map(|hook| Hook::new(hook).map_err(|problem| format!("{:?}: {problem}", hook.call)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(SelfCheckError::Limit)?;
    let reported: BTreeSet<String> = events(baseline)
        .into_iter()
        .filter(|event| !event.path.is_some_and(|path| inexpressible.contains(path)))
        .filter(|event| hooks.iter().any(|hook| hook.call == event.call && hook.reports(event)))
        .map(|event| shorten(&event.to_string()))
        .collect();
    if !reported.is_empty() {
        return Err(SelfCheckError::Reports(enumerate(reported.iter())));
    }
    let admitted = admitted(&hooks, baseline, forbidden);
    if !admitted.is_empty() {
        return Err(SelfCheckError::Admits(enumerate(admitted.iter())));
    }
    Ok(())
}

/// What it admits and must not: by a prefix or postfix anything that is forbidden, sensitive or executed, and by name what is
/// forbidden and not learned.
fn admitted(hooks: &[Hook], baseline: &Baseline, forbidden: &BTreeMap<FilePath, Forbidden>) -> BTreeSet<String> {
    let operators: BTreeSet<Operator> = hooks.iter().flat_map(Hook::wildcards).collect();
    let exposed = operators.iter().flat_map(|operator| {
        let entries = operator.exposes().into_iter();
        entries.map(move |entry| format!("{operator} admits paths like {}", entry.pattern))
    });
    let elsewhere = operators.iter().filter_map(|operator| match operator {
        Operator::Postfix(_) => Some(format!("{operator} admits files of every directory")),
        _ => Some(format!("{operator} admits files in {}", operator.exposes_fixed()?)),
    });
    let guarded: BTreeSet<&FilePath> = forbidden.keys().chain(sensitive_paths(baseline)).collect();
    let executed = executed_paths(baseline);
    let by_wildcard = operators.iter().flat_map(|operator| {
        let unknown = guarded.iter().filter(|path| is_admitted(operator, path) != Some(false));
        let known = executed.iter().filter(|path| is_admitted(operator, path) == Some(true));
        let all = unknown.chain(known);
        all.map(move |path| format!("{operator} admits {}", shorten(&path.to_text())))
    });
    let events = events(baseline);
    let learned: BTreeSet<(Call, &[u8])> = events.iter().map(|event| (event.call, event.compared_path())).collect();
    let is_known = |path: &&FilePath| matches!(path.origin(), Origin::Canonical | Origin::Deleted);
    let by_name = [Call::BprmCheck, Call::FileOpen]
        .into_iter()
        .flat_map(|call| forbidden.keys().filter(is_known).map(move |path| (call, path)))
        .map(|(call, path)| Event {
            call,
            path: Some(path),
            peer: None,
        })
        .filter(|event| !event.compared_path().is_empty() && !learned.contains(&(event.call, event.compared_path())))
        .filter(|event| hooks.iter().any(|hook| hook.call == event.call && !hook.reports(event)))
        .map(|event| shorten(&event.to_string()));
    exposed.chain(elsewhere).chain(by_wildcard).chain(by_name).collect()
}

/// Something that a hook is asked about.
#[derive(Debug)]
struct Event<'a> {
    call: Call,
    /// The file, of executions and opens.
    path: Option<&'a FilePath>,
    /// The peer, of connections.
    peer: Option<(IpAddr, u16)>,
}

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.map(FilePath::to_text).unwrap_or_default();
        match (self.call, self.peer) {
            (Call::BprmCheck, _) => write!(formatter, "executing {path}"),
            (Call::FileOpen, _) => write!(formatter, "opening {path}"),
            (Call::SocketConnect, Some((address, port))) => write!(formatter, "connecting to {address}:{port}"),
            (Call::SocketConnect, None) => write!(formatter, "connecting"),
        }
    }
}

impl Event<'_> {
    /// The bytes that Tetragon compares. It reads no path for `/` and for anonymous files.
    fn compared_path(&self) -> &[u8] {
        match self.path {
            Some(path) if matches!(path.origin(), Origin::Memfd | Origin::Anonymous) || path.as_bytes() == b"/" => &[],
            Some(path) => path.as_bytes(),
            None => &[],
        }
    }

    /// `i_nlink` of the file.
    fn link_count(&self) -> u32 {
        u32::from(
            !self
                .path
                .is_some_and(|path| matches!(path.origin(), Origin::Memfd | Origin::Anonymous | Origin::Deleted)),
        )
    }
}

/// Everything that the kernel asks the hooks about when the learned behaviour happens again.
fn events(baseline: &Baseline) -> Vec<Event<'_>> {
    let file = |call, path| Event {
        call,
        path: Some(path),
        peer: None,
    };
    let behaviours = &baseline.behaviours;
    let executed = behaviours
        .exec
        .iter()
        .flat_map(|exec| [Some(&exec.binary), exec.script.as_ref()])
        .flatten();
    let opened = behaviours
        .opens()
        .flat_map(|open| [Some(&open.path), open.backing.as_ref()])
        .flatten();
    // An execution opens its files too.
    let opens = opened.chain(executed.clone()).map(|path| file(Call::FileOpen, path));
    let connects = behaviours.connect.iter().flat_map(|connect| {
        let both_forms = match connect.address.to_canonical() {
            IpAddr::V4(v4) => [IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped())],
            v6 @ IpAddr::V6(_) => [v6; 2],
        };
        both_forms.map(|address| Event {
            call: Call::SocketConnect,
            path: None,
            peer: Some((address, connect.port)),
        })
    });
    executed
        .map(|path| file(Call::BprmCheck, path))
        .chain(opens)
        .chain(connects)
        .collect()
}

/// A hook, ready to be asked.
#[derive(Debug)]
struct Hook {
    call: Call,
    /// The tests of each selector, and whether it reports what passes them all.
    selectors: Vec<(Vec<Test>, bool)>,
}

/// One filter. The semantics are those of `filter_file_buf`, `filter_inet` and `filter_addr_map` in Tetragon's
/// bpf/process/types/basic.h.
#[derive(Debug)]
enum Test {
    LinkCount(HashSet<u32>),
    PathNotIn(HashSet<Vec<u8>>),
    /// The path is longer than Tetragon compares, or none of these admits it.
    PathNotLike(Vec<Operator>),
    Family {
        v4: bool,
        v6: bool,
    },
    Address {
        values: HashSet<IpAddr>,
        negated: bool,
    },
    Port {
        values: HashSet<u16>,
        negated: bool,
    },
}

impl Hook {
    fn new(hook: &Kprobe) -> Result<Self, String> {
        let selectors = hook.selectors.iter().map(|selector| {
            let tests = selector
                .match_args
                .iter()
                .map(|filter| Test::new(hook, filter))
                .collect::<Result<_, _>>()?;
            let reports = selector
                .match_actions
                .iter()
                .any(|action| action.action != ActionKind::NoPost);
            Ok((tests, reports))
        });
        Ok(Self {
            call: hook.call,
            selectors: selectors.collect::<Result<_, String>>()?,
        })
    }

    /// The prefixes and postfixes in it.
    fn wildcards(&self) -> impl Iterator<Item = Operator> {
        let tests = self.selectors.iter().flat_map(|(tests, _)| tests);
        let values = tests.filter_map(|test| match test {
            Test::PathNotLike(operators) => Some(operators),
            _ => None,
        });
        values.flatten().cloned()
    }

    /// The first selector whose tests all pass decides.
    fn reports(&self, event: &Event<'_>) -> bool {
        let deciding = self
            .selectors
            .iter()
            .find(|(tests, _)| tests.iter().all(|test| test.passes(event)));
        deciding.is_some_and(|(_, reports)| *reports)
    }
}

impl Test {
    fn new(hook: &Kprobe, filter: &Filter) -> Result<Self, String> {
        let argument = hook.argument(filter).ok_or("a filter names no declared argument")?;
        let is_link_count = argument.resolve.as_deref() == Some("file.f_inode.i_nlink");
        let negated = matches!(filter.operator, Word::NotSAddr | Word::NotSPort);
        match (hook.call, argument.kind, filter.operator) {
            (Call::BprmCheck, ArgumentType::Uint32, Word::Equal) if is_link_count => {
                Ok(Self::LinkCount(parsed(filter)?))
            }
            (Call::BprmCheck, ArgumentType::LinuxBinprm, Word::NotEqual)
            | (Call::FileOpen, ArgumentType::File, Word::NotEqual) => Ok(Self::PathNotIn(
                filter.values.iter().map(|value| value.clone().into_bytes()).collect(),
            )),
            // Of executions only whole paths are compared.
            (Call::FileOpen, ArgumentType::File, Word::NotPrefix) => Ok(Self::PathNotLike(
                filter.values.iter().cloned().map(Operator::Prefix).collect(),
            )),
            (Call::FileOpen, ArgumentType::File, Word::NotPostfix) => Ok(Self::PathNotLike(
                filter.values.iter().cloned().map(Operator::Postfix).collect(),
            )),
            (Call::SocketConnect, ArgumentType::Sockaddr, Word::Family) => {
                let has = |family: &str| filter.values.iter().any(|value| value == family);
                Ok(Self::Family {
                    v4: has("AF_INET"),
                    v6: has("AF_INET6"),
                })
            }
            (Call::SocketConnect, ArgumentType::Sockaddr, Word::SAddr | Word::NotSAddr) => Ok(Self::Address {
                values: parsed(filter)?,
                negated,
            }),
            (Call::SocketConnect, ArgumentType::Sockaddr, Word::SPort | Word::NotSPort) => Ok(Self::Port {
                values: parsed(filter)?,
                negated,
            }),
            (_, kind, operator) => Err(format!("{operator:?} on {kind:?} is not what this program writes")),
        }
    }

    fn passes(&self, event: &Event<'_>) -> bool {
        match (self, event.peer) {
            (Self::LinkCount(values), _) => values.contains(&event.link_count()),
            (Self::PathNotIn(values), _) => {
                let path = event.compared_path();
                !path.is_empty() && (path.len() > PATH_BYTES_MAX || !values.contains(path))
            }
            (Self::PathNotLike(operators), _) => {
                let path = event.compared_path();
                let is_admitted = || {
                    let compared = FilePath::canonical(path);
                    operators.iter().any(|operator| operator.admits(&compared))
                };
                !path.is_empty() && (path.len() > PATH_BYTES_MAX || !is_admitted())
            }
            (Self::Family { v4, v6 }, Some((address, _))) => {
                if address.is_ipv4() {
                    *v4
                } else {
                    *v6
                }
            }
            (Self::Address { values, negated }, Some((address, _))) => values.contains(&address) != *negated,
            (Self::Port { values, negated }, Some((_, port))) => values.contains(&port) != *negated,
            (Self::Family { .. } | Self::Address { .. } | Self::Port { .. }, None) => false,
        }
    }
}

fn parsed<T: std::str::FromStr + Eq + std::hash::Hash>(filter: &Filter) -> Result<HashSet<T>, String> {
    let parse = |value: &String| {
        value
            .parse()
            .map_err(|_| format!("{value:?} is no value for {:?}", filter.operator))
    };
    filter.values.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;

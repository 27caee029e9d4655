//! Conditions, made ready to be tried on many behaviours.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::condition::{Condition, Fact};
use super::globs::{Globs, GlobsBuilder, Group};
use super::lists::Lists;
use super::sequences::OneOf;
use super::values::{ActionKind, DnsSuffix, Network, Pattern, Ports, Scope};
use crate::behaviour::{Access, Action, Behaviour, Capabilities, Phase, Protocol, Provenance, RaiseCause};
use crate::document::{Evidence, Reached};
use crate::path::{DELETED, FilePath, Origin};

/// The list of programs that set containers up.
const RUNTIMES: &str = "runtimes";

/// The list of programs that do nothing but execute others: shells, init processes, those that switch users.
const LAUNCHERS: &str = "launchers";

/// All conditions of a catalogue.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    paths: Globs,
    arguments: Globs,
    runtimes: Group,
    launchers: Group,
    conditions: Vec<Tests>,
}

/// Tests that all have to hold.
type Tests = Vec<Test>;

#[derive(Clone, Debug)]
enum Test {
    Kind(OneOf<ActionKind>),
    Subject(Group),
    Program(Group),
    Binary(Group),
    Script(Group),
    Path(Group),
    Origin(OneOf<Origin>),
    SubjectOrigin(OneOf<Origin>),
    Access(OneOf<Access>),
    Address(OneOf<Network>),
    Scope(OneOf<Scope>),
    Port(OneOf<Ports>),
    Protocol(OneOf<Protocol>),
    DnsName(OneOf<DnsSuffix>),
    Cause(OneOf<RaiseCause>),
    User(OneOf<u32>),
    Capability(OneOf<Capabilities>),
    Phase(OneOf<Phase>),
    Provenance(OneOf<Provenance>),
    CalledAs(Group),
    Argument(Group),
    Fact(OneOf<Fact>),
    All(Vec<Tests>),
    Any(Vec<Tests>),
    Not(Vec<Tests>),
}

/// A behaviour, with what the globs say of it.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) behaviour: &'a Behaviour,
    pub(super) reached: &'a [Reached],
    pub(super) evidence: &'a Evidence,
    pub(super) facts: Facts,
    subject: Rc<[Group]>,
    /// The program, or the path.
    object: Rc<[Group]>,
    script: Option<Rc<[Group]>>,
    called_as: Vec<Group>,
    arguments: Vec<Group>,
}

/// A set of [`Fact`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts(u8);

impl Facts {
    pub(super) fn insert(&mut self, fact: Fact) {
        self.0 |= 1 << fact as u8;
    }

    fn contains(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u8 != 0
    }
}

/// What the globs said of paths, most of which come again and again.
#[derive(Debug, Default)]
pub(super) struct Known<'a>(HashMap<&'a [u8], Rc<[Group]>>);

impl Matcher {
    /// Makes conditions ready. The error has the number of the condition that is wrong, if it is one.
    pub(super) fn new<'a>(
        lists: &Lists,
        conditions: impl Iterator<Item = &'a Condition>,
    ) -> Result<Self, (Option<usize>, String)> {
        let mut paths = GlobsBuilder::new(lists, true);
        let mut arguments = GlobsBuilder::new(lists, false);
        let of_all = |why| (None, why);
        let runtimes = paths.list(RUNTIMES).map_err(of_all)?;
        let launchers = paths.list(LAUNCHERS).map_err(of_all)?;
        let mut tests = Vec::new();
        for (index, condition) in conditions.enumerate() {
            let made = made_ready(condition, &mut paths, &mut arguments);
            tests.push(made.map_err(|why| (Some(index), why))?);
        }
        Ok(Self {
            paths: paths.build().map_err(of_all)?,
            arguments: arguments.build().map_err(of_all)?,
            runtimes,
            launchers,
            conditions: tests,
        })
    }

    /// The numbers of the conditions that hold.
    pub(super) fn matching<'a>(&'a self, case: &'a Case<'_>) -> impl Iterator<Item = usize> + 'a {
        let numbered = self.conditions.iter().enumerate();
        numbered
            .filter(|(_, tests)| all_hold(tests, case))
            .map(|(index, _)| index)
    }

    /// Whether a path is of a container runtime.
    pub(super) fn is_runtime<'a>(&self, path: &'a FilePath, known: &mut Known<'a>) -> bool {
        has(&self.hits(path, known), self.runtimes)
    }

    /// Whether a path is of a program that does nothing but execute others.
    pub(super) fn is_launcher<'a>(&self, path: &'a FilePath, known: &mut Known<'a>) -> bool {
        has(&self.hits(path, known), self.launchers)
    }

    pub(super) fn case<'a>(
        &self,
        (behaviour, reached, evidence): (&'a Behaviour, &'a [Reached], &'a Evidence),
        facts: Facts,
        known: &mut Known<'a>,
    ) -> Case<'a> {
        let nothing: Rc<[Group]> = Rc::from([]);
        let (object, script, (called_as, arguments)) = match &behaviour.action {
            Action::Exec {
                binary,
                script,
                arguments,
            } => (
                self.hits(binary, known),
                script.as_ref().map(|script| self.hits(script, known)),
                arguments
                    .as_ref()
                    .map(|arguments| self.argument_hits(arguments.as_bytes()))
                    .unwrap_or_default(),
            ),
            Action::Open { path, .. } | Action::ConnectUnix { path } | Action::Raise { binary: path, .. } => {
                (self.hits(path, known), None, <_>::default())
            }
            Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => (nothing, None, <_>::default()),
        };
        Case {
            behaviour,
            reached,
            evidence,
            facts,
            subject: self.hits(&behaviour.subject, known),
            object,
            script,
            called_as,
            arguments,
        }
    }

    fn hits<'a>(&self, path: &'a FilePath, known: &mut Known<'a>) -> Rc<[Group]> {
        let bytes = compared(path);
        let hits = known.0.entry(bytes).or_insert_with(|| self.paths.hits(bytes).into());
        Rc::clone(hits)
    }

    /// What the globs say of the first argument, and of the others.
    fn argument_hits(&self, arguments: &[u8]) -> (Vec<Group>, Vec<Group>) {
        let mut arguments = arguments.split(|byte| *byte == 0);
        let first = arguments.next().map(|argument| self.arguments.hits(argument));
        let others = arguments.flat_map(|argument| self.arguments.hits(argument)).collect();
        (first.unwrap_or_default(), others)
    }
}

/// The bytes of a path that globs and other paths are compared with: a file whose name was removed had it before.
pub(super) fn compared(path: &FilePath) -> &[u8] {
    let bytes = path.as_bytes();
    match path.origin() {
        Origin::Deleted => bytes.strip_suffix(DELETED).unwrap_or(bytes),
        _ => bytes,
    }
}

fn has(hits: &[Group], group: Group) -> bool {
    hits.contains(&group)
}

fn made_ready(
    condition: &Condition,
    paths: &mut GlobsBuilder<'_>,
    arguments: &mut GlobsBuilder<'_>,
) -> Result<Tests, String> {
    let mut tests = Vec::new();
    // Cheap tests first: most behaviours fail one of them.
    let plain = [
        condition.kind.clone().map(Test::Kind),
        condition.fact.clone().map(Test::Fact),
        condition.origin.clone().map(Test::Origin),
        condition.subject_origin.clone().map(Test::SubjectOrigin),
        condition.access.clone().map(Test::Access),
        condition.cause.clone().map(Test::Cause),
        condition.user.clone().map(Test::User),
        condition.capability.clone().map(Test::Capability),
        condition.phase.clone().map(Test::Phase),
        condition.provenance.clone().map(Test::Provenance),
        condition.port.clone().map(Test::Port),
        condition.protocol.clone().map(Test::Protocol),
        condition.scope.clone().map(Test::Scope),
        condition.address.clone().map(Test::Address),
        condition.dns_name.clone().map(Test::DnsName),
    ];
    tests.extend(plain.into_iter().flatten());
    let mut grouped = |patterns: &Option<OneOf<Pattern>>, globs: &mut GlobsBuilder<'_>, test: fn(Group) -> Test| {
        if let Some(patterns) = patterns {
            tests.push(test(globs.group(patterns)?));
        }
        Ok::<(), String>(())
    };
    grouped(&condition.subject, paths, Test::Subject)?;
    grouped(&condition.program, paths, Test::Program)?;
    grouped(&condition.binary, paths, Test::Binary)?;
    grouped(&condition.script, paths, Test::Script)?;
    grouped(&condition.path, paths, Test::Path)?;
    grouped(&condition.called_as, arguments, Test::CalledAs)?;
    grouped(&condition.argument, arguments, Test::Argument)?;
    let mut nested = |conditions: &Option<OneOf<Condition>>, test: fn(Vec<Tests>) -> Test| {
        if let Some(conditions) = conditions {
            let below = conditions.iter().map(|below| made_ready(below, paths, arguments));
            tests.push(test(below.collect::<Result<_, _>>()?));
        }
        Ok::<(), String>(())
    };
    nested(&condition.all, Test::All)?;
    nested(&condition.any, Test::Any)?;
    nested(&condition.not, Test::Not)?;
    Ok(tests)
}

fn all_hold(tests: &[Test], case: &Case<'_>) -> bool {
    tests.iter().all(|test| test.holds(case))
}

impl Test {
    fn holds(&self, case: &Case<'_>) -> bool {
        match self {
            Self::Kind(kinds) => any(kinds, |kind| *kind == ActionKind::of(&case.behaviour.action)),
            Self::Subject(group) => has(&case.subject, *group),
            Self::Program(_) | Self::Binary(_) | Self::Script(_) | Self::Path(_) => self.holds_of_files(case),
            Self::Origin(origins) => any(origins, |origin| case.origins().contains(&Some(*origin))),
            Self::SubjectOrigin(origins) => any(origins, |origin| *origin == case.behaviour.subject.origin()),
            Self::Access(accesses) => case
                .access()
                .is_some_and(|access| any(accesses, |right| access.contains(*right))),
            Self::Address(networks) => case
                .peer()
                .is_some_and(|(address, ..)| any(networks, |network| network.contains(address))),
            Self::Scope(scopes) => case
                .peer()
                .is_some_and(|(address, ..)| any(scopes, |scope| *scope == Scope::of(address))),
            Self::Port(ports) => case
                .peer()
                .is_some_and(|(_, port, _)| any(ports, |ports| ports.contains(port))),
            Self::Protocol(protocols) => case
                .peer()
                .is_some_and(|(.., protocol)| any(protocols, |it| *it == protocol)),
            Self::DnsName(names) => {
                let mut asked_for = case.reached.iter().filter_map(|reached| reached.dns_name.as_ref());
                asked_for.any(|asked_for| any(names, |name| name.contains(asked_for)))
            }
            Self::Cause(causes) => case.raised().is_some_and(|(cause, ..)| any(causes, |it| *it == cause)),
            Self::User(users) => case.raised().is_some_and(|(_, user, _)| any(users, |it| *it == user)),
            Self::Capability(sets) => case
                .raised()
                .is_some_and(|(.., Capabilities(raised))| any(sets, |Capabilities(set)| raised & set != 0)),
            Self::Phase(phases) => any(phases, |phase| case.evidence.phases.contains(phase)),
            Self::Provenance(all) => any(all, |it| case.evidence.provenance.contains(it)),
            Self::CalledAs(group) => has(&case.called_as, *group),
            Self::Argument(group) => has(&case.arguments, *group),
            Self::Fact(facts) => any(facts, |fact| case.facts.contains(*fact)),
            Self::All(all) => all.iter().all(|tests| all_hold(tests, case)),
            Self::Any(all) => all.iter().any(|tests| all_hold(tests, case)),
            Self::Not(all) => !all.iter().any(|tests| all_hold(tests, case)),
        }
    }

    fn holds_of_files(&self, case: &Case<'_>) -> bool {
        let is_script = |group| case.script.as_ref().is_some_and(|script| has(script, group));
        match (self, &case.behaviour.action) {
            (Self::Program(group), Action::Exec { .. }) => has(&case.object, *group) || is_script(*group),
            (Self::Script(group), Action::Exec { .. }) => is_script(*group),
            (Self::Binary(group), Action::Exec { .. } | Action::Raise { .. })
            | (Self::Path(group), Action::Open { .. } | Action::ConnectUnix { .. }) => has(&case.object, *group),
            _ => false,
        }
    }
}

fn any<T>(values: &OneOf<T>, holds: impl Fn(&T) -> bool) -> bool {
    values.iter().any(holds)
}

impl Case<'_> {
    fn origins(&self) -> [Option<Origin>; 2] {
        match &self.behaviour.action {
            Action::Exec { binary, script, .. } => [Some(binary.origin()), script.as_ref().map(FilePath::origin)],
            Action::Open { path, .. } | Action::ConnectUnix { path } | Action::Raise { binary: path, .. } => {
                [Some(path.origin()), None]
            }
            Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => [None, None],
        }
    }

    fn access(&self) -> Option<Access> {
        match &self.behaviour.action {
            Action::Open { access, .. } => Some(*access),
            _ => None,
        }
    }

    fn peer(&self) -> Option<(IpAddr, u16, Protocol)> {
        peer(&self.behaviour.action)
    }

    fn raised(&self) -> Option<(RaiseCause, u32, Capabilities)> {
        match &self.behaviour.action {
            Action::Raise {
                cause,
                user,
                capabilities,
                ..
            } => Some((*cause, *user, *capabilities)),
            _ => None,
        }
    }
}

/// The address of a connection, a datagram or a socket that waits.
pub(super) fn peer(action: &Action) -> Option<(IpAddr, u16, Protocol)> {
    match action {
        Action::Connect {
            address,
            port,
            protocol,
        }
        | Action::Send {
            address,
            port,
            protocol,
        }
        | Action::Listen {
            address,
            port,
            protocol,
        } => Some((*address, *port, *protocol)),
        _ => None,
    }
}

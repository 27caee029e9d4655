//! systemd's units, by the names of their cgroups (systemd.unit(5), systemd.scope(5)).

use super::runtimes::is_uuid;
use super::{Found, HOST, Kind, Recognised, Workload, join, text};

/// The unit that a path belongs to: the first component that is no slice, or below a user's manager, the first after
/// it.
pub(super) fn unit(components: &[&[u8]]) -> Option<Recognised> {
    let (at, unit) = first_unit(components)?;
    let below = components.get(at..)?;
    // The manager's own process is in its init.scope.
    let found = match first_unit(below).filter(|(_, name)| is_user_manager(unit) && *name != "init.scope") {
        Some((inner, user_unit)) => found(
            components.get(..at.checked_add(inner)?)?,
            format!("{unit}/{user_unit}"),
            format!("{HOST}/user/{}", without_instance(user_unit)),
        ),
        None => found(
            components.get(..at)?,
            unit.to_owned(),
            format!("{HOST}/{}", without_instance(unit)),
        ),
    };
    Some(Recognised::Workload(found))
}

fn found(components: &[&[u8]], name: String, repository: String) -> Found {
    let cgroup = join(components);
    Found {
        workload: Workload {
            namespace: HOST.to_owned(),
            kind: Kind::Unit,
            name,
            container: None,
        },
        id: text(&cgroup),
        repository,
        cgroup,
        runtime: None,
        outer: Vec::new(),
    }
}

/// Whether this is a slice. So are the `..` of a path that starts above our cgroup namespace's root.
pub(super) fn is_slice(component: &[u8]) -> bool {
    component.ends_with(b".slice") || component == b".."
}

/// The first component that is no slice, if it is a unit, and how many components lead to it, itself included.
fn first_unit<'a>(components: &[&'a [u8]]) -> Option<(usize, &'a str)> {
    let (at, name) = components
        .iter()
        .enumerate()
        .find(|(_, component)| !is_slice(component))?;
    Some((at.checked_add(1)?, unit_name(name)?))
}

/// The name, if systemd would allow it for a unit that runs processes.
fn unit_name(name: &[u8]) -> Option<&str> {
    let name = str::from_utf8(name).ok()?;
    let (stem, kind) = name.rsplit_once('.')?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    (matches!(kind, "service" | "scope" | "socket" | "mount" | "swap")
        && !stem.is_empty()
        && name.len() <= 255
        && stem.bytes().all(allowed))
    .then_some(name)
}

/// What is below a user's manager, if that is where a path leads and the manager has put a slice there; else all of it.
pub(super) fn without_user_manager<'a, 'b>(components: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    first_unit(components)
        .filter(|(_, unit)| is_user_manager(unit))
        .and_then(|(at, _)| components.get(at..))
        .filter(|below| !below.is_empty())
        .unwrap_or(components)
}

fn is_user_manager(unit: &str) -> bool {
    unit.starts_with("user@") && unit.ends_with(".service")
}

/// The unit's name without what tells apart the runs of one program.
fn without_instance(unit: &str) -> String {
    let Some((stem, kind)) = unit.rsplit_once('.') else {
        return unit.to_owned();
    };
    if let Some((template, _instance)) = stem.split_once('@') {
        return format!("{template}@.{kind}");
    }
    match without_run(stem).filter(|_| kind == "scope") {
        Some(prefix) => format!("{prefix}-.{kind}"),
        None => unit.to_owned(),
    }
}

/// Without a trailing number (`session-3`, `session-c1`, `app-gnome-org.example-4711`) or UUID (`vte-spawn-<uuid>`).
fn without_run(stem: &str) -> Option<&str> {
    let uuid = stem.len().checked_sub(36).and_then(|at| stem.split_at_checked(at));
    if let Some((prefix, run)) = uuid
        && is_uuid(run)
    {
        return prefix.strip_suffix('-');
    }
    let (prefix, run) = stem.rsplit_once('-')?;
    let number = run.strip_prefix('c').unwrap_or(run);
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(prefix)
}

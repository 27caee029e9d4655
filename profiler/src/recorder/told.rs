//! What a key of the counters says, once everything that it refers to has been described.

use baselines::behaviour::{Access, Action, Arguments, Behaviour, Capabilities, Protocol, RaiseCause};
use baselines::path::{FilePath, Origin};
use profiler_common::{Execution, Key, Peer, Raise, Scripted, kind, pod, raise};

use super::described::{Described, File, Image, Loader};

/// What a key says.
pub(super) enum Told {
    Behaviours(Vec<Behaviour>),
    /// A description is still on its way.
    NotYet,
}

/// What a key says about a workload.
pub(super) fn behaviours_of(key: &Key, described: &Described) -> Told {
    match tell(key, described) {
        Some(behaviours) => Told::Behaviours(behaviours),
        None => Told::NotYet,
    }
}

fn tell(key: &Key, described: &Described) -> Option<Vec<Behaviour>> {
    let subject = match key.subject {
        0 => FilePath::new(*b"", Origin::Unknown),
        image => described.image(image)?.file.path.clone(),
    };
    let action = match key.kind {
        kind::OPEN => {
            return Some(vec![open(
                &subject,
                described.file(key)?,
                Access::from_bits(key.access),
            )]);
        }
        kind::EXEC => return executed(&subject, key, described),
        kind::SCRIPTED => return went_through(&subject, key, described),
        kind::CONNECT_UNIX => Action::ConnectUnix {
            path: described.file(key)?.path.clone(),
        },
        kind::RAISE => raised(pod::cast(key.object), described)?,
        kind::CONNECT | kind::SEND | kind::LISTEN => socket(key.kind, &pod::cast(key.object)),
        _ => return None,
    };
    Some(vec![Behaviour { subject, action }])
}

fn socket(kind: u8, peer: &Peer) -> Action {
    let protocol = match peer.protocol {
        // IPPROTO_MPTCP (include/uapi/linux/in.h), which is TCP on the wire.
        262 => Protocol::Tcp,
        number => Protocol::from_number(u8::try_from(number).unwrap_or(u8::MAX)),
    };
    let (address, port) = (address_of(peer), peer.port);
    match kind {
        kind::SEND => Action::Send {
            address,
            port,
            protocol,
        },
        kind::LISTEN => Action::Listen {
            address,
            port,
            protocol,
        },
        _ => Action::Connect {
            address,
            port,
            protocol,
        },
    }
}

fn address_of(peer: &Peer) -> std::net::IpAddr {
    let [a, b, c, d, ..] = peer.address;
    if i32::from(peer.family) == libc::AF_INET {
        [a, b, c, d].into()
    } else {
        peer.address.into()
    }
}

fn raised(raise: Raise, described: &Described) -> Option<Action> {
    let binary = match raise.image {
        0 => FilePath::new(*b"", Origin::Unknown),
        image => described.image(image)?.file.path.clone(),
    };
    let cause = match raise.cause {
        raise::EXECUTION => RaiseCause::Execution,
        raise::USER_NAMESPACE => RaiseCause::UserNamespace,
        _ => return None,
    };
    Some(Action::Raise {
        binary,
        cause,
        user: raise.user,
        capabilities: Capabilities(raise.capabilities),
    })
}

fn open(subject: &FilePath, file: &File, access: Option<Access>) -> Behaviour {
    let File { path, backing } = file.clone();
    Behaviour {
        subject: subject.clone(),
        action: Action::Open {
            path,
            access: access.unwrap_or_default(),
            backing,
        },
    }
}

/// The arguments of an execution; None where they are not known yet.
#[allow(clippy::option_option, reason = "not recorded is one thing, not there yet another")]
fn arguments_of(hash: u64, key: &Key, described: &Described) -> Option<Option<Arguments>> {
    match hash {
        0 => Some(None),
        _ => described.arguments(key).cloned().map(Some),
    }
}

fn executed(subject: &FilePath, key: &Key, described: &Described) -> Option<Vec<Behaviour>> {
    let execution: Execution = pod::cast(key.object);
    let arguments = arguments_of(execution.arguments, key, described)?;
    if execution.image == 0 {
        // No room for it in the kernel's table of executables, which was counted there.
        let binary = FilePath::new(*b"", Origin::Unknown);
        return Some(vec![exec(subject, &binary, None, arguments.as_ref())]);
    }
    let image = described.image(execution.image)?;
    let loader = match &image.loader {
        Loader::Asked => return None,
        Loader::Known(loader) => Some(loader.as_ref()),
        Loader::Unknown => Some(None),
        // So is everything else that is opened.
        Loader::Told => None,
    };
    let scripts = match execution.script {
        0 => &[],
        _ => described.script(key)?,
    };
    let scripts: Vec<&File> = scripts.iter().collect();
    let mut behaviours = executions(subject, image, &scripts, arguments.as_ref());
    if let Some(loader) = loader {
        behaviours.extend(opened(subject, image, loader, &scripts));
    }
    Some(behaviours)
}

/// An execution of which the hooks have told every file, and will have told every open.
fn went_through(subject: &FilePath, key: &Key, described: &Described) -> Option<Vec<Behaviour>> {
    let scripted: Scripted = pod::cast(key.object);
    let arguments = arguments_of(scripted.arguments, key, described)?;
    let image = described.image(scripted.image)?;
    let ran = scripted.scripts.iter().filter(|script| **script != 0);
    let scripts: Option<Vec<&File>> = ran.map(|script| Some(&described.image(*script)?.file)).collect();
    Some(executions(subject, image, &scripts?, arguments.as_ref()))
}

/// An execution. A script that interprets another one is executed, too: `security_bprm_check` runs for each of them.
fn executions(subject: &FilePath, image: &Image, scripts: &[&File], arguments: Option<&Arguments>) -> Vec<Behaviour> {
    let binary = &image.file.path;
    match scripts {
        [] => vec![exec(subject, binary, None, arguments)],
        scripts => {
            let exec = |script: &&File| exec(subject, binary, Some(&script.path), arguments);
            scripts.iter().map(exec).collect()
        }
    }
}

fn exec(subject: &FilePath, binary: &FilePath, script: Option<&FilePath>, arguments: Option<&Arguments>) -> Behaviour {
    Behaviour {
        subject: subject.clone(),
        action: Action::Exec {
            binary: binary.clone(),
            script: script.cloned(),
            arguments: arguments.cloned(),
        },
    }
}

/// The opens that an execution makes where no system call shows them: the program, its dynamic loader, and for a script the
/// script and the scripts that interpret it; the first two are mapped, too. The calling program makes them: its own image is
/// replaced later.
fn opened<'a>(
    subject: &'a FilePath,
    image: &'a Image,
    loader: Option<&'a File>,
    scripts: &'a [&File],
) -> impl Iterator<Item = Behaviour> + 'a {
    let programs = [&image.file].into_iter().chain(loader);
    let read = scripts.iter().copied().chain(programs.clone());
    read.map(|file| open(subject, file, Some(Access::READ)))
        .chain(programs.map(|file| open(subject, file, Some(Access::MAP))))
}

/// Whether every open that an execution makes is known.
pub(super) fn is_complete(key: &Key, described: &Described) -> bool {
    let image_of = |execution: Execution| described.image(execution.image);
    key.kind != kind::EXEC || image_of(pod::cast(key.object)).is_none_or(Image::is_complete)
}

/// The numbers of the executables in a key.
pub(super) fn images_of(key: &Key) -> Vec<u64> {
    let mut images = vec![key.subject];
    match key.kind {
        kind::EXEC => images.push(pod::cast::<_, Execution>(key.object).image),
        kind::RAISE => images.push(pod::cast::<_, Raise>(key.object).image),
        kind::SCRIPTED => {
            let scripted: Scripted = pod::cast(key.object);
            images.push(scripted.image);
            images.extend(scripted.scripts);
        }
        _ => {}
    }
    images.retain(|image| *image != 0);
    images
}

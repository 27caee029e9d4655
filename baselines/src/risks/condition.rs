//! What a behaviour has to be like, as it is written.

use serde::{Deserialize, Serialize};

use super::sequences::OneOf;
use super::values::{ActionKind, DnsSuffix, Network, Pattern, Ports, Scope};
use crate::behaviour::{Access, Capabilities, Phase, Protocol, Provenance, RaiseCause};
use crate::path::Origin;

/// How deep conditions can be nested.
const DEPTH_MAX: usize = 8;

/// How many conditions an entry can have.
const CONDITIONS_MAX: usize = 64;

/// What is told from all behaviours of an image together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// An execution of a program, or of a script, that was opened for writing or created, too: it is not what the image
    /// brought. Which came first is not known.
    WrittenAndExecuted,
    /// The same of a file that was mapped to be executed.
    WrittenAndMapped,
    /// An execution by a program that connected or sent to a public address, too.
    ParentConnectsOut,
    /// An execution by a program that takes connections, too.
    ParentListens,
    /// A step of the entry point's chain, see [`super::assess`].
    Entrypoint,
}

/// A condition holds where each of its fields does; a field holds where one of its values fits. A field that a behaviour has
/// nothing for does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Condition {
    /// What was done.
    pub kind: Option<OneOf<ActionKind>>,
    /// Who did it; of an execution, the calling image.
    pub subject: Option<OneOf<Pattern>>,
    /// The program or the script that was executed.
    pub program: Option<OneOf<Pattern>>,
    /// The program that was executed, or raised its privileges.
    pub binary: Option<OneOf<Pattern>>,
    /// The script that was executed.
    pub script: Option<OneOf<Pattern>>,
    /// The file that was opened, or the socket.
    pub path: Option<OneOf<Pattern>>,
    /// What is known of that path, or of the program or script.
    pub origin: Option<OneOf<Origin>>,
    /// The same of the subject.
    pub subject_origin: Option<OneOf<Origin>>,
    /// How it was opened: with every right of one of these.
    pub access: Option<OneOf<Access>>,
    /// The address, or its network.
    pub address: Option<OneOf<Network>>,
    /// What kind of address it is.
    pub scope: Option<OneOf<Scope>>,
    /// The port.
    pub port: Option<OneOf<Ports>>,
    /// The transport protocol.
    pub protocol: Option<OneOf<Protocol>>,
    /// The name that the address was asked for by, or one above it.
    pub dns_name: Option<OneOf<DnsSuffix>>,
    /// How privileges were raised.
    pub cause: Option<OneOf<RaiseCause>>,
    /// The effective user id after it.
    pub user: Option<OneOf<u32>>,
    /// A capability that was permitted after it.
    pub capability: Option<OneOf<Capabilities>>,
    /// A phase that it was seen in.
    pub phase: Option<OneOf<Phase>>,
    /// How a process that did it came into the container.
    pub provenance: Option<OneOf<Provenance>>,
    /// The first argument, where arguments were recorded. `*` stands for slashes, too.
    pub called_as: Option<OneOf<Pattern>>,
    /// Any other argument.
    pub argument: Option<OneOf<Pattern>>,
    /// What is told from all behaviours of the image together.
    pub fact: Option<OneOf<Fact>>,
    /// Conditions that all hold.
    pub all: Option<OneOf<Condition>>,
    /// Conditions of which one holds.
    pub any: Option<OneOf<Condition>>,
    /// Conditions of which none holds.
    pub not: Option<OneOf<Condition>>,
}

impl Condition {
    /// What is wrong with it, if something is.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut left = CONDITIONS_MAX;
        self.check_below(DEPTH_MAX, &mut left)
    }

    fn check_below(&self, depth: usize, left: &mut usize) -> Result<(), String> {
        if *self == Self::default() {
            return Err("a condition without a field matches everything: name a field".to_owned());
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("conditions are nested deeper than {DEPTH_MAX}"));
        };
        *left = left
            .checked_sub(1)
            .ok_or_else(|| format!("there are more than {CONDITIONS_MAX} conditions"))?;
        let below = [&self.all, &self.any, &self.not].into_iter().flatten();
        below
            .flat_map(OneOf::iter)
            .try_for_each(|condition| condition.check_below(depth, left))
    }
}

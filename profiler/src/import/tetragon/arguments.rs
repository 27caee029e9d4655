//! What a policy posts of a hook's arguments.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// The label that [`crate::learning_policy`] gives to `file.f_mode`.
pub const FILE_MODE: &str = "f_mode";

/// The arguments of one call. Of several of one kind the first counts; of numbers only those with a known label do.
#[derive(Debug, Default)]
pub struct Arguments<'a> {
    /// The program, script or interpreter (`linux_binprm`).
    pub program: Option<File<'a>>,
    /// The file (`file`, `path`).
    pub file: Option<File<'a>>,
    /// The file's `f_mode`, labelled [`FILE_MODE`].
    pub file_mode: Option<u32>,
    /// The address (`sockaddr`).
    pub address: Option<Address<'a>>,
    /// The Unix socket's name (`sockaddr_un`).
    pub unix: Option<Unix<'a>>,
    /// The socket (`socket`, `sock`).
    pub socket: Option<Socket<'a>>,
}

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct File<'a> {
    /// The path that the kernel walked; empty for a file without one.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// `unresolvedPathComponents` where that is its tail only.
    #[serde(borrow)]
    pub flags: Cow<'a, str>,
}

/// An address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Address<'a> {
    /// `AF_INET`, ...
    #[serde(borrow)]
    pub family: Cow<'a, str>,
    /// As text.
    #[serde(borrow)]
    pub addr: Cow<'a, str>,
    /// Host byte order.
    pub port: u32,
}

/// The name of a Unix socket.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Unix<'a> {
    /// As the program wrote it; abstract names begin with `@`.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
}

/// A socket.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Socket<'a> {
    /// `IPPROTO_TCP`, ...
    #[serde(borrow)]
    pub protocol: Cow<'a, str>,
}

/// One element of the list: exactly one of these is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Argument<'a> {
    #[serde(borrow)]
    linux_binprm_arg: Option<File<'a>>,
    #[serde(borrow)]
    file_arg: Option<File<'a>>,
    #[serde(borrow)]
    path_arg: Option<File<'a>>,
    #[serde(borrow)]
    sockaddr_arg: Option<Address<'a>>,
    #[serde(borrow)]
    sockaddrun_arg: Option<Unix<'a>>,
    #[serde(borrow)]
    sock_arg: Option<Socket<'a>>,
    uint_arg: Option<u32>,
    #[serde(borrow)]
    label: Cow<'a, str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ArgumentsVisitor)
    }
}

/// Takes one after the other, so that a long list takes no memory.
struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Arguments<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Arguments<'de>, A::Error> {
        let mut arguments = Arguments::default();
        while let Some(argument) = list.next_element::<Argument<'de>>()? {
            let Argument {
                linux_binprm_arg,
                file_arg,
                path_arg,
                sockaddr_arg,
                sockaddrun_arg,
                sock_arg,
                uint_arg,
                label,
            } = argument;
            arguments.program = arguments.program.or(linux_binprm_arg);
            arguments.file = arguments.file.or(file_arg).or(path_arg);
            arguments.address = arguments.address.or(sockaddr_arg);
            arguments.unix = arguments.unix.or(sockaddrun_arg);
            arguments.socket = arguments.socket.or(sock_arg);
            if label == FILE_MODE {
                arguments.file_mode = arguments.file_mode.or(uint_arg);
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_is_told_by_its_type_and_numbers_by_their_label() {
        let json = r#"[{"int_arg":2}, {"file_arg":{"path":"/a","mount":"x"}}, {"file_arg":{"path":"/b"}},
            {"uint_arg":29,"label":"other"}, {"uint_arg":1,"label":"f_mode"}, {"uint_arg":2,"label":"f_mode"},
            {"sockaddr_arg":{"family":"AF_INET","addr":"10.0.0.1","port":53}}, {"bytes_arg":"AAAA"},
            {"sock_arg":{"protocol":"IPPROTO_UDP","cookie":"18446"}}, {"linux_binprm_arg":{}}]"#;
        let arguments: Arguments<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(arguments.file.unwrap().path, "/a");
        assert_eq!(arguments.file_mode, Some(1));
        assert_eq!(arguments.address.unwrap().port, 53);
        assert_eq!(arguments.socket.unwrap().protocol, "IPPROTO_UDP");
        assert_eq!(arguments.program.unwrap().path, "");
        assert!(arguments.unix.is_none());
    }
}

//! Privileges that a process came by.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::WordError;

/// How a process came by privileges that it had not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaiseCause {
    /// It executed a set-user-id or set-group-id program, or one whose file has capabilities.
    Execution,
    /// It made a user namespace, or entered one: there it has capabilities.
    UserNamespace,
}

/// A set of capabilities, as the kernel keeps it: bit n is capability n of capabilities(7).
///
/// ```
/// use baselines::behaviour::Capabilities;
///
/// assert_eq!(Capabilities(1 << 13 | 1 << 63).to_string(), "cap_net_raw,cap_63");
/// assert_eq!("all".parse(), Ok(Capabilities::ALL));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities(pub u64);

/// The capabilities by number, see the kernel's `include/uapi/linux/capability.h`; Linux 5.9 added the last of these.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

impl Capabilities {
    /// Every capability that has a name: what root has.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
}

/// The capability's name; its number where it has none that this version knows.
fn name(bit: u32) -> String {
    let known = usize::try_from(bit).ok().and_then(|bit| NAMES.get(bit));
    known.map_or_else(|| format!("cap_{bit}"), |name| (*name).to_owned())
}

impl fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&match *self {
            Self::ALL => "all".to_owned(),
            Self(0) => "none".to_owned(),
            Self(bits) => {
                let names: Vec<String> = (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1).map(name).collect();
                names.join(",")
            }
        })
    }
}

impl std::str::FromStr for Capabilities {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "all" => Ok(Self::ALL),
            "none" => Ok(Self(0)),
            names => names.split(',').try_fold(Self(0), |Self(set), word| {
                let bit = (0..u64::BITS).find(|bit| name(*bit) == word);
                let expected = "all, none, names of capabilities(7) such as cap_net_raw";
                bit.map(|bit| Self(set | 1 << bit))
                    .ok_or_else(|| WordError::new(word, expected))
            }),
        }
    }
}

crate::serde_text::as_text!(Capabilities);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capabilities_have_the_kernels_names() {
        let cases = [
            (0, "none"),
            (1, "cap_chown"),
            (1 << 13 | 1 << 21, "cap_net_raw,cap_sys_admin"),
            (1 << 40, "cap_checkpoint_restore"),
            (1 << 41, "cap_41"),
            ((1 << 41) - 1, "all"),
        ];
        for (bits, text) in cases {
            assert_eq!(Capabilities(bits).to_string(), text);
        }
        // All that are named and one more are not "all", and nor is one less.
        for bits in [u64::MAX, (1 << 42) - 1, (1 << 40) - 1] {
            let text = Capabilities(bits).to_string();
            assert_eq!(text.split(',').count(), bits.count_ones() as usize, "{text}");
        }
    }

    #[test]
    fn what_is_no_capability_is_refused() {
        for text in [
            "",
            "cap_fly",
            "cap_0",
            "cap_040",
            "cap_64",
            "cap_+41",
            "all,none",
            "cap_chown,",
            "CAP_CHOWN",
        ] {
            assert!(text.parse::<Capabilities>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_set_survives_its_text(bits in prop_oneof![any::<u64>(), (0_u64..64).prop_map(|bit| 1 << bit)]) {
            prop_assert_eq!(Capabilities(bits).to_string().parse(), Ok(Capabilities(bits)));
        }
    }
}

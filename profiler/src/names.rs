//! DNS names of the addresses that containers reach, from the answers that they receive.
//!
//! The probes copy every UDP packet from port 53 to a socket of a container ([`crate::probes::answers`]). Here it is read
//! ([`answer`]), and remembered for as long as the container may use the address ([`table`]). A connection gets the name
//! that its container had asked for most recently when it was made. What is missing is counted, by [`NameGap`].

pub mod answer;
pub mod table;

use std::collections::BTreeMap;

use baselines::dns::{DnsName, NameGap};
use profiler_common::{AnswerHead, pod};

use self::answer::Malformed;
use self::table::Table;

/// What containers have asked for.
#[derive(Debug, Default)]
pub struct Names {
    table: Table,
    gaps: BTreeMap<NameGap, u64>,
}

impl Names {
    /// Takes a message of the ring buffer. `container_of` tells whose a cgroup is.
    pub fn take(&mut self, message: &[u8], container_of: impl FnOnce(u64) -> u64) {
        let head = message.split_at_checked(size_of::<AnswerHead>());
        let Some((head, bytes)) = head.and_then(|(head, bytes)| Some((pod::read::<AnswerHead>(head)?, bytes))) else {
            return self.lack(NameGap::Malformed, 1);
        };
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        // Behind a short one stands anything.
        let (there, is_cut) = match bytes.get(..length) {
            Some(there) => (there, false),
            None => (bytes, true),
        };
        match answer::read(there, is_cut) {
            Err(Malformed) => self.lack(NameGap::Malformed, 1),
            Ok(None) => {}
            Ok(Some(answer)) => {
                // Others are not about addresses.
                let Some(name) = answer.name else { return };
                self.lack(NameGap::Cut, is_cut.into());
                self.lack(NameGap::Truncated, answer.is_truncated.into());
                let container = container_of(head.cgroup);
                for (address, seconds) in answer.addresses {
                    self.table.hear(container, &name, address, seconds, head.time);
                }
            }
        }
    }

    /// The name of an address that a container used so often, the last time `at` a moment (boot clock, ns).
    pub fn name_of(&mut self, container: u64, address: std::net::IpAddr, at: u64, count: u64) -> Option<DnsName> {
        let (name, is_ambiguous) = self.table.name_of(container, address, at)?;
        if is_ambiguous {
            self.lack(NameGap::Ambiguous, count);
        }
        Some(name)
    }

    /// As if a name had been answered, good for as long as any.
    #[cfg(test)]
    pub(crate) fn hear(&mut self, container: u64, name: &DnsName, address: std::net::IpAddr, at: u64) {
        self.table.hear(container, name, address, 0, at);
    }

    /// Something is missing.
    pub fn lack(&mut self, gap: NameGap, count: u64) {
        if count > 0 {
            let known = self.gaps.entry(gap).or_default();
            *known = known.saturating_add(count);
        }
    }

    /// What was missing since the last call.
    pub fn take_gaps(&mut self) -> BTreeMap<NameGap, u64> {
        let no_room = self.table.take_no_room();
        self.lack(NameGap::NoRoom, no_room);
        std::mem::take(&mut self.gaps)
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::{ANSWER_BYTES, LongAnswer, SHORT_ANSWER_BYTES, ShortAnswer};

    use super::answer::tests::message;
    use super::*;

    fn head(length: usize) -> AnswerHead {
        AnswerHead {
            cgroup: 7,
            time: 100,
            length: u32::try_from(length).unwrap(),
            padding: 0,
        }
    }

    /// As the probes put it into the ring buffer.
    fn announced(answer: &[u8]) -> Vec<u8> {
        if answer.len() <= SHORT_ANSWER_BYTES {
            let mut bytes = [0xee; SHORT_ANSWER_BYTES];
            bytes[..answer.len()].copy_from_slice(answer);
            pod::bytes_of(&ShortAnswer {
                head: head(answer.len()),
                bytes,
            })
            .to_vec()
        } else {
            let mut bytes = [0xee; ANSWER_BYTES];
            let there = answer.len().min(ANSWER_BYTES);
            bytes[..there].copy_from_slice(&answer[..there]);
            pod::bytes_of(&LongAnswer {
                head: head(answer.len()),
                bytes,
            })
            .to_vec()
        }
    }

    #[test]
    fn what_is_missing_is_counted() {
        let mut names = Names::default();
        let address = |n: u16| vec![10, 0, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 255).unwrap()];
        let records: Vec<(&str, u16, u32, Vec<u8>)> = (0..100).map(|n| ("@12", 1, 60, address(n))).collect();
        let messages = [
            announced(&message(0x8180, "short.example", 1, &records[..1])),
            announced(&message(0x8380, "long.example", 1, &records[1..])),
            announced(b"no answer at all"),
            vec![1, 2, 3],
        ];
        for message in messages {
            names.take(&message, |cgroup| cgroup + 1);
        }
        names.lack(NameGap::RingFull, 3);
        let told = |names: &mut Names, n: u16| {
            let address = <[u8; 4]>::try_from(address(n)).unwrap().into();
            names.name_of(8, address, 100, 5).map(|name| name.to_string())
        };
        assert_eq!(told(&mut names, 0).as_deref(), Some("short.example"));
        assert_eq!(told(&mut names, 1).as_deref(), Some("long.example"));
        assert_eq!(told(&mut names, 99), None, "it was cut off");
        let expected = [
            (NameGap::RingFull, 3),
            (NameGap::Cut, 1),
            (NameGap::Truncated, 1),
            (NameGap::Malformed, 1),
        ];
        assert_eq!(names.take_gaps(), expected.into());
        assert_eq!(names.take_gaps(), BTreeMap::new());
        names.take(&announced(&message(0x8180, "other.example", 1, &records[..1])), |_| 8);
        assert_eq!(told(&mut names, 0).as_deref(), Some("other.example"));
        assert_eq!(names.take_gaps(), [(NameGap::Ambiguous, 5)].into());
    }
}

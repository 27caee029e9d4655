//! Reading an answer of the domain name system (RFC 1035, RFC 3596). Its bytes are anybody's.
//!
//! Libraries read whole messages or nothing; of a message that was cut, what is there is of use. Only the question, aliases
//! (CNAME) and addresses (A, AAAA) are looked at.

use std::net::IpAddr;

use baselines::dns::DnsName;

/// How many aliases are followed: resolvers give up at about as many.
const ALIASES_MAX: usize = 16;
/// The longest name, without the byte that ends it (RFC 1035, 3.1).
const NAME_MAX: usize = 254;

/// How many pointers one name may have: whoever compresses needs one.
const POINTERS_MAX: usize = 16;

/// Bits of the second word of a message (RFC 1035, 4.1.1).
const IS_RESPONSE: u16 = 0x8000;
const OPERATION: u16 = 0x7800;
const IS_TRUNCATED: u16 = 0x0200;
const ERROR: u16 = 0x000f;

/// Types of records, and the class of the internet.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// It is not complete.
    pub is_truncated: bool,
    /// What was asked for; None for what is not about addresses.
    pub name: Option<DnsName>,
    /// The addresses, and how long each is good for, in seconds.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// It cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A name as it is sent, in lower case, without pointers: labels, each with its length before it.
type WireName = Vec<u8>;

enum Record {
    Alias {
        of: WireName,
        to: WireName,
    },
    Address {
        of: WireName,
        address: IpAddr,
        seconds: u32,
    },
}

/// Reads a message. None for one that is no answer, or says that there is none. Of one that `is_cut`, what comes behind the
/// end is not missed.
///
/// # Errors
/// [`Malformed`].
pub fn read(message: &[u8], is_cut: bool) -> Result<Option<Answer>, Malformed> {
    let [_, flags, questions, answers] = [0, 2, 4, 6].map(|at| word(message, at));
    let (flags, questions, answers) = (flags?, questions?, answers?);
    if flags & IS_RESPONSE == 0 || flags & (OPERATION | ERROR) != 0 || questions != 1 {
        return Ok(None);
    }
    let (asked, at) = name(message, 12)?;
    let (kind, class) = (word(message, at)?, word(message, at + 2)?);
    let mut answer = Answer {
        is_truncated: flags & IS_TRUNCATED != 0,
        name: None,
        addresses: Vec::new(),
    };
    if class != INTERNET || (kind != A && kind != AAAA) {
        return Ok(Some(answer));
    }
    let records = match records(message, at + 4, answers) {
        (_, Err(Malformed)) if !is_cut => return Err(Malformed),
        (records, _) => records,
    };
    answer.name = DnsName::from_labels(labels(&asked));
    let names = aliases(asked, &records)?;
    for record in records {
        if let Record::Address { of, address, seconds } = record
            && names.contains(&of)
        {
            answer.addresses.push((address, seconds));
        }
    }
    Ok(Some(answer))
}

/// The records that can be read, and whether those are all.
fn records(message: &[u8], mut at: usize, count: u16) -> (Vec<Record>, Result<(), Malformed>) {
    let mut records = Vec::new();
    for _ in 0..count {
        match record(message, at) {
            Ok((record, next)) => {
                records.extend(record);
                at = next;
            }
            Err(Malformed) => return (records, Err(Malformed)),
        }
    }
    (records, Ok(()))
}

/// A record, if it is one of those that are looked at, and where the next one begins.
fn record(message: &[u8], at: usize) -> Result<(Option<Record>, usize), Malformed> {
    let (of, at) = name(message, at)?;
    let (kind, class, length) = (word(message, at)?, word(message, at + 2)?, word(message, at + 8)?);
    let seconds = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
    let (from, next) = (at + 10, at + 10 + usize::from(length));
    let data = message.get(from..next).ok_or(Malformed)?;
    let address = |address: IpAddr| Record::Address {
        of: of.clone(),
        address,
        seconds,
    };
    let record = match (class, kind) {
        (INTERNET, A) => Some(address(<[u8; 4]>::try_from(data).map_err(|_| Malformed)?.into())),
        (INTERNET, AAAA) => Some(address(<[u8; 16]>::try_from(data).map_err(|_| Malformed)?.into())),
        (INTERNET, CNAME) => {
            let (to, end) = name(message, from)?;
            if end != next {
                return Err(Malformed);
            }
            Some(Record::Alias { of, to })
        }
        _ => None,
    };
    Ok((record, next))
}

/// The name that was asked for, and what it is an alias of. In whatever order the records come.
fn aliases(asked: WireName, records: &[Record]) -> Result<Vec<WireName>, Malformed> {
    let mut names = vec![asked];
    loop {
        let next = records.iter().find_map(|record| match record {
            Record::Alias { of, to } if names.contains(of) && !names.contains(to) => Some(to),
            _ => None,
        });
        match next {
            None => return Ok(names),
            Some(_) if names.len() > ALIASES_MAX => return Err(Malformed),
            Some(name) => names.push(name.clone()),
        }
    }
}

/// The name at a place, and where it ends. A pointer leads to an earlier place (RFC 1035, 4.1.4): so this comes to an end.
fn name(message: &[u8], at: usize) -> Result<(WireName, usize), Malformed> {
    let (mut name, mut place, mut limit, mut end) = (Vec::new(), at, at, None);
    let mut pointers = 0;
    loop {
        let length = byte(message, place)?;
        match length >> 6 {
            0 if length == 0 => return Ok((name, end.unwrap_or(place + 1))),
            0 => {
                let next = place + 1 + usize::from(length);
                let label = message.get(place + 1..next).ok_or(Malformed)?;
                name.push(length);
                name.extend(label.to_ascii_lowercase());
                if name.len() > NAME_MAX {
                    return Err(Malformed);
                }
                place = next;
            }
            3 => {
                end = end.or(Some(place + 2));
                place = usize::from(word(message, place)? & 0x3fff);
                pointers += 1;
                if place >= limit || pointers > POINTERS_MAX {
                    return Err(Malformed);
                }
                limit = place;
            }
            _ => return Err(Malformed),
        }
    }
}

/// The labels of a name.
fn labels(mut name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = name.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        name = rest;
        Some(label)
    })
}

fn byte(message: &[u8], at: usize) -> Result<u8, Malformed> {
    message.get(at).copied().ok_or(Malformed)
}

/// In network byte order.
fn word(message: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = message.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    Ok(u16::from_be_bytes(bytes.ok_or(Malformed)?))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A name in a message: labels with dots between them, and `@12` at the end for a pointer.
    pub(in crate::names) fn encoded(name: &str) -> Vec<u8> {
        let (labels, pointer) = name
            .split_once('@')
            .map_or((name, None), |(labels, at)| (labels, Some(at)));
        let mut bytes = Vec::new();
        for label in labels.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        match pointer {
            Some(at) => bytes.extend((0xc000 | at.parse::<u16>().unwrap()).to_be_bytes()),
            None => bytes.push(0),
        }
        bytes
    }

    pub(in crate::names) fn message(
        flags: u16,
        name: &str,
        kind: u16,
        records: &[(&str, u16, u32, Vec<u8>)],
    ) -> Vec<u8> {
        let count = u16::try_from(records.len()).unwrap();
        let mut bytes: Vec<u8> = [0x1234, flags, 1, count, 0, 0]
            .into_iter()
            .flat_map(u16::to_be_bytes)
            .collect();
        bytes.extend(encoded(name));
        bytes.extend([kind, INTERNET].into_iter().flat_map(u16::to_be_bytes));
        for (name, kind, seconds, data) in records {
            bytes.extend(encoded(name));
            bytes.extend([*kind, INTERNET].into_iter().flat_map(u16::to_be_bytes));
            bytes.extend(seconds.to_be_bytes());
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    const GOOD: u16 = 0x8180;

    fn told(message: &[u8], is_cut: bool) -> String {
        match read(message, is_cut) {
            Err(Malformed) => "malformed".to_owned(),
            Ok(None) => "nothing".to_owned(),
            Ok(Some(answer)) => {
                let addresses = answer
                    .addresses
                    .iter()
                    .map(|(address, seconds)| format!(" {address}/{seconds}"));
                let truncated = if answer.is_truncated { " truncated" } else { "" };
                let name = answer.name.map(|name| name.to_string()).unwrap_or_default();
                format!("{name}{}{truncated}", addresses.collect::<String>())
            }
        }
    }

    /// As a resolver sent it, with a compressed name and its own offer (RFC 6891).
    const SENT: &[u8] = b"\x8a\x1f\x81\x80\x00\x01\x00\x01\x00\x00\x00\x01\x03deb\x06debian\x03org\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x01\x00\x01\x00\x00\x00<\x00\x04\xcb\x00qP\x00\x00) \x00\x00\x00\x00\x00\x00\x00";

    /// With an alias, and a pointer into it.
    const ALIASED: &[u8] =
        b"\x8a\x1f\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03deb\x06debian\x03org\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x0d\x5c\x00\x0d\x06debian\x03map\xc0\x17\
        \xc0\x2c\x00\x01\x00\x01\x00\x00\x00\x0c\x00\x04\x97\x65\x02\x84";

    #[test]
    fn a_name_with_more_pointers_than_anybody_needs_is_malformed() {
        // Pointers that lead to pointers, each a little earlier.
        let chained = |pointers: u16| {
            let mut message = vec![0; 12];
            message.push(0);
            for number in 0..pointers {
                let before = if number == 0 { 12 } else { 13 + 2 * (number - 1) };
                message.extend((0xc000 | before).to_be_bytes());
            }
            let at = message.len() - 2;
            name(&message, at).map(|(name, _)| name)
        };
        assert_eq!(chained(16), Ok(Vec::new()));
        assert_eq!(chained(17), Err(Malformed));
    }

    #[test]
    fn answers_are_read_like_this() {
        let a = |last| vec![192, 0, 2, last];
        let v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let alias = encoded;
        let cases: [(&str, Vec<u8>, &str); 17] = [
            ("as a resolver sent it", SENT.to_vec(), "deb.debian.org 203.0.113.80/60"),
            ("an alias", ALIASED.to_vec(), "deb.debian.org 151.101.2.132/12"),
            (
                "an address",
                message(GOOD, "DB.example", A, &[("@12", A, 60, a(1))]),
                "db.example 192.0.2.1/60",
            ),
            (
                "IPv6",
                message(GOOD, "db.example", AAAA, &[("db.EXAMPLE", AAAA, 5, v6)]),
                "db.example 2001:db8::9/5",
            ),
            (
                "several, of a name that was asked for and of another",
                message(
                    GOOD,
                    "a",
                    A,
                    &[("a", A, 1, a(1)), ("b", A, 2, a(2)), ("@12", A, 3, a(3))],
                ),
                "a 192.0.2.1/1 192.0.2.3/3",
            ),
            (
                "aliases in the wrong order",
                message(
                    GOOD,
                    "a",
                    A,
                    &[
                        ("c", A, 9, a(1)),
                        ("b", CNAME, 1, alias("c")),
                        ("a", CNAME, 1, alias("b")),
                    ],
                ),
                "a 192.0.2.1/9",
            ),
            (
                "aliases that go in a circle",
                message(
                    GOOD,
                    "a",
                    A,
                    &[("a", CNAME, 1, alias("b")), ("b", CNAME, 1, alias("a"))],
                ),
                "a",
            ),
            ("truncated", message(GOOD | IS_TRUNCATED, "a", A, &[]), "a truncated"),
            ("no such name", message(GOOD | 3, "a", A, &[]), "nothing"),
            ("a query", message(0x0100, "a", A, &[]), "nothing"),
            ("another type", message(GOOD, "a", 16, &[("a", A, 1, a(1))]), ""),
            ("the root", message(GOOD, "", A, &[("", A, 1, a(1))]), " 192.0.2.1/1"),
            (
                "a pointer to itself",
                message(GOOD, "a", A, &[("@19", A, 1, a(1))]),
                "malformed",
            ),
            (
                "a pointer forwards",
                message(GOOD, "a", A, &[("@200", A, 1, a(1))]),
                "malformed",
            ),
            (
                "an address of three bytes",
                message(GOOD, "a", A, &[("a", A, 1, vec![1, 2, 3])]),
                "malformed",
            ),
            (
                "an alias that ends in its middle",
                message(GOOD, "a", A, &[("a", CNAME, 1, vec![1, b'b', 0, 0])]),
                "malformed",
            ),
            ("no message", b"\x00\x01\x80".to_vec(), "malformed"),
        ];
        for (what, message, expected) in cases {
            assert_eq!(told(&message, false), expected, "{what}");
        }
    }

    #[test]
    fn of_what_was_cut_the_beginning_counts() {
        let whole = message(
            GOOD,
            "a",
            A,
            &[("@12", A, 1, vec![192, 0, 2, 1]), ("@12", A, 1, vec![192, 0, 2, 2])],
        );
        let part = &whole[..whole.len() - 1];
        assert_eq!(told(part, true), "a 192.0.2.1/1");
        assert_eq!(told(part, false), "malformed");
    }

    #[test]
    fn long_names_and_chains_come_to_an_end() {
        let chain: Vec<(String, String)> = (0..20).map(|n| (format!("n{n}"), format!("n{}", n + 1))).collect();
        let records: Vec<(&str, u16, u32, Vec<u8>)> = chain
            .iter()
            .map(|(of, to)| (of.as_str(), CNAME, 1, encoded(to)))
            .collect();
        assert_eq!(told(&message(GOOD, "n0", A, &records[..ALIASES_MAX]), false), "n0");
        assert_eq!(told(&message(GOOD, "n0", A, &records), false), "malformed");
        let label = "x".repeat(63);
        let long = [label.as_str(); 4].join(".");
        assert_eq!(told(&message(GOOD, &long, A, &[]), false), "malformed");
        assert_eq!(told(&message(GOOD, &long[2..], A, &[]), false), long[2..].to_owned());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..600), is_cut in any::<bool>(), flags in prop::sample::select(vec![GOOD, GOOD | IS_TRUNCATED])
        ) {
            let _ = read(&bytes, is_cut);
            // Behind a good beginning, too.
            let mut message = message(flags, "a.example", A, &[]);
            message[7] = 40;
            message.extend(bytes);
            if let Ok(Some(answer)) = read(&message, is_cut) {
                prop_assert!(answer.addresses.len() <= 40);
            }
        }

        #[test]
        fn a_changed_byte_never_makes_more_of_a_message(at in 0..ALIASED.len(), byte in any::<u8>()) {
            let mut message = ALIASED.to_vec();
            message[at] = byte;
            if let Ok(Some(answer)) = read(&message, false) {
                prop_assert!(answer.addresses.len() <= 2);
            }
        }
    }
}

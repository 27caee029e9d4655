//! Transport protocols.

use std::fmt;

use super::WordError;

/// The transport protocol of a connection: the socket's IP protocol number (RFC 5237's registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// Any other IP protocol, by its number (for example 132, SCTP).
    Other(u8),
}

impl Protocol {
    /// The protocol with this IP protocol number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }

    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => formatter.pad("tcp"),
            Self::Udp => formatter.pad("udp"),
            Self::Other(number) => formatter.pad(&number.to_string()),
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            number => number
                .parse()
                .map(Self::from_number)
                .map_err(|_| WordError::new(number, "tcp, udp, an IP protocol number")),
        }
    }
}

crate::serde_text::as_text!(Protocol);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_survives_its_word() {
        for number in 0..=255 {
            let protocol = Protocol::from_number(number);
            assert_eq!(protocol.number(), number);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("sctp!".parse::<Protocol>().is_err());
    }
}

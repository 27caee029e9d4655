//! How files are used.

use std::fmt;

use super::WordError;

/// How a file was used: a set of rights, as the kernel granted them (`f_mode`), not as the flags asked. A mapping is a
/// use of its own, with [`Access::MAP`] alone: the open that made it possible had its own rights.
///
/// ```
/// use baselines::behaviour::Access;
///
/// let access = Access::READ | Access::WRITE;
/// assert_eq!(access.to_string(), "read,write");
/// assert_eq!("read,write".parse::<Access>().unwrap(), access);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access(u8);

impl Access {
    /// Opened for reading; directories too.
    pub const READ: Self = Self(1);
    /// Opened for writing.
    pub const WRITE: Self = Self(2);
    /// The open created the file.
    pub const CREATE: Self = Self(4);
    /// Mapped into memory to be executed: `mmap(2)` with `PROT_EXEC`, or by the kernel when it executes a program.
    pub const MAP: Self = Self(8);

    const WORDS: [(Self, &'static str); 4] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::CREATE, "create"),
        (Self::MAP, "map"),
    ];

    /// The set with these bits (1 read, 2 write, 4 create, 8 map), as stored in recordings.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= 15 { Some(Self(bits)) } else { None }
    }

    /// The bits of this set, see [`Access::from_bits`].
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every right of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Access {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Self::WORDS
            .iter()
            .filter(|(right, _)| self.contains(*right))
            .map(|(_, word)| *word)
            .collect();
        formatter.pad(&if words.is_empty() {
            "none".to_owned()
        } else {
            words.join(",")
        })
    }
}

impl std::str::FromStr for Access {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split(',').try_fold(Self::default(), |set, word| {
            Self::WORDS
                .iter()
                .find(|(_, known)| *known == word)
                .map(|(right, _)| set | *right)
                .ok_or_else(|| WordError::new(word, "read, write, create, map, none"))
        })
    }
}

crate::serde_text::as_text!(Access);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_survives_its_words() {
        for bits in 0..=15 {
            let access = Access::from_bits(bits).unwrap();
            assert_eq!(access.to_string().parse(), Ok(access));
        }
        assert_eq!(Access::from_bits(16), None);
        assert!("read,fly".parse::<Access>().is_err());
    }
}

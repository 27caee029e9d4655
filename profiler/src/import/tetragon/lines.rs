//! Lines of bounded length, from a source that may hold anything.
//!
//! ```
//! use profiler::import::tetragon::lines::{Line, Lines};
//!
//! let mut lines = Lines::new(&b"short\nmuch too long\nunended"[..], 8);
//! assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"short")));
//! assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
//! assert_eq!(lines.next().unwrap(), Some(Line::Unended(b"unended")));
//! assert_eq!(lines.next().unwrap(), None);
//! ```

use std::io::{self, BufRead, Read as _};

/// The longest line that is read, in bytes. Tetragon's largest arguments (`maxData`) are some 440,000 in Base64.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line.
    Whole(&'a [u8]),
    /// The last line, which a line break does not end: somebody may be writing it.
    Unended(&'a [u8]),
    /// More bytes than the limit; they were skipped.
    TooLong,
}

/// Reads line by line.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    max: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `max` bytes.
    pub fn new(reader: R, max: usize) -> Self {
        Self {
            reader,
            max,
            line: Vec::new(),
        }
    }

    /// The next line; None at the end.
    ///
    /// # Errors
    /// What the source says.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend its buffer")]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let most = u64::try_from(self.max).unwrap_or(u64::MAX).saturating_add(1);
        self.reader.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        let line = &self.line;
        Ok(match line.split_last() {
            None => None,
            Some((b'\n', line)) => Some(Line::Whole(line)),
            Some(_) if line.len() <= self.max => Some(Line::Unended(line)),
            Some(_) => {
                skip_line(&mut self.reader)?;
                Some(Line::TooLong)
            }
        })
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        let (read, is_over) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(read);
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the bytes and however they come: each is in one line, and no more is kept than the limit.
        #[test]
        fn every_byte_is_in_one_line_or_skipped(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300),
            max in 0_usize..40,
            chunk in 1_usize..20,
        ) {
            let mut lines = Lines::new(BufReader::with_capacity(chunk, bytes.as_slice()), max);
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                found.push(match line {
                    Line::Whole(line) | Line::Unended(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
                prop_assert!(lines.line.len() <= max + 1);
            }
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(|line| {
                (line.len() <= max).then(|| line.to_vec())
            }).collect();
            if expected.last() == Some(&Some(Vec::new())) {
                expected.pop();
            }
            prop_assert_eq!(found, expected);
        }
    }
}

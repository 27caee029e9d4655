//! Dates and times as they are written in names.

/// The longest time stamp: `2024-01-01T10:00:00.1234567890+01:00`.
pub(super) const TIMESTAMP_MAX: usize = 36;

/// How long the date is that `text` begins with: `20240131`, `2024-01-31`, or with `_` or `.`.
pub(super) fn date(text: &[u8]) -> Option<usize> {
    let mut rest = Rest(text);
    rest.date()?;
    Some(text.len() - rest.0.len())
}

/// How long the time stamp is that `text` begins with: a date, and a time of the day with minutes at least.
///
/// `20240131100000`, `20240131T100000Z`, `2024-01-31_10-00`, `2024_01_01_10_00_00.123456789` (the kubelet's projected volumes).
pub(super) fn timestamp(text: &[u8]) -> Option<usize> {
    let mut rest = Rest(text);
    let is_compact = rest.date()? == Form::Compact;
    let between = rest.any(b"Tt_-. ");
    if between.is_none() && !is_compact {
        return None;
    }
    rest.number(2, 0..=23)?;
    let separator = rest.any(b":-_.");
    rest.number(2, 0..=59)?;
    rest.optional(|rest| {
        if let Some(separator) = separator {
            rest.any(&[separator])?;
        }
        rest.number(2, 0..=60)
    });
    rest.optional(|rest| {
        rest.any(b".,")?;
        rest.digits(1, 10)
    });
    rest.optional(|rest| {
        if rest.any(b"Z").is_some() {
            return Some(());
        }
        rest.any(b"+-")?;
        rest.number(2, 0..=14)?;
        rest.any(b":");
        rest.number(2, 0..=59)
    });
    Some(text.len() - rest.0.len())
}

/// Whether a date has separators.
#[derive(PartialEq, Eq)]
enum Form {
    Compact,
    Separated,
}

/// What has not been read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Reads a date, and says in which form it is.
    fn date(&mut self) -> Option<Form> {
        self.number(4, 1970..=2099)?;
        let separator = self.any(b"-_.");
        self.number(2, 1..=12)?;
        if let Some(separator) = separator {
            self.any(&[separator])?;
        }
        self.number(2, 1..=31)?;
        Some(if separator.is_some() {
            Form::Separated
        } else {
            Form::Compact
        })
    }

    /// Reads a number of so many digits.
    fn number(&mut self, digits: usize, range: std::ops::RangeInclusive<u32>) -> Option<()> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number.iter().try_fold(0, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
        })?;
        self.0 = rest;
        range.contains(&value).then_some(())
    }

    /// Reads as many digits as there are.
    fn digits(&mut self, least: usize, most: usize) -> Option<()> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = self.0.get(count..)?;
        (least..=most).contains(&count).then_some(())
    }

    /// Reads one of these.
    fn any(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Reads all of it, or nothing.
    fn optional(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) {
        let mut after = *self;
        if read(&mut after).is_some() {
            *self = after;
        }
    }
}

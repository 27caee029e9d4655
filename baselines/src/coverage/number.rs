//! Counts as real numbers and back.

/// The nearest real number: exact up to 2^53, and within one part in 10^16 beyond, which no estimate can tell.
#[expect(clippy::cast_precision_loss, reason = "an estimate has fewer digits than this loses")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

/// The nearest real number to a count of incidences.
#[expect(clippy::cast_precision_loss, reason = "an estimate has fewer digits than this loses")]
pub(super) const fn real_sum(count: u128) -> f64 {
    count as f64
}

/// How many there are, as a real number.
pub(super) fn real_len(length: usize) -> f64 {
    real(u64::try_from(length).unwrap_or(u64::MAX))
}

/// The smallest whole number that is not below; 0 for negative numbers, the largest there is for those beyond it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates at both ends"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.ceil() as u64
}

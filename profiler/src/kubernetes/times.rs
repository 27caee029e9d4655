//! Moments, as objects of the API server have them.

use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// A moment as objects have it.
pub fn time(at: UtcTime) -> Time {
    // Later than the year 9999, which no clock says: the last that there is.
    Time(Timestamp::from_nanosecond(at.nanos().into()).unwrap_or(Timestamp::MAX))
}

/// A time before 1970, which nobody's container started at, is 1970.
pub fn utc(time: &Time) -> UtcTime {
    UtcTime::from_nanos(u64::try_from(time.0.as_nanosecond()).unwrap_or(0))
}

/// A moment by the API server's clock, of one by a clock that is ahead of it by so many seconds.
pub fn by_server(at: UtcTime, ahead_seconds: i64) -> UtcTime {
    let nanos = at.nanos().saturating_sub(ahead_seconds.saturating_mul(1_000_000_000));
    UtcTime::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_same_in_objects() {
        for nanos in [0, 1_795_000_000_000_000_000, u64::MAX] {
            let moment = UtcTime::from_nanos(nanos);
            assert_eq!(
                utc(&time(moment)).nanos() / 1_000_000_000,
                moment.nanos() / 1_000_000_000
            );
        }
    }

    #[test]
    fn a_wrong_clock_is_put_right() {
        let at = |seconds: u64| UtcTime::from_nanos(seconds * 1_000_000_000);
        for (seconds, ahead, right) in [
            (100, 0, 100),
            (100, 30, 70),
            (100, -30, 130),
            (100, 101, 0),
            (100, i64::MAX, 0),
        ] {
            assert_eq!(by_server(at(seconds), ahead), at(right), "{ahead}");
        }
    }
}

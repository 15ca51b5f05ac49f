//! How fast files are written before a freeze: what is a little is spread over a second, since a
//! volume that is given all of it at once makes every other writer wait until it is done.
//!
//! A volume answers quickly until its throughput is used up, and then not at all for a while, so
//! that its answers do not tell how fast it is; half of gp3's baseline is always to spare.

use std::time::Duration;

use crate::sys;

/// Half of gp3's baseline of 125 MB/s.
const BYTES_A_SECOND: u64 = 64 << 20;

/// What there is to write is never spread over more; the more it is, the more the volume decides.
const LONGEST: Duration = Duration::from_secs(1);

/// Over how long this many bytes are spread, where so much time is left.
#[must_use]
pub fn spread(bytes: u64, left: Duration) -> Duration {
    let slow = Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_A_SECOND);
    // Most of the time belongs to what writers leave behind meanwhile.
    slow.min(LONGEST).min(left / 4)
}

/// The pace of one filesystem's files.
#[derive(Debug)]
pub struct Pace {
    begun_ns: u64,
    until_ns: u64,
    spread: Duration,
    bytes: u64,
    done: u64,
}

impl Pace {
    /// One that ends at a time of the boot clock: as fast as can be, or `bytes` spread out.
    #[must_use]
    pub fn begin(begun_ns: u64, until_ns: u64, bytes: Option<u64>) -> Self {
        let left = Duration::from_nanos(until_ns.saturating_sub(begun_ns));
        let spread = bytes.map_or(Duration::ZERO, |bytes| spread(bytes, left));
        Self { begun_ns, until_ns, spread, bytes: bytes.unwrap_or(0), done: 0 }
    }

    /// Whether it matters how much a piece is.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        !self.spread.is_zero()
    }

    /// When the next piece is due, by what was written so far.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        let (spread, done) = (self.spread.as_nanos(), u128::from(self.done.min(self.bytes)));
        let after = spread * done / u128::from(self.bytes.max(1));
        self.begun_ns.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Notes that a piece was handed over, and waits until the next is due.
    pub fn wrote(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        let due_ns = self.due_ns().min(self.until_ns);
        let left = Duration::from_nanos(due_ns.saturating_sub(sys::boottime_ns()));
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }

    /// Whether there is time for one more.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        sys::boottime_ns() < self.until_ns
    }
}

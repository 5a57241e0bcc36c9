//! How long a narrow wire needs for what it carries. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that a narrow wire carries at once: what fits an Ethernet frame.
pub(super) const PACKET: usize = 1_460;

/// A wire that carries one packet after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From when on it can carry the next one.
    free_at: Instant,
}

impl Pace {
    /// A wire that is free from `start` on.
    pub(super) fn from(start: Instant) -> Self {
        Self { free_at: start }
    }

    /// When `n_bytes` that are ready at `now` have arrived, after all that went before. Time in which
    /// nothing was sent is lost: there are no bursts.
    pub(super) fn carry(&mut self, now: Instant, n_bytes: usize, bytes_per_sec: f64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "a packet has few bytes")]
        let takes = Duration::from_secs_f64(n_bytes as f64 / bytes_per_sec);
        self.free_at = self.free_at.max(now) + takes;
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 1,000 bytes at 10,000 bytes/s take 100 ms each.
    #[test]
    fn packets_queue_for_the_wire_and_idle_time_is_lost() {
        let start = Instant::now();
        let after_ms = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::from(start);
        assert_eq!(pace.carry(after_ms(0), 1_000, 10_000.0), after_ms(100));
        assert_eq!(pace.carry(after_ms(50), 1_000, 10_000.0), after_ms(200));
        assert_eq!(pace.carry(after_ms(900), 1_000, 10_000.0), after_ms(1_000));
    }
}

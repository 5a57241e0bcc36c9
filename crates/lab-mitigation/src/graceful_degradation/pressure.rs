//! From what a service measures to the one number that the dimmer goes by.

use std::time::Duration;

use lab_core::settings::{GracefulDegradationSettings, PressureSignal};

/// Response times kept of one period. Of a period with more the first ones stand for all.
const KEPT_MAX: usize = 4096;

/// The use of a connection pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolDemand {
    /// Connections in use.
    pub n_in_use: usize,
    /// Callers that wait for a connection.
    pub n_waiting: usize,
    /// Connections the pool may have.
    pub size_max: usize,
}

/// Measures the pressure of a period against the target that the settings name.
#[derive(Debug)]
pub(super) struct PressureGauge {
    signal: PressureSignal,
    connection_demand_target: f64,
    response_time_target: Duration,
    /// Of this period.
    response_times: Vec<Duration>,
}

impl PressureGauge {
    pub(super) fn new(settings: &GracefulDegradationSettings) -> Self {
        let capacity = if settings.signal.is_of_response_times() { KEPT_MAX } else { 0 };
        Self {
            signal: settings.signal,
            connection_demand_target: settings.connection_demand_target,
            response_time_target: settings.response_time_target,
            response_times: Vec::with_capacity(capacity),
        }
    }

    /// Keeps one response time, if the signal is made of them and there is room. Never allocates.
    pub(super) fn record(&mut self, response_time: Duration) {
        if self.response_times.len() < self.response_times.capacity() {
            self.response_times.push(response_time);
        }
    }

    /// The pressure of the period that ends: 1 at the target, 0 with nothing to do, `None` when
    /// there is nothing to go by. The next period starts empty.
    pub(super) fn end_period(&mut self, pool: PoolDemand) -> Option<f64> {
        let n_demanded = pool.n_in_use.saturating_add(pool.n_waiting);
        let response_time = match self.signal {
            PressureSignal::ConnectionDemand => {
                let demand = f64_of(n_demanded) / f64_of(pool.size_max);
                return Some(demand / self.connection_demand_target);
            }
            PressureSignal::ResponseTimeMean => mean(&self.response_times),
            PressureSignal::ResponseTimeP95 => p95(&mut self.response_times),
        };
        self.response_times.clear();
        match response_time {
            Some(it) => Some(it.as_secs_f64() / self.response_time_target.as_secs_f64()),
            None if n_demanded == 0 => Some(0.0),
            // Calls are in flight and none has ended: they hang, or the period was short.
            None => None,
        }
    }
}

fn mean(times: &[Duration]) -> Option<Duration> {
    let n_times = u32::try_from(times.len()).ok().filter(|n| 0 < *n)?;
    times.iter().sum::<Duration>().checked_div(n_times)
}

/// The smallest time that at least 95 % of all do not exceed (nearest rank).
fn p95(times: &mut [Duration]) -> Option<Duration> {
    let rank = (times.len() * 95).div_ceil(100);
    let index = rank.checked_sub(1)?;
    let (_, time, _) = times.select_nth_unstable(index);
    Some(*time)
}

#[expect(clippy::cast_precision_loss, reason = "connections are far fewer than 2^53")]
fn f64_of(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: PoolDemand = PoolDemand { n_in_use: 0, n_waiting: 0, size_max: 10 };
    const BUSY: PoolDemand = PoolDemand { n_in_use: 10, n_waiting: 5, size_max: 10 };

    fn gauge(signal: PressureSignal) -> PressureGauge {
        PressureGauge::new(&GracefulDegradationSettings {
            signal,
            connection_demand_target: 0.75,
            response_time_target: Duration::from_millis(200),
            ..GracefulDegradationSettings::default()
        })
    }

    // Worked by hand: 15 demanded of 10 is 1.5, over a target of 0.75 it is 2.
    #[test]
    fn connection_demand_counts_those_who_wait() {
        let mut gauge = gauge(PressureSignal::ConnectionDemand);
        gauge.record(Duration::from_secs(9));
        assert_eq!(gauge.end_period(BUSY), Some(2.0));
        assert_eq!(gauge.end_period(IDLE), Some(0.0));
    }

    // Worked by hand: of 1 to 20 times 10 ms the mean is 105 ms, and 19 of 20 do not exceed 190 ms.
    #[test]
    fn response_times_are_averaged_or_ranked_and_then_forgotten() {
        for (signal, want) in [
            (PressureSignal::ResponseTimeMean, 105.0 / 200.0),
            (PressureSignal::ResponseTimeP95, 190.0 / 200.0),
        ] {
            let mut gauge = gauge(signal);
            (1..=20).rev().for_each(|n| gauge.record(Duration::from_millis(10 * n)));
            let pressure = gauge.end_period(BUSY).unwrap();
            assert!((pressure - want).abs() < 1e-9, "{pressure}");
            assert_eq!(gauge.end_period(BUSY), None, "calls are in flight and none has ended");
            assert_eq!(gauge.end_period(IDLE), Some(0.0));
        }
    }

    #[test]
    fn a_flood_of_response_times_does_not_grow_the_gauge() {
        let mut gauge = gauge(PressureSignal::ResponseTimeMean);
        (0..2 * KEPT_MAX).for_each(|_| gauge.record(Duration::from_millis(100)));
        assert_eq!(gauge.response_times.capacity(), KEPT_MAX);
        assert_eq!(gauge.end_period(BUSY), Some(0.5));
    }
}

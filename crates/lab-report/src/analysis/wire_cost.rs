//! What the proxy that makes faults on the wire costs a trial.

use lab_core::scenario::Fault;

use super::statistics::{float, median};

/// The product page of a normal day, without the proxy between service and Redis and with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WireCost {
    /// Median over the cells without the proxy of p50 in the baseline, in microseconds.
    pub p50_without_us: f64,
    /// The same of the cells with it.
    pub p50_with_us: f64,
    /// Cells without the proxy.
    pub n_without: usize,
    /// Cells with it.
    pub n_with: usize,
}

/// Compares the cells whose fault is on the wire with the others, by fault and p50 in the baseline
/// in microseconds: before the fault, they differ in nothing but the proxy. `None` without one of
/// each.
pub fn wire_cost(baselines: &[(Fault, u64)]) -> Option<WireCost> {
    let p50s = |on_wire: bool| -> Vec<f64> {
        let cells = baselines.iter().filter(|(fault, _)| fault.is_on_wire() == on_wire);
        cells.map(|(_, p50_us)| float(*p50_us)).collect()
    };
    let (without, with) = (p50s(false), p50s(true));
    Some(WireCost {
        p50_without_us: median(&without)?,
        p50_with_us: median(&with)?,
        n_without: without.len(),
        n_with: with.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_the_proxy_are_told_from_those_without() {
        let baselines = [
            (Fault::Crash, 500),
            (Fault::Pause, 540),
            (Fault::Cold, 900),
            (Fault::Latency, 600),
            (Fault::Flap, 640),
        ];
        let cost = wire_cost(&baselines).unwrap();
        assert_eq!((cost.p50_without_us, cost.n_without), (540.0, 3));
        assert_eq!((cost.p50_with_us, cost.n_with), (620.0, 2));
        assert_eq!(wire_cost(&baselines[..3]), None);
    }
}

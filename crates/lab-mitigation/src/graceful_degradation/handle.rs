//! The dimmer that many tasks share: the controller behind a lock, a mode, counts and a listener.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lab_core::{
    route::RouteClass,
    settings::{GracefulDegradationSettings, Mode},
};
use serde::Serialize;

use super::{AuxiliaryWork, DegradationEvent, Dimmer, PoolDemand, pressure::PressureGauge};
use crate::{
    listener::Listener,
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// A dimmer shared by the whole service. Cloning is cheap and gives the same level.
#[derive(Debug, Clone)]
pub struct GracefulDegradation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    switch: Switch,
    decisions: Decisions,
    state: Mutex<State>,
    /// Whether the signal is made of response times.
    keeps_response_times: bool,
    listener: Listener<DegradationEvent>,
}

#[derive(Debug)]
struct State {
    dimmer: Dimmer,
    gauge: PressureGauge,
    pressure: Option<f64>,
}

/// What a dimmer tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GracefulDegradationSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// The share of auxiliary work that is done, 0 to 1; under observe, that would be.
    pub level: f64,
    /// The pressure of the last period, 1 at its target.
    pub pressure: Option<f64>,
    /// What it decided about auxiliary work so far.
    #[serde(flatten)]
    pub counts: DecisionCounts,
}

impl GracefulDegradation {
    /// Starts with all auxiliary work done.
    ///
    /// `listener` hears when degradation begins and ends, and the mode that happened under: under
    /// observe the service's behaviour did not change. It is called with the dimmer locked: it must
    /// return at once and must not call the dimmer.
    pub fn new(
        settings: &GracefulDegradationSettings,
        listener: impl Fn(Mode, DegradationEvent) + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            dimmer: Dimmer::new(settings),
            gauge: PressureGauge::new(settings),
            pressure: None,
        };
        Self {
            shared: Arc::new(Shared {
                switch: Switch::new(settings.mode),
                decisions: Decisions::default(),
                state: Mutex::new(state),
                keeps_response_times: settings.signal.is_of_response_times(),
                listener: Listener::new(listener),
            }),
        }
    }

    /// Whether to do one piece of work of `class`; `random` is a lot drawn evenly from all numbers.
    /// Core work is always done and not counted.
    ///
    /// Under observe all work is done, so nothing relieves the pressure: expect the level to fall
    /// further than it would under enforce.
    pub fn decide(&self, class: RouteClass, random: u64) -> AuxiliaryWork {
        let mode = self.mode();
        if class == RouteClass::Core || mode == Mode::Off {
            return AuxiliaryWork::Serve;
        }
        let decision = match self.shared.lock().dimmer.decide(random) {
            AuxiliaryWork::Serve => Ok(()),
            AuxiliaryWork::LeaveOut => Err(()),
        };
        match self.shared.decisions.apply(mode, decision) {
            Effect::Permitted(()) | Effect::WouldReject => AuxiliaryWork::Serve,
            Effect::Rejected(()) => AuxiliaryWork::LeaveOut,
        }
    }

    /// Tells how long a response took. Does nothing unless the signal is made of response times;
    /// then it costs a lock.
    pub fn record(&self, response_time: Duration) {
        if self.shared.keeps_response_times && self.mode() != Mode::Off {
            self.shared.lock().gauge.record(response_time);
        }
    }

    /// Ends a period: measures the pressure and moves the level. To be called once per `period`,
    /// by one task. Does nothing while the mode is off.
    pub fn end_period(&self, pool: PoolDemand) {
        if self.mode() != Mode::Off {
            let mut state = self.shared.lock();
            let pressure = state.gauge.end_period(pool);
            self.shared.update(&mut state, pressure);
        }
    }

    /// Ends a period with a pressure of the caller's own making, in place of
    /// [`GracefulDegradation::end_period`]; see [`Dimmer::update`].
    pub fn end_period_with(&self, pressure: Option<f64>) {
        if self.mode() != Mode::Off {
            let mut state = self.shared.lock();
            self.shared.update(&mut state, pressure);
        }
    }

    /// The share of auxiliary work that is done. **Range**: 0 to 1.
    pub fn level(&self) -> f64 {
        self.shared.lock().dimmer.level()
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next decision on. Switching off ends degradation and forgets the
    /// level; switching between observe and enforce keeps it.
    pub fn set_mode(&self, mode: Mode) {
        let mut state = self.shared.lock();
        if mode == Mode::Off {
            let event = state.dimmer.reset();
            self.shared.tell(event);
        }
        self.shared.switch.set_mode(mode);
    }

    /// Mode, level and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> GracefulDegradationSnapshot {
        let (level, pressure) = {
            let state = self.shared.lock();
            (state.dimmer.level(), state.pressure)
        };
        let counts = self.shared.decisions.counts();
        GracefulDegradationSnapshot { mode: self.mode(), level, pressure, counts }
    }
}

impl Shared {
    fn update(&self, state: &mut State, pressure: Option<f64>) {
        state.pressure = pressure.filter(|it| it.is_finite());
        self.tell(state.dimmer.update(pressure));
    }

    fn tell(&self, event: Option<DegradationEvent>) {
        self.listener.tell(self.switch.mode(), event);
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lab_testkit::recorder::Recorder;

    use super::*;

    const BUSY: PoolDemand = PoolDemand { n_in_use: 10, n_waiting: 90, size_max: 10 };
    const IDLE: PoolDemand = PoolDemand { n_in_use: 0, n_waiting: 0, size_max: 10 };

    struct Fixture {
        degradation: GracefulDegradation,
        heard: Recorder<(Mode, DegradationEvent)>,
    }

    impl Fixture {
        fn new(mode: Mode) -> Self {
            let heard = Recorder::new();
            let listener = {
                let heard = heard.clone();
                move |mode, event| heard.push((mode, event))
            };
            let settings =
                GracefulDegradationSettings { mode, ..GracefulDegradationSettings::default() };
            Self { degradation: GracefulDegradation::new(&settings, listener), heard }
        }

        fn periods(&self, n_periods: u32, pool: PoolDemand) {
            (0..n_periods).for_each(|_| self.degradation.end_period(pool));
        }

        fn decide(&self, class: RouteClass) -> AuxiliaryWork {
            self.degradation.decide(class, u64::MAX / 2)
        }

        fn counts(&self) -> (u64, u64, u64) {
            let counts = self.degradation.snapshot().counts;
            (counts.n_permitted, counts.n_rejected, counts.n_would_reject)
        }
    }

    #[test]
    fn enforcing_it_leaves_auxiliary_work_out_and_never_core_work() {
        let it = Fixture::new(Mode::Enforce);
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::Serve);
        it.periods(30, BUSY);
        assert_eq!(it.degradation.level().to_string(), "0");
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::LeaveOut);
        assert_eq!(it.decide(RouteClass::Core), AuxiliaryWork::Serve);
        it.periods(30, IDLE);
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::Serve);
        assert_eq!(
            it.heard.take(),
            [DegradationEvent::Began, DegradationEvent::Ended].map(|it| (Mode::Enforce, it))
        );
        assert_eq!(it.counts(), (2, 1, 0), "core work is not counted");
    }

    #[test]
    fn observing_it_decides_the_same_and_leaves_nothing_out() {
        let it = Fixture::new(Mode::Observe);
        it.periods(30, BUSY);
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::Serve);
        assert_eq!((it.degradation.level(), it.counts()), (0.0, (0, 0, 1)));
        it.degradation.set_mode(Mode::Enforce);
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::LeaveOut);
    }

    #[test]
    fn switched_off_it_does_everything_and_counts_and_learns_nothing() {
        let it = Fixture::new(Mode::Off);
        it.periods(30, BUSY);
        assert_eq!(it.decide(RouteClass::Auxiliary), AuxiliaryWork::Serve);
        assert_eq!((it.degradation.level(), it.counts()), (1.0, (0, 0, 0)));
        assert_eq!(it.degradation.snapshot().pressure, None);
    }

    #[test]
    fn switching_off_ends_degradation() {
        let it = Fixture::new(Mode::Enforce);
        it.periods(30, BUSY);
        it.degradation.set_mode(Mode::Off);
        assert_eq!(it.heard.take().last(), Some(&(Mode::Enforce, DegradationEvent::Ended)));
        it.degradation.set_mode(Mode::Enforce);
        assert_eq!(it.degradation.level().to_string(), "1");
    }

    #[test]
    fn a_listener_that_panics_takes_no_call_with_it() {
        let settings = GracefulDegradationSettings {
            mode: Mode::Enforce,
            ..GracefulDegradationSettings::default()
        };
        let degradation = GracefulDegradation::new(&settings, |_, _| panic!("on purpose"));
        (0..30).for_each(|_| degradation.end_period(BUSY));
        assert_eq!(degradation.decide(RouteClass::Core, 0), AuxiliaryWork::Serve);
        assert!(degradation.level() < 1.0);
    }

    #[test]
    fn the_snapshot_reads_well_as_json() {
        let it = Fixture::new(Mode::Enforce);
        it.degradation.end_period_with(Some(0.5));
        assert_eq!(
            serde_json::to_string(&it.degradation.snapshot()).unwrap(),
            r#"{"mode":"enforce","level":1.0,"pressure":0.5,"n_permitted":0,"n_rejected":0,"n_would_reject":0}"#
        );
    }
}

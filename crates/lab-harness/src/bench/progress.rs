//! What a person watching sees: a bar on a terminal, one plain line per phase elsewhere.

use std::{
    io::{IsTerminal, Write, stderr},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use lab_core::scenario::{Phase, PhaseLengths};

use super::live::{LiveFigures, LiveView};

/// How often the bar is brought up to date.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// Progress of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Milliseconds of measuring, done and to do. Hidden when standard error is no terminal.
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cell: String,
    phase: Option<Phase>,
    view: Option<LiveView>,
    last: Option<LiveFigures>,
    /// Measuring time of the trials that are over.
    done: Duration,
    /// Measuring time of all trials.
    total: Duration,
}

impl Progress {
    /// Progress of `total` measuring time.
    pub(crate) fn new(total: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{wide_bar:.cyan/blue} {percent:>3}% {msg} · {eta} left",
            )
            .expect("the template is constant and valid");
            ProgressBar::new(millis(total)).with_style(style)
        });
        Self { bar, state: Mutex::new(State { total, ..State::default() }) }
    }

    /// Says something that stays on the screen.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(text)),
            None => write_line(text),
        }
    }

    /// A trial begins whose samples appear at `samples`.
    pub(crate) fn trial(&self, cell: &str, samples: &Path) {
        let mut state = self.state();
        state.cell = cell.to_owned();
        state.phase = None;
        state.last = None;
        state.view = Some(LiveView::new(samples));
    }

    /// A phase begins.
    pub(crate) fn phase(&self, phase: Phase, phases: &PhaseLengths) {
        let mut state = self.state();
        let ended = state.phase.replace(phase);
        let figures = state.view.as_mut().and_then(LiveView::poll);
        state.last = figures.or(state.last);
        let done = state.done + phases.start(phase);
        if let Some(bar) = &self.bar {
            bar.set_position(millis(done));
            bar.set_message(state.message());
        } else {
            let before = match (ended, figures) {
                (Some(ended), Some(figures)) => format!("; {ended} had {}", shown(figures)),
                _ => String::new(),
            };
            let left = humantime::format_duration(whole_seconds(state.total.saturating_sub(done)));
            write_line(&format!("{}: {phase}{before}; {left} of measuring left", state.cell));
        }
    }

    /// Brings the bar up to date; `elapsed` is the time since the start of the schedule.
    pub(crate) fn tick(&self, elapsed: Duration) {
        let Some(bar) = &self.bar else { return };
        let mut state = self.state();
        let figures = state.view.as_mut().and_then(LiveView::poll);
        state.last = figures.or(state.last);
        bar.set_position(millis(state.done + elapsed));
        bar.set_message(state.message());
    }

    /// A trial of length `length` is over.
    pub(crate) fn trial_over(&self, length: Duration) {
        let mut state = self.state();
        state.done += length;
        if let Some(bar) = &self.bar {
            bar.set_position(millis(state.done));
        }
    }

    /// More trials than planned will run.
    pub(crate) fn extend(&self, by: Duration) {
        let mut state = self.state();
        state.total += by;
        if let Some(bar) = &self.bar {
            bar.inc_length(millis(by));
        }
    }

    /// Takes the bar away.
    pub(crate) fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn message(&self) -> String {
        let phase = self.phase.map_or("starting", Phase::name);
        let figures = self.last.map_or(String::new(), |it| format!(" · {}", shown(it)));
        format!("{} · {phase}{figures}", self.cell)
    }
}

fn shown(figures: LiveFigures) -> String {
    let LiveFigures { goodput_per_sec, response_time_ms_p99 } = figures;
    format!("goodput {goodput_per_sec:.0}/s, p99 {response_time_ms_p99:.0} ms")
}

/// Writes a line to standard error; a closed pipe must not end a run.
fn write_line(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_cell_phase_and_figures() {
        let figures = LiveFigures { goodput_per_sec: 598.4, response_time_ms_p99: 12.3 };
        let state = State {
            cell: "none crash".into(),
            phase: Some(Phase::Fault),
            last: Some(figures),
            ..State::default()
        };
        assert_eq!(state.message(), "none crash · fault · goodput 598/s, p99 12 ms");
    }
}

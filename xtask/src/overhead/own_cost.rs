//! What the lab itself costs: each piece of its work for some input and for twice as much, and
//! whether it keeps to what was set for it.

use anyhow::{Context, Result, ensure};

use super::Medians;

/// A piece of the lab's work that is measured.
struct Work {
    /// Its group of benches.
    group: &'static str,
    /// In words.
    title: &'static str,
    /// What its input is counted in.
    unit: &'static str,
}

const WORKS: [Work; 4] = [
    Work { group: "arrivals", title: "computing the arrivals of a trial", unit: "arrivals" },
    Work { group: "recording", title: "recording", unit: "requests" },
    Work { group: "analysing", title: "analysing a campaign", unit: "cells" },
    Work { group: "drawing", title: "drawing a campaign", unit: "cells" },
];

/// What recording one request may cost, in nanoseconds.
const RECORDING_MAX_NS: f64 = 250.0;
/// What analysing and drawing 60 cells may take, in seconds.
const CAMPAIGN_MAX_S: f64 = 25.0;
const CAMPAIGN_CELLS: u64 = 60;
/// How much longer twice the input may take: twice, and a twentieth of that for the noise of two
/// measurements.
const GROWTH_MAX: f64 = 2.1;

/// One piece of work with its two inputs and what they took, in nanoseconds.
struct Measured<'a> {
    work: &'a Work,
    once: (u64, f64),
    twice: (u64, f64),
}

impl<'a> Measured<'a> {
    /// **Errors**: there are not two inputs, of which one is twice the other.
    fn of(work: &'a Work, medians: &Medians) -> Result<Self> {
        let group = work.group;
        let results = medians.get(group).with_context(|| format!("no bench `{group}`"))?;
        let mut inputs = Vec::new();
        for (size, ns) in results {
            let size: u64 = size.parse().with_context(|| format!("`{group}/{size}`: no number"))?;
            inputs.push((size, *ns));
        }
        inputs.sort_by_key(|(size, _)| *size);
        let &[once, twice] = inputs.as_slice() else {
            anyhow::bail!("`{group}` has {} inputs, not 2", inputs.len());
        };
        ensure!(twice.0 == 2 * once.0, "`{group}`: {} is not twice {}", twice.0, once.0);
        Ok(Self { work, once, twice })
    }

    fn growth(&self) -> f64 {
        self.twice.1 / self.once.1
    }

    fn row(&self) -> String {
        let Work { title, unit, .. } = self.work;
        let input = |(size, ns): (u64, f64)| format!("{size} {unit} | {}", time(ns));
        let (once, twice, growth) = (input(self.once), input(self.twice), self.growth());
        format!("| {title} | {once} | {twice} | {growth:.2} |\n")
    }
}

/// The table of all work, and a line for each goal.
///
/// **Errors**: a bench left no result, or another than it should.
pub(super) fn text(medians: &Medians) -> Result<String> {
    let measured: Vec<Measured<'_>> =
        WORKS.iter().map(|it| Measured::of(it, medians)).collect::<Result<_>>()?;
    let mut text = "| | input | takes | twice | takes | growth |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    text.extend(measured.iter().map(Measured::row));
    let [_, recording, analysing, drawing] = measured.as_slice() else {
        unreachable!("one entry for each of WORKS");
    };
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests at most")]
    let request_ns = [recording.once, recording.twice].map(|(n, ns)| ns / n as f64);
    let request_ns = request_ns[0].max(request_ns[1]);
    text.push_str(&format!(
        "\n- Recording one request takes {request_ns:.0} ns; the goal is at most {RECORDING_MAX_NS:.0} \
         ns: {}.\n",
        kept(request_ns <= RECORDING_MAX_NS)
    ));
    ensure!(analysing.twice.0 == CAMPAIGN_CELLS, "a campaign of {} cells", analysing.twice.0);
    let campaign_ns = analysing.twice.1 + drawing.twice.1;
    text.push_str(&format!(
        "- Analysing and drawing a campaign of {CAMPAIGN_CELLS} cells takes {}; the goal is at most \
         {CAMPAIGN_MAX_S:.0} s: {}.\n",
        time(campaign_ns),
        kept(campaign_ns <= CAMPAIGN_MAX_S * 1e9)
    ));
    let most = measured.iter().map(Measured::growth).fold(0.0, f64::max);
    text.push_str(&format!(
        "- Twice the input takes at most {most:.2} times as long; the goal is at most twice, measured \
         to {GROWTH_MAX}: {}.\n",
        kept(most <= GROWTH_MAX)
    ));
    Ok(text)
}

fn kept(is_kept: bool) -> &'static str {
    if is_kept { "kept" } else { "missed" }
}

/// A length of time in the unit that reads best, three digits.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medians(drawing_ns: [f64; 2]) -> Medians {
        let group =
            |sizes: [&str; 2], ns: [f64; 2]| sizes.map(str::to_owned).into_iter().zip(ns).collect();
        Medians::from([
            ("arrivals".to_owned(), group(["20000", "40000"], [2e6, 4e6])),
            ("recording".to_owned(), group(["100", "200"], [3_000.0, 5_000.0])),
            ("analysing".to_owned(), group(["30", "60"], [3e9, 6e9])),
            ("drawing".to_owned(), group(["30", "60"], drawing_ns)),
        ])
    }

    // Worked by hand: 3,000 / 100 = 30 ns and 5,000 / 200 = 25 ns, of which the longer counts;
    // 6 s and 2.5 s are 8.5 s; 2.5 / 1 is the steepest growth.
    #[test]
    fn goals_are_judged_by_the_worst_of_what_was_measured() {
        let text = text(&medians([1e9, 2.5e9])).unwrap();
        assert!(
            text.contains("| recording | 100 requests | 3.00 µs | 200 requests | 5.00 µs | 1.67 |"),
            "{text}"
        );
        assert!(text.contains("one request takes 30 ns; the goal is at most 250 ns: kept"));
        assert!(text.contains("60 cells takes 8.50 s; the goal is at most 25 s: kept"));
        assert!(text.contains("at most 2.50 times as long") && text.contains("to 2.1: missed"));
    }

    #[test]
    fn a_campaign_that_takes_too_long_is_missed() {
        let text = text(&medians([10e9, 20e9])).unwrap();
        assert!(text.contains("takes 26.0 s; the goal is at most 25 s: missed"), "{text}");
        assert!(text.contains("2.00 times as long") && text.contains("to 2.1: kept"), "{text}");
    }

    #[test]
    fn a_bench_that_is_missing_or_of_another_size_is_no_result() {
        let mut without = medians([1e9, 2e9]);
        without.remove("recording");
        assert!(text(&without).unwrap_err().to_string().contains("recording"));
        let mut uneven = medians([1e9, 2e9]);
        let drawing = uneven.get_mut("drawing").unwrap();
        drawing.remove("60");
        drawing.insert("61".to_owned(), 2e9);
        assert!(text(&uneven).unwrap_err().to_string().contains("61 is not twice 30"));
    }
}

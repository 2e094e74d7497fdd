//! A picture of a run (SVG): latencies over time, and below how many of all requests took at most how long.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::*;
use thiserror::Error;

use super::engine::{Moment, Outcome};
use super::report::real;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (900, 720);
const FONT: &str = "sans-serif";
/// How many points the distribution has.
const STEPS: u32 = 200;
/// The widest distribution: 99.999 %.
const NINES_MOST: f64 = 5.0;

/// Why there is no picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlotError {
    /// Nothing succeeded, so there are no latencies.
    #[error("there is no picture: no request succeeded")]
    Nothing,
    /// It cannot be drawn.
    #[error("the picture cannot be drawn: {0}")]
    Draw(String),
    /// It cannot be kept.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Line = (&'static str, RGBColor, fn(&Moment) -> u64);

/// The lines over time.
const LINES: [Line; 3] = [
    ("median", BLUE, |moment| moment.p50_micros),
    ("99 of 100", MAGENTA, |moment| moment.p99_micros),
    ("all", RED, |moment| moment.most_micros),
];

/// Draws a run and keeps the picture.
///
/// # Errors
/// [`PlotError`].
pub fn keep(path: &Path, title: &str, outcome: &Outcome) -> Result<(), PlotError> {
    let svg = draw(title, outcome)?;
    let failed = |source| PlotError::File { path: path.display().to_string(), source };
    std::fs::write(path, svg).map_err(failed)
}

/// Draws a run.
///
/// # Errors
/// [`PlotError::Nothing`], [`PlotError::Draw`].
pub fn draw(title: &str, outcome: &Outcome) -> Result<String, PlotError> {
    let latencies = &outcome.tally.latencies;
    if latencies.is_empty() {
        return Err(PlotError::Nothing);
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = root.fill(&WHITE).and_then(|()| {
            let root = root.titled(title, (FONT, 20))?;
            let halves = root.split_evenly((2, 1));
            if let [upper, lower] = halves.as_slice() {
                over_time(upper, &outcome.moments, outcome.took, latencies)?;
                distribution(lower, latencies)?;
            }
            root.present()
        });
        drawn.map_err(|error| PlotError::Draw(error.to_string()))?;
    }
    Ok(svg)
}

/// From a little below the least to a little above the most, in milliseconds; both axes of latency share it.
fn span(latencies: &Histogram<u64>) -> std::ops::Range<f64> {
    millis(latencies.min().max(1)) * 0.8..millis(latencies.max().max(2)) * 1.25
}

fn millis(micros: u64) -> f64 {
    real(micros) / 1000.0
}

fn over_time(
    area: &Area<'_>,
    moments: &[Moment],
    took: Duration,
    latencies: &Histogram<u64>,
) -> Drawn {
    let seconds = 0.0..took.as_secs_f64().max(0.1);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(seconds, span(latencies).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("seconds from the beginning")
        .y_desc("latency, ms")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    for (name, colour, value) in LINES {
        let points = moments.iter().filter(|moment| moment.succeeded > 0);
        let points: Vec<(f64, f64)> =
            points.map(|moment| (moment.at.as_secs_f64(), millis(value(moment).max(1)))).collect();
        // One moment alone makes no line.
        for (second, latency) in points.iter().take(1) {
            chart.draw_series([Circle::new((*second, *latency), 3, colour.filled())])?;
        }
        chart
            .draw_series(LineSeries::new(points, colour))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()
}

/// How many of all took at most how long; each step to the right is a tenth of those that took longer.
fn distribution(area: &Area<'_>, latencies: &Histogram<u64>) -> Drawn {
    let nines = real(latencies.len()).log10().clamp(1.0, NINES_MOST);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..nines, span(latencies).log_scale())?;
    chart
        .configure_mesh()
        .x_labels(6)
        .x_desc("share of the requests that took at most this long")
        .y_desc("latency, ms")
        .x_label_formatter(&|nines| percent(*nines))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    let points = (0..=STEPS).map(|step| {
        let nines = nines * f64::from(step) / f64::from(STEPS);
        let quantile = 1.0 - 10_f64.powf(-nines);
        (nines, millis(latencies.value_at_quantile(quantile).max(1)))
    });
    chart.draw_series(LineSeries::new(points, &BLUE))?;
    Ok(())
}

/// 1 is 90 %, 2 is 99 %.
fn percent(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    let text = format!("{percent:.3}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::super::engine::Ended;
    use super::super::measure::Tally;
    use super::*;

    fn outcome(latencies: &[u64]) -> Outcome {
        let mut tally = Tally::new();
        for millis in latencies {
            tally.succeeded(Duration::from_millis(*millis));
        }
        let moment = |second| Moment {
            at: Duration::from_secs(second),
            length: Duration::from_secs(1),
            succeeded: 2,
            failed: 0,
            p50_micros: 1000,
            p99_micros: 2000 * second,
            most_micros: 3000 * second,
        };
        Outcome {
            tally,
            moments: vec![moment(1), moment(2)],
            took: Duration::from_secs(2),
            missed: 0,
            ended: Ended::Done,
            own_time: Duration::ZERO,
            machine_share: None,
            server_time: None,
            sent_again: 0,
            credentials: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_drawn_with_both_pictures_in_it() {
        let svg = draw("a <title>", &outcome(&[1, 2, 3, 500])).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for words in ["a &lt;title&gt;", "99 of 100", "seconds from", "share of the requests"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
        assert!(svg.matches("<polyline").count() >= 4, "three lines over time, and one below");
    }

    #[test]
    fn a_single_latency_is_drawn_too() {
        assert!(draw("one", &outcome(&[5])).is_ok());
    }

    #[test]
    fn without_latencies_there_is_no_picture() {
        assert!(matches!(draw("none", &outcome(&[])), Err(PlotError::Nothing)));
    }

    #[test]
    fn shares_are_told_in_percent() {
        let told: Vec<String> = [0.0, 1.0, 2.0, 3.0, 5.0].into_iter().map(percent).collect();
        assert_eq!(told, ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }
}

//! Charts, drawn as SVG on the server: shapes with classes, colours from the style sheet, and the numbers as text too.

use maud::{Markup, html};

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// What stands below it.
    pub(super) label: String,
    /// How high it is.
    pub(super) value: u64,
}

/// The width of a bar with the gap beside it, in units of the drawing.
const STEP: usize = 26;
/// How many bars a chart has room for, at least.
const LEAST: usize = 24;
/// The height of the highest bar.
const HEIGHT: u64 = 120;
/// The room above the bars, for their numbers, and below, for their labels.
const ABOVE: u64 = 18;
const BELOW: u64 = 20;

/// A chart of bars. `title` says what they are; whoever cannot see it reads the numbers in a list.
pub(super) fn bars(title: &str, bars: &[Bar]) -> Markup {
    let highest = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    // Charts side by side have letters of one size.
    let width = bars.len().max(LEAST).saturating_mul(STEP);
    let bottom = ABOVE + HEIGHT;
    html! {
        svg.chart viewBox={ "0 0 " (width) " " (bottom + BELOW) } role="img" aria-label=(said(title, bars)) {
            line.axis x1="0" x2=(bars.len().saturating_mul(STEP)) y1=(bottom) y2=(bottom) {}
            @for (place, bar) in bars.iter().enumerate() {
                @let left = place.saturating_mul(STEP);
                @let height = height(bar.value, highest);
                rect.bar x=(left + 3) y=(bottom - height) width=(STEP - 6) height=(height) {
                    title { (bar.label) ": " (bar.value) }
                }
                @if bar.value > 0 {
                    text.value x=(left + STEP / 2) y=(bottom - height - 4) { (rounded(bar.value)) }
                }
                text.label x=(left + STEP / 2) y=(bottom + 14) { (bar.label) }
            }
        }
    }
}

/// At least a line where there is anything.
fn height(value: u64, highest: u64) -> u64 {
    let height = u128::from(value) * u128::from(HEIGHT) / u128::from(highest.max(1));
    let height = u64::try_from(height).unwrap_or(HEIGHT);
    if value > 0 { height.max(1) } else { 0 }
}

/// A number that fits above a bar.
fn rounded(value: u64) -> String {
    match value {
        0..=9_999 => value.to_string(),
        10_000..=9_999_999 => format!("{}k", value / 1000),
        _ => format!("{}M", value / 1_000_000),
    }
}

fn said(title: &str, bars: &[Bar]) -> String {
    let told: Vec<String> = bars
        .iter()
        .filter(|bar| bar.value > 0)
        .map(|bar| format!("{}: {}", bar.label, bar.value))
        .collect();
    match told.is_empty() {
        true => format!("{title}: none"),
        false => format!("{title}: {}", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: u64) -> Bar {
        Bar { label: label.to_owned(), value }
    }

    #[test]
    fn the_highest_bar_fills_the_chart_and_the_least_can_be_seen() {
        assert_eq!(height(7, 7), HEIGHT);
        assert_eq!(height(1, u64::MAX), 1);
        assert_eq!(height(0, 7), 0);
        assert_eq!(height(u64::MAX, u64::MAX), HEIGHT);
    }

    #[test]
    fn the_numbers_are_told_in_words_and_hostile_labels_are_text() {
        let drawn = bars("Per <hour>", &[bar("00", 3), bar("<script>", 0)]).into_string();
        assert!(drawn.contains("aria-label=\"Per &lt;hour&gt;: 00: 3\""), "{drawn}");
        assert!(!drawn.contains("<script"), "{drawn}");
    }

    #[test]
    fn a_chart_of_nothing_says_so() {
        assert!(bars("Nothing", &[]).into_string().contains("Nothing: none"));
    }
}

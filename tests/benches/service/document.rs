//! The table, and the document that it stands in.

use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- figures: begin (written by 'make bench') -->";
const END: &str = "<!-- figures: end -->";

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    ours: String,
    floor: String,
    ratio: Option<f64>,
    goal: Option<f64>,
    /// For goals that are no ratios: whether it is met.
    verdict: Option<(String, bool)>,
}

impl Row {
    /// A figure without a goal.
    pub(crate) fn figure(name: &str, ours: String) -> Self {
        let (name, floor) = (name.to_owned(), String::new());
        Self { name, ours, floor, ratio: None, goal: None, verdict: None }
    }

    /// A figure beside its floor, both in microseconds of processor time. `goal`: the highest ratio.
    pub(crate) fn ratio(name: &str, ours: f64, floor: f64, ratio: f64, goal: Option<f64>) -> Self {
        let (ours, floor) = (format!("{ours:.0} µs"), format!("{floor:.0} µs"));
        Self { floor, ratio: Some(ratio), goal, ..Self::figure(name, ours) }
    }

    /// A figure with an upper limit, in this unit.
    pub(crate) fn limit(name: &str, ours: f64, limit: f64, unit: &str) -> Self {
        let verdict = Some((format!("at most {limit} {unit}"), ours <= limit));
        Self { verdict, ..Self::figure(name, format!("{ours:.1} {unit}")) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_missed(&self) -> bool {
        let is_above = self.ratio.zip(self.goal).is_some_and(|(ratio, goal)| ratio > goal);
        is_above || self.verdict.as_ref().is_some_and(|(_, is_met)| !is_met)
    }

    fn goal(&self) -> String {
        let goal = match (&self.verdict, self.goal) {
            (Some((words, _)), _) => words.clone(),
            (None, Some(goal)) => format!("at most {goal} times"),
            (None, None) => return String::new(),
        };
        format!("{goal}: {}", if self.is_missed() { "**missed**" } else { "met" })
    }
}

/// The table, in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | ours | floor | ratio | goal |\n|---|---|---|---|---|\n");
    for row in rows {
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {ratio} | {} |",
            row.name,
            row.ours,
            row.floor,
            row.goal()
        );
    }
    text
}

/// Puts the table between the marks of the document; what stands around it stays.
pub(crate) fn keep(file: &Path, table: &str, include: Option<&Path>) -> anyhow::Result<()> {
    let old = std::fs::read_to_string(file)?;
    let (before, rest) = old.split_once(BEGIN).ok_or_else(|| anyhow::anyhow!("no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| anyhow::anyhow!("no {END}"))?;
    let mut new = format!("{before}{BEGIN}\n\nMeasured on {}.\n\n{table}", machine());
    for (name, text) in include.map(printed).transpose()?.unwrap_or_default() {
        let _ = write!(new, "\n### {name}\n\n```text\n{}\n```\n", text.trim());
    }
    let _ = write!(new, "\n{END}{after}");
    Ok(std::fs::write(file, new)?)
}

/// What the other benchmarks printed, by their names.
fn printed(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push((name, std::fs::read_to_string(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

/// The processors, memory and system, as far as the system says.
fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    let number = processors.lines().filter(|line| line.starts_with("processor")).count();
    let release = read("/proc/sys/kernel/osrelease");
    format!(
        "{number} × {}, {} of memory, Linux {}",
        field(&processors, "model name"),
        field(&memory, "MemTotal"),
        release.split('-').next().unwrap_or_default().trim()
    )
}

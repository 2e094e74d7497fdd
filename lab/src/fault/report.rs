//! What came of lies: a report for people, for programs, and for what shows the results of tests.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::run::Outcome;
use super::{Card, Fault, Liar};

/// The longest reason of a registrar that is kept, in characters.
const REASON_CHARACTERS: usize = 300;

/// A fault as `--list` shows it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// Who lies.
    pub liar: Liar,
    /// The clause that it breaks.
    pub clause: &'static str,
    /// The status that it must meet; 0 where the connection is closed without an answer.
    pub status: u16,
    /// The event that this project's registrar writes; empty where it writes none.
    pub event: &'static str,
}

impl From<Card> for Listed {
    fn from(card: Card) -> Self {
        let Card { name, liar, clause, status, event, .. } = card;
        Self { name, liar, clause, status, event }
    }
}

/// What a registrar did with a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It refused the lie with the status that is asked for, and served the twin.
    Passed,
    /// It refused the lie with another status, and served the twin.
    Differs,
    /// It took the lie for the truth, refused the twin, or could not be asked.
    Failed,
}

/// What came of one lie and its twin.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The fault.
    #[serde(flatten)]
    pub listed: Listed,
    /// What serial numbers of its devices begin with.
    pub serial: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The status that the lie met.
    pub lie: Option<u16>,
    /// The status that the twin met.
    pub twin: Option<u16>,
    /// In words, where it did not pass.
    pub reason: Option<String>,
    /// How long both took, in milliseconds.
    pub millis: u128,
}

impl Finding {
    pub(super) fn new(
        fault: Fault,
        serial: String,
        lie: &Outcome,
        twin: &Outcome,
        took: Duration,
    ) -> Self {
        let card = fault.card();
        let status = |outcome: &Outcome| outcome.as_ref().ok().map(|(status, _)| *status);
        let is_no =
            |status: u16| status == 0 || status >= 400 || card.status == 202 && status == 202;
        let verdict = match (status(lie), status(twin)) {
            (Some(lie), Some(200)) if lie == card.status => Verdict::Passed,
            (Some(lie), Some(200)) if is_no(lie) => Verdict::Differs,
            _ => Verdict::Failed,
        };
        let words = |who: &str, outcome: &Outcome| match outcome {
            // What is served is for the device that asked.
            Ok((200, _)) => format!("{who} was answered 200"),
            Ok((status, text)) => {
                let text: String = text.chars().take(REASON_CHARACTERS).collect();
                format!("{who} was answered {status}: {text}")
            }
            Err(error) => format!("{who}: {error}"),
        };
        let reason = (verdict != Verdict::Passed)
            .then(|| format!("{}; {}", words("the lie", lie), words("its twin", twin)));
        Self {
            listed: card.into(),
            serial,
            verdict,
            lie: status(lie),
            twin: status(twin),
            reason,
            millis: took.as_millis(),
        }
    }
}

/// A report for people: a line each, and what it comes to.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Passed => "passed ",
            Verdict::Differs => "differs",
            Verdict::Failed => "FAILED ",
        };
        let (listed, status) = (&finding.listed, finding.lie.unwrap_or(0));
        let liar = listed.liar.as_str();
        let _ = writeln!(
            text,
            "{verdict}  {liar:<6}  {status:>3}  {:<46}  {}",
            listed.name, listed.clause
        );
        if let Some(reason) = &finding.reason {
            let _ = writeln!(text, "         wanted {}; {}", listed.status, reason.escape_debug());
        }
    }
    let count = |wanted| findings.iter().filter(|each| each.verdict == wanted).count();
    let (passed, differ) = (count(Verdict::Passed), count(Verdict::Differs));
    let _ = writeln!(
        text,
        "{} lies: {passed} refused as they must be, {differ} refused with another status, {} failed",
        findings.len(),
        count(Verdict::Failed),
    );
    text
}

/// A report in the XML that JUnit made common.
#[must_use]
pub fn junit(findings: &[Finding]) -> String {
    let failures = findings.iter().filter(|each| each.verdict != Verdict::Passed).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"faults\" tests=\"{}\" failures=\"{failures}\">\n",
        findings.len(),
    );
    for finding in findings {
        let listed = &finding.listed;
        let seconds = Duration::from_millis(u64::try_from(finding.millis).unwrap_or(u64::MAX));
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{} ({})\" time=\"{:.3}\"",
            listed.liar.as_str(),
            escaped(listed.name),
            escaped(listed.clause),
            seconds.as_secs_f64(),
        );
        match &finding.reason {
            None => xml.push_str("/>\n"),
            Some(reason) => {
                let message = escaped(reason);
                let _ = write!(xml, ">\n    <failure message=\"{message}\"/>\n  </testcase>\n");
            }
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

/// Text as XML attributes take it; what XML takes in no way is left out.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for each in text.chars() {
        match each {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            each if each.is_control() || matches!(each, '\u{fffe}' | '\u{ffff}') => xml.push(' '),
            each => xml.push(each),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::super::run::FaultError;
    use super::*;

    fn finding(lie: Outcome, twin: Outcome) -> Finding {
        Finding::new(Fault::RequestEmpty, "S".into(), &lie, &twin, Duration::from_millis(5))
    }

    fn answer(status: u16) -> Outcome {
        Ok((status, "<\"no\" & \u{1}>".to_owned()))
    }

    #[test]
    fn a_lie_passes_when_it_is_refused_as_it_must_be_and_its_twin_is_served() {
        for (lie, twin, verdict) in [
            (406, 200, Verdict::Passed),
            (400, 200, Verdict::Differs),
            (200, 200, Verdict::Failed),
            (202, 200, Verdict::Failed),
            (406, 403, Verdict::Failed),
        ] {
            let finding = finding(answer(lie), answer(twin));
            assert_eq!(
                (finding.verdict, finding.reason.is_none()),
                (verdict, verdict == Verdict::Passed)
            );
        }
        let silent = finding(Err(FaultError::Make("x".into())), answer(200));
        assert_eq!((silent.verdict, silent.lie), (Verdict::Failed, None));
    }

    #[test]
    fn what_a_registrar_says_breaks_no_report() {
        let findings = [finding(answer(406), answer(200)), finding(answer(400), answer(200))];
        let xml = junit(&findings);
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("&lt;&quot;no&quot; &amp;  &gt;"), "{xml}");
        let text = text(&findings);
        assert!(
            text.contains(
                "2 lies: 1 refused as they must be, 1 refused with another status, 0 failed"
            ),
            "{text}"
        );
        assert!(!text.contains('\u{1}'), "{text}");
    }
}

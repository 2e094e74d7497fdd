//! What went wrong at a CA, whose fault it is, and what the bridge does about it (RFC 8555 §6.7). Pure.
//!
//! The CA's own words are kept beside our reading of them: an operator reads what the CA said.
//! They are hostile text all the same, cut and cleaned before they are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose fault a failed order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The CA will not certify this CSR: badCSR, badPublicKey, rejectedIdentifier, caa.
    Refused,
    /// The CA could not validate the names, most likely our DNS.
    Validation,
    /// The CA issued something that is not what was asked for.
    WrongCertificate,
    /// The account is not what the CA wants.
    Account,
    /// We asked for too much in too short a time.
    RateLimited,
    /// The CA is down, or says that it failed.
    Unavailable,
    /// Our configuration asks for something that the CA does not have.
    Configuration,
    /// An operator ended it.
    Cancelled,
    /// Anything else.
    Ca,
}

/// What the bridge does about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Asks the same again at once: the request was fine.
    Again,
    /// Asks the same again later; nothing is lost.
    Later,
    /// Asks again later, and tells an operator: waiting alone will not help.
    LaterAndAlarm,
    /// This order is lost; another one may succeed.
    Anew,
    /// Orders again without naming the certificate that is renewed (RFC 9773 §5).
    WithoutReplaces,
    /// Nothing will help this CSR.
    GiveUp,
    /// It is done already.
    Done,
}

/// What the CA said of one identifier (RFC 8555 §6.7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subproblem {
    /// The identifier, empty if it named none.
    pub identifier: String,
    /// The error type.
    pub acme_type: String,
    /// What it said.
    pub detail: String,
}

/// A problem, in the CA's own words where it had any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Whose fault it is.
    pub kind: ProblemKind,
    /// The CA's error type, such as `urn:ietf:params:acme:error:badCSR`; empty if it gave none.
    pub acme_type: String,
    /// What it said, cut to 500 characters.
    pub detail: String,
    /// What it said of single identifiers, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Subproblem>,
    /// The HTTP status of the answer; 0 where it came in an order or is ours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub status: u16,
    /// When the CA wants to be asked again, in seconds from its answer (RFC 9110 §10.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u32>,
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(status: &u16) -> bool {
    *status == 0
}

/// The longest detail that is kept, in characters.
const DETAIL_CHARACTERS: usize = 500;
/// The longest type and identifier that are kept, in characters.
const WORD_CHARACTERS: usize = 256;
/// How many subproblems are kept.
const SUBPROBLEMS: usize = 16;
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// A problem document as the CA sent it (RFC 7807); what is not there stays empty.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Document {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    subproblems: Option<Vec<SubDocument>>,
}

#[derive(Debug, Deserialize)]
struct SubDocument {
    #[serde(default)]
    identifier: Option<SubIdentifier>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SubIdentifier {
    #[serde(default)]
    value: String,
}

impl Problem {
    /// A problem that the CA named.
    #[must_use]
    pub fn from_ca(acme_type: &str, detail: &str) -> Self {
        Self::new(judge(acme_type, 0).0, acme_type, detail)
    }

    /// A problem of ours or one that nobody named.
    #[must_use]
    pub fn new(kind: ProblemKind, acme_type: &str, detail: &str) -> Self {
        Self {
            kind,
            acme_type: clean(acme_type, WORD_CHARACTERS),
            detail: clean(detail, DETAIL_CHARACTERS),
            subproblems: Vec::new(),
            status: 0,
            retry_after_secs: None,
        }
    }

    /// A problem in an answer of the CA, whatever its body is.
    ///
    /// `status`: of the answer. `body`: at most as long as answers are read.
    pub(crate) fn from_answer(status: u16, body: &[u8], retry_after_secs: Option<u32>) -> Self {
        // An array would be read as an object's members in their order.
        let object = Some(body).filter(|body| body.trim_ascii_start().starts_with(b"{"));
        let document = object.and_then(|body| serde_json::from_slice::<Document>(body).ok());
        let Some(document) = document else {
            // A proxy between us and the CA, most likely.
            let text = String::from_utf8_lossy(body.get(..DETAIL_CHARACTERS).unwrap_or(body));
            let detail = format!("status {status} without a problem document: {}", text.trim());
            let (kind, _) = judge("", status);
            return Self { status, retry_after_secs, ..Self::new(kind, "", &detail) };
        };
        let acme_type = document.kind.as_deref().unwrap_or_default();
        let detail = document.detail.as_deref().unwrap_or_default();
        let mut problem = Self::new(judge(acme_type, status).0, acme_type, detail);
        problem.status = status;
        problem.retry_after_secs = retry_after_secs;
        let subproblems = document.subproblems.unwrap_or_default();
        problem.add_subproblems(subproblems.iter().map(|sub| {
            let identifier = sub.identifier.as_ref().map_or("", |identifier| &identifier.value);
            let kind = sub.kind.as_deref().unwrap_or_default();
            (identifier, kind, sub.detail.as_deref().unwrap_or_default())
        }));
        problem
    }

    /// Keeps what the CA said of single identifiers: identifier, type and detail of each.
    ///
    /// A compound problem is judged by them: one identifier that is refused refuses the whole.
    pub(crate) fn add_subproblems<'a>(
        &mut self,
        subproblems: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    ) {
        self.subproblems = subproblems
            .take(SUBPROBLEMS)
            .map(|(identifier, acme_type, detail)| Subproblem {
                identifier: clean(identifier, WORD_CHARACTERS),
                acme_type: clean(acme_type, WORD_CHARACTERS),
                detail: clean(detail, DETAIL_CHARACTERS),
            })
            .collect();
        if word(&self.acme_type) == "compound"
            && self.subproblems.iter().any(|sub| judge(&sub.acme_type, 0).1 == Course::GiveUp)
        {
            self.kind = ProblemKind::Refused;
        }
    }

    /// What the bridge does about it.
    #[must_use]
    pub fn course(&self) -> Course {
        match self.kind {
            ProblemKind::WrongCertificate | ProblemKind::Cancelled => Course::GiveUp,
            // A compound problem that an identifier of it decided.
            ProblemKind::Refused => Course::GiveUp,
            _ => judge(&self.acme_type, self.status).1,
        }
    }

    /// Its type without the prefix of RFC 8555, such as `badCSR`.
    #[must_use]
    pub fn word(&self) -> &str {
        word(&self.acme_type)
    }
}

/// Whose fault a problem is, and what to do about it, by its type and the status of the answer it came in.
///
/// RFC 8555 §6.7, RFC 9773 §7.4, draft-ietf-acme-profiles §6.3.
#[must_use]
pub fn judge(acme_type: &str, status: u16) -> (ProblemKind, Course) {
    use Course::{Again, Anew, Done, GiveUp, Later, LaterAndAlarm, WithoutReplaces};
    use ProblemKind::{Account, Ca, Configuration, RateLimited, Refused, Unavailable, Validation};

    match word(acme_type) {
        "badNonce" | "orderNotReady" => (Ca, Again),
        "rateLimited" => (RateLimited, Later),
        "serverInternal" => (Unavailable, Later),
        "badCSR" | "badPublicKey" | "badSignatureAlgorithm" => (Refused, GiveUp),
        "rejectedIdentifier" | "unsupportedIdentifier" | "caa" => (Refused, GiveUp),
        "unauthorized" | "dns" | "connection" | "incorrectResponse" | "tls" | "compound" => {
            (Validation, Anew)
        }
        "alreadyReplaced" => (Ca, WithoutReplaces),
        "alreadyRevoked" => (Ca, Done),
        "invalidProfile" => (Configuration, LaterAndAlarm),
        "accountDoesNotExist"
        | "externalAccountRequired"
        | "userActionRequired"
        | "unsupportedContact"
        | "invalidContact" => (Account, LaterAndAlarm),
        // A status speaks where no type does: a balancer before the CA has no ACME.
        "" if status == 429 => (RateLimited, Later),
        "" if status >= 500 || status == 408 => (Unavailable, Later),
        _ => (Ca, Anew),
    }
}

fn word(acme_type: &str) -> &str {
    acme_type.strip_prefix(PREFIX).unwrap_or_default()
}

/// Hostile text, cut, and without what could move a terminal's cursor or turn its text around.
fn clean(text: &str, characters: usize) -> String {
    let is_harmful = |each: char| {
        each.is_control()
            || matches!(each, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|each| if is_harmful(each) { ' ' } else { each }).take(characters).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let type_of =
            |acme_type: &str| acme_type.strip_prefix(PREFIX).unwrap_or(acme_type).to_owned();
        match type_of(&self.acme_type).as_str() {
            "" => formatter.write_str(&self.detail)?,
            kind => write!(formatter, "{kind}: {}", self.detail)?,
        }
        for Subproblem { identifier, acme_type, detail } in &self.subproblems {
            write!(formatter, "; {identifier}: {}: {detail}", type_of(acme_type))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row of the table that `docs` shows: type, status, whose fault, what is done.
    const TABLE: [(&str, u16, ProblemKind, Course); 29] = [
        ("badCSR", 400, ProblemKind::Refused, Course::GiveUp),
        ("badPublicKey", 400, ProblemKind::Refused, Course::GiveUp),
        ("badSignatureAlgorithm", 400, ProblemKind::Refused, Course::GiveUp),
        ("caa", 403, ProblemKind::Refused, Course::GiveUp),
        ("rejectedIdentifier", 403, ProblemKind::Refused, Course::GiveUp),
        ("unsupportedIdentifier", 403, ProblemKind::Refused, Course::GiveUp),
        ("rateLimited", 429, ProblemKind::RateLimited, Course::Later),
        ("", 429, ProblemKind::RateLimited, Course::Later),
        ("serverInternal", 500, ProblemKind::Unavailable, Course::Later),
        ("", 500, ProblemKind::Unavailable, Course::Later),
        ("", 502, ProblemKind::Unavailable, Course::Later),
        ("", 503, ProblemKind::Unavailable, Course::Later),
        ("", 504, ProblemKind::Unavailable, Course::Later),
        ("unauthorized", 403, ProblemKind::Validation, Course::Anew),
        ("dns", 400, ProblemKind::Validation, Course::Anew),
        ("connection", 400, ProblemKind::Validation, Course::Anew),
        ("incorrectResponse", 403, ProblemKind::Validation, Course::Anew),
        ("tls", 400, ProblemKind::Validation, Course::Anew),
        ("compound", 400, ProblemKind::Validation, Course::Anew),
        ("badNonce", 400, ProblemKind::Ca, Course::Again),
        ("orderNotReady", 403, ProblemKind::Ca, Course::Again),
        ("alreadyReplaced", 409, ProblemKind::Ca, Course::WithoutReplaces),
        ("alreadyRevoked", 400, ProblemKind::Ca, Course::Done),
        ("invalidProfile", 400, ProblemKind::Configuration, Course::LaterAndAlarm),
        ("accountDoesNotExist", 400, ProblemKind::Account, Course::LaterAndAlarm),
        ("externalAccountRequired", 403, ProblemKind::Account, Course::LaterAndAlarm),
        ("userActionRequired", 403, ProblemKind::Account, Course::LaterAndAlarm),
        ("malformed", 404, ProblemKind::Ca, Course::Anew),
        ("nobodyKnows", 400, ProblemKind::Ca, Course::Anew),
    ];

    #[test]
    fn every_problem_of_the_table_is_somebodys_fault_and_has_a_course() {
        for (kind, status, fault, course) in TABLE {
            let acme_type = if kind.is_empty() { String::new() } else { format!("{PREFIX}{kind}") };
            assert_eq!(judge(&acme_type, status), (fault, course), "{kind} {status}");
            let body = format!(r#"{{"type":"{acme_type}","detail":"because"}}"#);
            let problem = Problem::from_answer(status, body.as_bytes(), Some(7));
            assert_eq!((problem.kind, problem.course()), (fault, course), "{kind} {status}");
            assert_eq!((problem.detail.as_str(), problem.retry_after_secs), ("because", Some(7)));
        }
    }

    #[test]
    fn a_foreign_type_is_none_of_acme() {
        let (kind, course) = judge("https://example.org/badCSR", 400);
        assert_eq!((kind, course), (ProblemKind::Ca, Course::Anew));
    }

    #[test]
    fn hostile_text_is_cut_and_cleaned() {
        let hostile = "\u{1b}[31m\u{202e}\n".repeat(500);
        let problem = Problem::from_ca(&hostile, &hostile);
        assert!(problem.detail.chars().count() <= 500);
        assert!(problem.acme_type.chars().count() <= 256);
        let shown = problem.to_string();
        assert!(!shown.chars().any(|each| each.is_control() || each == '\u{202e}'), "{shown:?}");
    }

    #[test]
    fn subproblems_are_kept_and_bounded() {
        let sub = r#"{"type":"urn:ietf:params:acme:error:dns","detail":"none",
                      "identifier":{"type":"dns","value":"a.example"}}"#;
        let all = vec![sub; 40].join(",");
        let body = format!(r#"{{"type":"{PREFIX}compound","detail":"two","subproblems":[{all}]}}"#);
        let problem = Problem::from_answer(400, body.as_bytes(), None);
        assert_eq!(problem.subproblems.len(), 16);
        assert_eq!(problem.kind, ProblemKind::Validation);
        assert!(problem.to_string().starts_with("compound: two; a.example: dns: none"));
    }

    #[test]
    fn one_refused_identifier_refuses_a_compound_problem() {
        let body = format!(
            r#"{{"type":"{PREFIX}compound","detail":"two","subproblems":[
               {{"type":"{PREFIX}dns"}},{{"type":"{PREFIX}rejectedIdentifier"}}]}}"#
        );
        let problem = Problem::from_answer(400, body.as_bytes(), None);
        assert_eq!((problem.kind, problem.course()), (ProblemKind::Refused, Course::GiveUp));
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_told_by_its_status() {
        for body in [&b"<html>Bad Gateway</html>"[..], b"", b"[]", b"\xff\xfe", b"{\"type\":1}"] {
            let problem = Problem::from_answer(502, body, None);
            assert_eq!((problem.kind, problem.course()), (ProblemKind::Unavailable, Course::Later));
            assert!(problem.detail.starts_with("status 502 without a problem document"));
        }
    }

    #[test]
    fn what_was_kept_before_is_read_still() {
        let old = r#"{"kind":"validation","acme_type":"x","detail":"y"}"#;
        let problem: Problem = serde_json::from_str(old).unwrap();
        assert_eq!((problem.status, problem.retry_after_secs), (0, None));
        let new = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&new).unwrap(), problem);
    }
}

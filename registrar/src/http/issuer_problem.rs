//! What a device is told of a CA's problem: the table of errors. Pure.
//!
//! draft-ietf-acme-integrations §8 gives the CMC failInfo; the statuses are ours. A problem that passes is never an
//! answer: the device is told to come back (202) while the bridge tries again.

use acme_bridge::{Problem, ProblemKind};
use http::StatusCode;

/// RFC 5272 §6.1.4: what a CMC response would carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailInfo {
    /// badRequest (2).
    BadRequest,
    /// badIdentity (7).
    BadIdentity,
    /// internalCAError (11).
    InternalCaError,
    /// tryLater (12).
    TryLater,
}

/// An answer to a problem that ended an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// What a CMC response would carry.
    pub fail_info: FailInfo,
    /// Whether the CA's own words may be told.
    pub words: Words,
    /// When to try again, in seconds, where that may help.
    pub retry_after_secs: Option<u32>,
}

/// Whether the CA's own words may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// They are about what the device sent.
    Told,
    /// They are about us: the operator alone reads them.
    Kept,
}

/// When a device tries again after a failure of ours or the CA's, in seconds.
const FAILED_SECS: u32 = 60;
/// The longest that a device is told to wait, in seconds.
const LONGEST_SECS: u32 = 3600;

/// The answer to a problem that ended an enrollment.
#[must_use]
pub fn answer(problem: &Problem) -> Answer {
    let retry = Some(problem.retry_after_secs.unwrap_or(FAILED_SECS).clamp(5, LONGEST_SECS));
    let refused = |status, fail_info| Answer {
        status,
        fail_info,
        words: Words::Told,
        retry_after_secs: None,
    };
    let failed = |status, fail_info, retry_after_secs| Answer {
        status,
        fail_info,
        words: Words::Kept,
        retry_after_secs,
    };
    match (problem.kind, problem.word()) {
        (ProblemKind::Refused, "rejectedIdentifier" | "unsupportedIdentifier") => {
            refused(StatusCode::FORBIDDEN, FailInfo::BadIdentity)
        }
        (ProblemKind::Refused, "caa") => refused(StatusCode::FORBIDDEN, FailInfo::BadRequest),
        (ProblemKind::Refused, _) => refused(StatusCode::BAD_REQUEST, FailInfo::BadRequest),
        (ProblemKind::RateLimited, _) => {
            failed(StatusCode::SERVICE_UNAVAILABLE, FailInfo::TryLater, retry)
        }
        (ProblemKind::Unavailable | ProblemKind::Account, _) => {
            failed(StatusCode::SERVICE_UNAVAILABLE, FailInfo::InternalCaError, retry)
        }
        _ => failed(StatusCode::INTERNAL_SERVER_ERROR, FailInfo::InternalCaError, retry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table_has_its_answer() {
        use FailInfo::{BadIdentity, BadRequest, InternalCaError, TryLater};
        for (word, status, fail_info) in [
            ("badCSR", 400, BadRequest),
            ("badPublicKey", 400, BadRequest),
            ("caa", 403, BadRequest),
            ("rejectedIdentifier", 403, BadIdentity),
            ("unsupportedIdentifier", 403, BadIdentity),
            ("rateLimited", 503, TryLater),
            ("serverInternal", 503, InternalCaError),
            ("unauthorized", 500, InternalCaError),
            ("dns", 500, InternalCaError),
            ("connection", 500, InternalCaError),
            ("incorrectResponse", 500, InternalCaError),
            ("tls", 500, InternalCaError),
            ("compound", 500, InternalCaError),
            ("invalidProfile", 500, InternalCaError),
            ("accountDoesNotExist", 503, InternalCaError),
            ("externalAccountRequired", 503, InternalCaError),
            ("userActionRequired", 503, InternalCaError),
            ("nobodyKnows", 500, InternalCaError),
        ] {
            let problem = Problem::from_ca(&format!("urn:ietf:params:acme:error:{word}"), "x");
            let answer = answer(&problem);
            assert_eq!((answer.status.as_u16(), answer.fail_info), (status, fail_info), "{word}");
            assert_eq!(answer.words == Words::Told, status < 500, "{word}");
            assert_eq!(answer.retry_after_secs.is_some(), status >= 500, "{word}");
        }
    }

    #[test]
    fn what_the_ca_wants_to_be_waited_is_bounded() {
        let mut problem = Problem::from_ca("urn:ietf:params:acme:error:rateLimited", "x");
        for (asked, told) in [(Some(1), 5), (Some(120), 120), (Some(604_800), 3600), (None, 60)] {
            problem.retry_after_secs = asked;
            assert_eq!(answer(&problem).retry_after_secs, Some(told));
        }
    }
}

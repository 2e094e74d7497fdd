//! What any answer may be, whatever was asked.

use http::header::LOCATION;
use http::uri::Authority;
use http::{Response, StatusCode};
use rustls_pki_types::UnixTime;

use super::{Redirect, RetryAfter, reason};
use crate::authentication::Challenge;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<T> {
    /// Here it is.
    Done(T),
    /// Ask again, with the same key, after a time.
    Wait(RetryAfter),
    /// Prove yourself, in one of these ways; the same request then.
    Authenticate(Vec<Challenge>),
    /// The server does not offer this, or has nothing to say.
    NotAvailable,
    /// Ask elsewhere.
    Redirect(Redirect),
    /// No.
    Refused(Refused),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    reason: String,
    retry_after: Option<RetryAfter>,
}

impl Refused {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the server said: one line of at most 1000 characters, without control characters; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When the server says that it may be asked again, as it does where it is busy.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.retry_after
    }
}

/// What an answer means, unless it is the one hoped for: 200.
pub(super) fn unless_done<T, B: AsRef<[u8]>>(
    response: &Response<B>,
    server: &Authority,
    now: UnixTime,
) -> Option<Reply<T>> {
    let headers = response.headers();
    let retry_after = RetryAfter::of(headers, now);
    let refused =
        |reason| Reply::Refused(Refused { status: response.status(), reason, retry_after });
    match response.status() {
        StatusCode::OK => None,
        StatusCode::ACCEPTED => Some(Reply::Wait(retry_after.unwrap_or(RetryAfter::DEFAULT))),
        StatusCode::UNAUTHORIZED => match Challenge::all(headers) {
            challenges if challenges.is_empty() => {
                Some(refused(reason::read(headers, response.body().as_ref())))
            }
            challenges => Some(Reply::Authenticate(challenges)),
        },
        status if status.is_redirection() => {
            let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            Some(match location {
                Some(location) => Reply::Redirect(Redirect::read(location, server)),
                None => refused("the redirection leads nowhere".to_owned()),
            })
        }
        _ => Some(refused(reason::read(headers, response.body().as_ref()))),
    }
}

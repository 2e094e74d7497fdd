//! `/renewal-info`: when a certificate should be renewed (draft-ietf-lamps-est-renewal-info, after RFC 9773).
//!
//! The path names the certificate by a [`CertificateId`]; the answer is JSON around a [`Window`].
//! Unlike all other bodies of EST it is not in base64.
//! A server that knows no better window takes [`Window::of_validity`].

mod id;
mod window;

use http::Uri;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::id::{CertificateId, CertificateIdError};
pub use self::window::{Window, WindowError};

/// The longest answer that is read, in octets.
pub const ANSWER_OCTETS: usize = 16 * 1024;
/// The longest explanation URL, in octets.
const URL_OCTETS: usize = 2048;

/// Why an answer says nothing about renewal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenewalInfoError {
    /// It is longer than this library reads.
    #[error("the answer has {octets} octets, more than {ANSWER_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is not the JSON that belongs there.
    #[error("the answer is no renewal information")]
    Json(#[source] serde_json::Error),
    /// Its window is none.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The URL that is to explain it is not one for a browser.
    #[error("the explanation URL is not an http or https URL of at most {URL_OCTETS} octets")]
    ExplanationUrl,
}

/// When to renew a certificate, and perhaps where a person reads why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalInfo {
    window: Window,
    explanation_url: Option<String>,
}

impl RenewalInfo {
    /// Tells a window.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { window, explanation_url: None }
    }

    /// Adds the page that tells a person why. `url`: http or https, at most 2048 octets.
    ///
    /// # Errors
    /// [`RenewalInfoError::ExplanationUrl`].
    ///
    /// RFC 9773 §4.2.
    pub fn with_explanation_url(mut self, url: &str) -> Result<Self, RenewalInfoError> {
        let is_for_browsers = url.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if url.len() > URL_OCTETS || !is_for_browsers {
            return Err(RenewalInfoError::ExplanationUrl);
        }
        self.explanation_url = Some(url.to_owned());
        Ok(self)
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The page that tells a person why.
    #[must_use]
    pub fn explanation_url(&self) -> Option<&str> {
        self.explanation_url.as_deref()
    }

    /// Writes the body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let answer = Answer {
            suggested_window: SuggestedWindow {
                start: window::rfc3339(self.window.start()),
                end: window::rfc3339(self.window.end()),
            },
            explanation_url: self.explanation_url.clone(),
        };
        // Strings alone are written, which is always possible.
        serde_json::to_vec(&answer).unwrap_or_default()
    }

    /// Reads the body of an answer. What is unknown in it is passed over.
    ///
    /// # Errors
    /// [`RenewalInfoError`].
    pub fn from_json(body: &[u8]) -> Result<Self, RenewalInfoError> {
        if body.len() > ANSWER_OCTETS {
            return Err(RenewalInfoError::TooLong { octets: body.len() });
        }
        let answer: Answer = serde_json::from_slice(body).map_err(RenewalInfoError::Json)?;
        let start = window::unix_time(&answer.suggested_window.start)?;
        let end = window::unix_time(&answer.suggested_window.end)?;
        let info = Self::new(Window::new(start, end)?);
        match answer.explanation_url {
            Some(url) => info.with_explanation_url(&url),
            None => Ok(info),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Answer {
    #[serde(rename = "suggestedWindow")]
    suggested_window: SuggestedWindow,
    #[serde(rename = "explanationURL", default, skip_serializing_if = "Option::is_none")]
    explanation_url: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SuggestedWindow {
    start: String,
    end: String,
}

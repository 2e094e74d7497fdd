//! What an EST server's answer means to a client (RFC 7030 §4.2.3).

use rustls_pki_types::CertificateDer;

use crate::{certs_only, transfer};

/// The longest wait that a client takes on, in seconds.
const LONGEST_WAIT_SECS: u32 = 24 * 3600;
/// The wait where a server names none that can be read.
const DEFAULT_WAIT_SECS: u32 = 60;
/// The longest reason that is kept, in characters.
const REASON_CHARACTERS: usize = 1000;

/// What an enrollment request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The certificates that were sent, the device's own first.
    Issued(Vec<CertificateDer<'static>>),
    /// Ask again after so many seconds, with the same key.
    Pending {
        /// Seconds.
        retry_after_secs: u32,
    },
    /// No.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        reason: String,
    },
}

impl Outcome {
    /// Reads an answer. `retry_after`: the header's value, empty if there was none.
    #[must_use]
    pub fn of(status: u16, retry_after: &str, body: &[u8]) -> Self {
        let refused = |reason: String| Self::Refused { status, reason };
        match status {
            200 => {
                let certificates = transfer::decode(body)
                    .map_err(|error| error.to_string())
                    .and_then(|der| certs_only::decode(&der).map_err(|error| error.to_string()));
                match certificates {
                    Ok(certificates) if !certificates.is_empty() => Self::Issued(certificates),
                    Ok(_) => refused("the answer holds no certificate".to_owned()),
                    Err(reason) => refused(reason),
                }
            }
            202 => {
                let seconds = retry_after.trim().parse().unwrap_or(DEFAULT_WAIT_SECS);
                Self::Pending { retry_after_secs: seconds.min(LONGEST_WAIT_SECS) }
            }
            _ => {
                let text = String::from_utf8_lossy(body);
                refused(text.trim().chars().take(REASON_CHARACTERS).collect())
            }
        }
    }
}

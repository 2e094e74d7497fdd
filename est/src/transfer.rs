//! Base64 around every EST body (RFC 8951 §3), as read from anyone and written for everyone.
//!
//! Clients in the field contradict each other: one chokes on a line break, another on a line above 1000 characters.
//! So an answer is one line with a line feed, except for clients that fold their own requests.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

/// The longest body that is decoded, in octets.
pub const BODY_OCTETS: usize = 64 * 1024;
/// Up to here one line suits everybody.
const LINE_CHARACTERS: usize = 1000;
const FOLD: usize = 64;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a body is no base64 of DER.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It is empty.
    #[error("the body is empty")]
    Empty,
    /// It is longer than this library reads.
    #[error("the body has {octets} octets, more than {BODY_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is neither base64 nor DER.
    #[error("the body is neither base64 nor DER")]
    NotBase64,
}

/// Takes the base64 off a body: folded or not, with PEM's armour or without; plain DER passes as it is.
///
/// # Errors
/// [`TransferError`].
pub fn decode(body: &[u8]) -> Result<Vec<u8>, TransferError> {
    if body.len() > BODY_OCTETS {
        return Err(TransferError::TooLong { octets: body.len() });
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(TransferError::Empty);
    }
    // '0' is 0x30 and begins base64 of another thing than a SEQUENCE, so the second octet decides with it.
    if let Ok(text) = std::str::from_utf8(body)
        && let Some(octets) = decode_text(text)
    {
        return Ok(octets);
    }
    match body.first() {
        Some(0x30) => Ok(body.to_vec()),
        _ => Err(TransferError::NotBase64),
    }
}

fn decode_text(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::chars)
        .filter(|each| !each.is_ascii_whitespace())
        .collect();
    LENIENT.decode(text).ok()
}

/// Whether an answer is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// One line.
    Never,
    /// Lines of 64 characters where one line would be long.
    WhenLong,
}

impl Folding {
    /// What suits a client that sent this body (empty for a GET) and calls itself so.
    #[must_use]
    pub fn for_client(request_body: &[u8], user_agent: &str) -> Self {
        let trimmed = request_body.trim_ascii();
        if trimmed.contains(&b'\n') || user_agent.starts_with("libest") {
            Self::WhenLong
        } else {
            Self::Never
        }
    }
}

/// Puts base64 around DER, with one line feed at the end.
#[must_use]
pub fn encode(der: &[u8], folding: Folding) -> String {
    let mut text = STANDARD.encode(der);
    if folding == Folding::WhenLong && text.len() > LINE_CHARACTERS {
        let lines: Vec<&[u8]> = text.as_bytes().chunks(FOLD).collect();
        text = String::from_utf8_lossy(&lines.join(&b'\n')).into_owned();
    }
    text.push('\n');
    text
}

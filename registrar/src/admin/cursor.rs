//! Where the next page begins, as opaque text: base64url of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest cursor that is read, in octets.
const CURSOR_OCTETS: usize = 2048;

/// A place as text.
#[must_use]
pub fn encode(place: &impl Serialize) -> String {
    // A place is made of texts and numbers, which always become JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// The place of a text that [`encode`] made.
///
/// # Errors
/// A problem if it is anything else.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let octets = (text.len() <= CURSOR_OCTETS).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
    octets.and_then(|octets| serde_json::from_slice(&octets).ok()).ok_or_else(|| {
        Problem::invalid(
            "'after' is no cursor of this list",
            "give what 'next' of the page before says, or leave it out to begin",
        )
    })
}

//! Clients without a certificate: a credential by HTTP Basic (RFC 7030 §3.2.3, RFC 7617).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::flow::gate;
use crate::flow::peer::PeerIdentity;
use crate::flow::refusal::Refusal;
use crate::http::app::{App, Arrival};
use crate::store::model::Sha256;

/// The longest name and secret that are read, in octets.
const PAIR_OCTETS: usize = 512;
/// The longest name of a credential: one DNS label.
const NAME_OCTETS: usize = 63;
/// When somebody who failed too often may try again, in seconds.
const RETRY_SECS: u32 = 60;

/// A name at an address, which may fail so often and no more.
pub type Attempt = (String, IpAddr);

/// Judges the credential of a client whose session says nothing of use; every other one stays what it is.
///
/// # Errors
/// [`Refusal::CredentialRefused`], [`Refusal::TooManyAttempts`].
pub(super) async fn recognise(
    app: &App,
    arrival: &Arrival,
    address: IpAddr,
    headers: &HeaderMap,
) -> Result<Arrival, Refusal> {
    let is_open = matches!(arrival.identity, PeerIdentity::None | PeerIdentity::Unknown { .. });
    let Some(value) = headers.get(AUTHORIZATION).filter(|_| is_open) else {
        return Ok(arrival.clone());
    };
    let refused = |reason: &str| Refusal::CredentialRefused { reason: reason.to_owned() };
    let (name, secret) = value
        .to_str()
        .ok()
        .and_then(pair)
        .ok_or_else(|| refused("the Authorization header is no name and secret by Basic"))?;
    let now = arrival.visit.now;
    // Names of the length that none has are one name, so that they cannot fill the memory.
    let attempt = (name.chars().take(NAME_OCTETS + 1).collect::<String>(), address);
    if app.attempts.is_barred(&attempt, now) {
        return Err(Refusal::TooManyAttempts { retry_after_secs: RETRY_SECS });
    }
    let stored = app.store.credential(&name).await?;
    match gate::authenticate(&name, &Sha256::of(secret.as_bytes()), stored, now) {
        Err(refusal) => {
            app.attempts.failed(attempt, now);
            Err(refusal)
        }
        Ok(credential) => {
            let device = app.store.device_by_credential(&name).await?;
            let mut arrival = arrival.clone();
            arrival.identity = PeerIdentity::Credential {
                credential: Box::new(credential),
                device: device.map(Box::new),
            };
            arrival.visit.peer = format!("{address} {}", arrival.identity.describe());
            Ok(arrival)
        }
    }
}

/// The user name, in lower case as credentials are, and the secret.
fn pair(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > PAIR_OCTETS {
        return None;
    }
    let octets = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(octets).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_ascii_lowercase(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_and_secret() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let read = |value: &str| pair(value);
        assert_eq!(read(&basic("Printer:a:b")), Some(("printer".into(), "a:b".into())));
        assert_eq!(read(&basic(":x")), Some((String::new(), "x".into())));
        for value in
            ["", "Basic", "Basic !", "Bearer abc", &basic("no colon"), &basic(&"x:".repeat(400))]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }
}

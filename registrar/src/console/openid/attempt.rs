//! One attempt to log in elsewhere: a secret in a cookie, from which all that the provider is shown is derived.
//!
//! So an attempt belongs to one browser, and nothing is kept here for people who never come back.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::console::login::inside;
use crate::entropy::random_bytes;
use crate::store::model::hex;

/// The cookie: for this host alone, over TLS alone.
pub(super) const COOKIE_NAME: &str = "__Host-registrar-openid";
/// How long somebody may take to log in at the provider, in seconds.
const LIFE_SECS: u32 = 600;
/// The octets of the secret.
const SECRET_OCTETS: usize = 32;
/// The longest page to go to that is remembered, in octets.
const NEXT_OCTETS: usize = 1024;

/// One attempt.
pub(super) struct Attempt {
    secret: [u8; SECRET_OCTETS],
    next: String,
}

impl Attempt {
    /// Begins one. `next`: the page to go to then.
    pub(super) fn begin(next: &str) -> Self {
        let next = inside(Some(next).filter(|next| next.len() <= NEXT_OCTETS));
        Self { secret: random_bytes(), next: next.to_owned() }
    }

    /// The attempt whose cookie has this value.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (secret, next) = value.split_once('.')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        Some(Self { secret, next: inside(Some(&next)).to_owned() })
    }

    /// The header that gives the browser the cookie.
    pub(super) fn cookie(&self) -> String {
        let value = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(self.secret),
            URL_SAFE_NO_PAD.encode(&self.next)
        );
        let flags = "Path=/; Secure; HttpOnly; SameSite=Strict";
        format!("{COOKIE_NAME}={value}; {flags}; Max-Age={LIFE_SECS}")
    }

    /// The header that takes it away again.
    pub(super) fn no_cookie() -> String {
        format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// The page to go to then.
    pub(super) fn next(&self) -> &str {
        &self.next
    }

    /// What the provider sends back with the browser (RFC 6749 §10.12).
    pub(super) fn state(&self) -> String {
        self.derived("state")
    }

    /// What the ID token repeats.
    pub(super) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// What PKCE proves the knowledge of: 64 characters (RFC 7636 §4.1).
    pub(super) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// Whether this attempt was sent out with this state.
    pub(super) fn is_of(&self, state: &str) -> bool {
        verify_slices_are_equal(self.state().as_bytes(), state.as_bytes()).is_ok()
    }

    fn derived(&self, purpose: &str) -> String {
        hex(sign(&Key::new(HMAC_SHA256, &self.secret), purpose.as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(attempt: &Attempt) -> String {
        let cookie = attempt.cookie();
        let (_, rest) = cookie.split_once('=').unwrap();
        rest.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_leads_back_to_its_attempt_and_no_other_does() {
        let (mine, other) = (Attempt::begin("/console/devices?text=ü"), Attempt::begin(""));
        let again = Attempt::parse(&value(&mine)).unwrap();
        assert!(again.is_of(&mine.state()));
        assert!(!other.is_of(&mine.state()) && !again.is_of("") && !again.is_of(&mine.nonce()));
        assert_eq!((again.nonce(), again.verifier()), (mine.nonce(), mine.verifier()));
        assert_eq!(mine.verifier().len(), 64);
    }

    #[test]
    fn nobody_is_led_elsewhere_and_what_is_no_cookie_of_ours_is_none() {
        let kept = Attempt::begin("/console/devices?text=a");
        assert_eq!(Attempt::parse(&value(&kept)).unwrap().next(), "/console/devices?text=a");
        let long = format!("/console/devices?text={}", "a".repeat(NEXT_OCTETS));
        for next in ["https://elsewhere.example", "//elsewhere", "/console/login", &long] {
            assert_eq!(Attempt::begin(next).next(), "/console/now", "{next}");
        }
        let secret = URL_SAFE_NO_PAD.encode([7; SECRET_OCTETS]);
        let away = format!("{secret}.{}", URL_SAFE_NO_PAD.encode("https://elsewhere.example"));
        assert_eq!(Attempt::parse(&away).unwrap().next(), "/console/now");
        let short = URL_SAFE_NO_PAD.encode([7; SECRET_OCTETS - 1]);
        for value in ["", ".", &secret, &format!("{short}."), &format!("{secret}.!")] {
            assert!(Attempt::parse(value).is_none(), "{value}");
        }
    }
}

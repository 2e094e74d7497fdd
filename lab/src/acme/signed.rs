//! Requests as ACME signs them (RFC 8555 §6.2): JWS with ES256, a nonce used once, the URL that was asked.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{CaLie, Shared};

/// Who asks, and what.
pub(super) struct Signed {
    /// The public key, if it was sent along.
    pub(super) key: Option<Vec<u8>>,
    /// What is asked; null for POST-as-GET.
    pub(super) payload: Value,
}

/// The problem that ACME has for it, and words.
pub(super) type Refusal = (&'static str, String);

fn malformed(error: impl std::fmt::Display) -> Refusal {
    ("malformed", error.to_string())
}

fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(malformed)
}

fn member<'a>(value: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    let member = value.get(name).and_then(Value::as_str);
    member.ok_or_else(|| malformed(format!("{name} is missing")))
}

impl Shared {
    /// Checks a request and gives what it says.
    pub(super) fn signed(&self, path: &str, body: &[u8]) -> Result<Signed, Refusal> {
        let jws: Value = serde_json::from_slice(body).map_err(malformed)?;
        let (protected, payload) = (member(&jws, "protected")?, member(&jws, "payload")?);
        let header: Value = serde_json::from_slice(&decode(protected)?).map_err(malformed)?;
        if member(&header, "url")? != format!("{}{path}", self.base) {
            return Err(malformed("another URL was signed"));
        }
        if member(&header, "alg")? != "ES256" {
            return Err(("badSignatureAlgorithm", "ES256 alone is taken".to_owned()));
        }
        let is_fresh = self.state().nonces.remove(member(&header, "nonce")?);
        if !is_fresh || self.tells(CaLie::NoNonce) {
            return Err(("badNonce", "the nonce is not fresh".to_owned()));
        }
        let own = match header.get("jwk") {
            Some(jwk) => {
                let coordinate = |name: &str| decode(member(jwk, name)?);
                Some([vec![4], coordinate("x")?, coordinate("y")?].concat())
            }
            None => None,
        };
        let key = match &own {
            Some(key) => key.clone(),
            None => self.account(member(&header, "kid")?)?,
        };
        let signature = decode(member(&jws, "signature")?)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(format!("{protected}.{payload}").as_bytes(), &signature)
            .map_err(|_| malformed("the signature does not hold"))?;
        let payload = match payload {
            "" => Value::Null,
            other => serde_json::from_slice(&decode(other)?).map_err(malformed)?,
        };
        self.state().asked.push((path.to_owned(), payload.clone()));
        Ok(Signed { key: own, payload })
    }

    /// The key of an account, by its URL.
    fn account(&self, url: &str) -> Result<Vec<u8>, Refusal> {
        let number = url.strip_prefix(&format!("{}/account/", self.base));
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        let state = self.state();
        let account = number.and_then(|number| state.accounts.get(&number));
        let key = account.map(|account| account.key.clone());
        key.ok_or_else(|| ("accountDoesNotExist", "nobody has it".to_owned()))
    }
}

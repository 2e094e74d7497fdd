//! Requests signed with the account's key that the ACME library does not make: accounts bound to others, a change of
//! key that survives a crash, authorizations of whole subdomains, alternate chains.
//!
//! Each is made only where the CA's directory offers it. RFC 8555 §6, RFC 9444.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::client::AcmeError;
use crate::http_client::{AcmeHttp, Answer};

mod account;
pub(crate) mod directory;
pub(crate) mod key;
pub(crate) mod nonces;
mod orders;

pub use self::account::ExternalAccountError;
pub use self::directory::Offer;
pub use self::key::AccountKeyError;
pub use self::orders::RevocationReason;

pub(crate) use self::account::{AccountView, ExternalAccount};
pub(crate) use self::directory::Directory;
pub(crate) use self::key::{AccountKey, KeyFiles};
pub(crate) use self::orders::{Authorization, BelowTerms};

/// How often a request is signed again because the CA did not take its nonce.
const NONCE_ATTEMPTS: u32 = 6;

/// What a request carries.
#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    /// Nothing: POST-as-GET (RFC 8555 §6.3).
    Read,
    /// JSON.
    Json(&'a Value),
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
enum SignedBy<'a> {
    /// The account, by its URL.
    Account(&'a str),
    /// The key itself, before there is an account.
    Key,
}

/// A key at a CA.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) http: AcmeHttp,
    pub(crate) directory: Arc<Directory>,
    pub(crate) key: Arc<AccountKey>,
}

impl Signed {
    /// The same CA with another key.
    fn with_key(&self, key: Arc<AccountKey>) -> Self {
        Self { key, ..self.clone() }
    }

    async fn post(
        &self,
        url: &str,
        by: SignedBy<'_>,
        payload: Payload<'_>,
    ) -> Result<Answer, AcmeError> {
        let mut attempt = 1;
        loop {
            let nonce = self.http.nonce(&self.directory.new_nonce).await?;
            let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
            self.name_signer(&mut protected, by);
            let jws = self.key.jws(&protected, payload)?;
            match self.http.post(url, jws.to_string().into_bytes()).await {
                Err(AcmeError::Problem(problem))
                    if problem.word() == "badNonce" && attempt < NONCE_ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    fn name_signer(&self, protected: &mut Value, by: SignedBy<'_>) {
        if let Some(members) = protected.as_object_mut() {
            match by {
                SignedBy::Account(url) => members.insert("kid".to_owned(), url.into()),
                SignedBy::Key => members.insert("jwk".to_owned(), self.key.jwk()),
            };
        }
    }
}

impl AccountKey {
    /// A flattened JWS (RFC 7515 §7.2.2).
    fn jws(&self, protected: &Value, payload: Payload<'_>) -> Result<Value, AcmeError> {
        let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
        let payload = match payload {
            Payload::Read => String::new(),
            Payload::Json(value) => URL_SAFE_NO_PAD.encode(value.to_string()),
        };
        let signature = self
            .sign(format!("{protected}.{payload}").as_bytes())
            .ok_or_else(|| AcmeError::Local("the account's key does not sign".to_owned()))?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
    }
}

/// Reads JSON of an answer.
fn read<T: serde::de::DeserializeOwned>(
    answer: &Answer,
    what: &'static str,
) -> Result<T, AcmeError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| AcmeError::Malformed { what, reason: error.to_string() })
}

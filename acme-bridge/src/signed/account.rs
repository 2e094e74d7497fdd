//! Accounts: found, made, shown, ended, and given another key (RFC 8555 §7.3).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::key::read_secret;
use super::{AccountKey, AccountKeyError, Payload, Signed, SignedBy, read};
use crate::client::AcmeError;
use crate::http_client::Answer;
use crate::problem::Problem;
use crate::store::ContactsTold;

/// The fewest octets that a key of an external account may have.
const EAB_KEY_OCTETS: usize = 16;

/// An account as the CA shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountView {
    /// `valid`, `deactivated` or `revoked`.
    pub(crate) status: String,
    /// How the CA reaches its owner.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
}

/// What binds an account to one that the CA knows by other means (RFC 8555 §7.3.4).
pub(crate) struct ExternalAccount {
    id: String,
    key: hmac::Key,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why the file of an external account cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExternalAccountError {
    /// The file cannot be read, or others may read it.
    #[error(transparent)]
    File(#[from] AccountKeyError),
    /// It is not there.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// It does not hold what it should.
    #[error(
        "{} must hold two lines: the key identifier, and the key in base64url, both from the CA: {reason}",
        .path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ExternalAccount {
    /// Reads the file of an external account: two lines, the key identifier and the key in base64url, mode 0600.
    ///
    /// # Errors
    /// [`ExternalAccountError`], which never repeats what the file holds.
    pub(crate) fn load(path: &Path) -> Result<Self, ExternalAccountError> {
        let content =
            read_secret(path)?.ok_or_else(|| ExternalAccountError::Missing(path.to_owned()))?;
        let unusable = |reason| ExternalAccountError::Content { path: path.to_owned(), reason };
        let text = String::from_utf8(content).map_err(|_| unusable("it is no text"))?;
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(id), Some(key), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(unusable("there are not two lines"));
        };
        let key = match key.contains('=') {
            true => URL_SAFE.decode(key),
            false => URL_SAFE_NO_PAD.decode(key),
        };
        let key = key.map_err(|_| unusable("the key is no base64url"))?;
        if key.len() < EAB_KEY_OCTETS {
            return Err(unusable("the key is shorter than 16 octets"));
        }
        Ok(Self { id: id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    /// A JWS over the account's key: HS256, without a nonce.
    fn bind(&self, url: &str, account_key: &AccountKey) -> Value {
        let protected = json!({"alg": "HS256", "kid": self.id, "url": url}).to_string();
        let protected = URL_SAFE_NO_PAD.encode(protected);
        let payload = URL_SAFE_NO_PAD.encode(account_key.jwk().to_string());
        let tag = hmac::sign(&self.key, format!("{protected}.{payload}").as_bytes());
        json!({
            "protected": protected,
            "payload": payload,
            "signature": URL_SAFE_NO_PAD.encode(tag.as_ref()),
        })
    }
}

impl Signed {
    /// Finds the account of the key at the CA, or makes it, agreeing to the CA's terms of service; gives its URL, and
    /// what the CA was told of its owner.
    ///
    /// A key that has an account gets that one (RFC 8555 §7.3.1), so a crash between this and writing it down is
    /// harmless. An account whose contacts are refused is made without them: it orders as well, and its owner is told.
    pub(crate) async fn create_account(
        &self,
        external: Option<&ExternalAccount>,
        contacts: &[String],
    ) -> Result<(String, ContactsTold), AcmeError> {
        // One that is there needs no binding again, which a CA may take once only.
        if let Some(url) = self.find_account().await? {
            return Ok((url, ContactsTold::default()));
        }
        let refused = match self.new_account(external, contacts).await {
            Err(AcmeError::Problem(problem))
                if !contacts.is_empty() && may_be_about_contacts(&problem) =>
            {
                problem
            }
            answer => return self.made(&answer?, contacts, None),
        };
        match self.new_account(external, &[]).await {
            // It was not the contacts alone.
            Err(AcmeError::Problem(_)) => Err(AcmeError::Problem(refused)),
            answer => self.made(&answer?, contacts, Some(refused.to_string())),
        }
    }

    /// What came of making an account with these contacts, or without them after their refusal.
    fn made(
        &self,
        answer: &Answer,
        contacts: &[String],
        refusal: Option<String>,
    ) -> Result<(String, ContactsTold), AcmeError> {
        let url = self.account_url(answer.location()?)?;
        // If another node was quicker, what was sent was ignored (RFC 8555 §7.3.1).
        let told = match answer.status {
            StatusCode::CREATED => ContactsTold { urls: contacts.to_vec(), refusal },
            _ => ContactsTold::default(),
        };
        Ok((url, told))
    }

    async fn new_account(
        &self,
        external: Option<&ExternalAccount>,
        contacts: &[String],
    ) -> Result<Answer, AcmeError> {
        let url = &self.directory.new_account;
        let mut payload = json!({"termsOfServiceAgreed": true});
        if let Some(members) = payload.as_object_mut()
            && !contacts.is_empty()
        {
            members.insert("contact".to_owned(), contacts.into());
        }
        match external {
            Some(external) => {
                let binding = external.bind(url, &self.key);
                if let Some(members) = payload.as_object_mut() {
                    members.insert("externalAccountBinding".to_owned(), binding);
                }
            }
            None if self.directory.meta.external_account_required => {
                return Err(AcmeError::Local(
                    "the CA needs an external account (eab_file), and there is none".to_owned(),
                ));
            }
            None => {}
        }
        self.post(url, SignedBy::Key, Payload::Json(&payload)).await
    }

    /// The URL of the key's account, if it has one.
    pub(crate) async fn find_account(&self) -> Result<Option<String>, AcmeError> {
        let payload = json!({"onlyReturnExisting": true});
        let url = &self.directory.new_account;
        match self.post(url, SignedBy::Key, Payload::Json(&payload)).await {
            Ok(answer) => self.account_url(answer.location()?).map(Some),
            Err(AcmeError::Problem(problem)) if problem.word() == "accountDoesNotExist" => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn account_url(&self, url: &str) -> Result<String, AcmeError> {
        self.http.check_origin(url)?;
        Ok(url.to_owned())
    }

    /// Reads an account.
    pub(crate) async fn account(&self, url: &str) -> Result<AccountView, AcmeError> {
        read(&self.post(url, SignedBy::Account(url), Payload::Read).await?, "account")
    }

    /// Tells the CA how to reach the owner of an account, in the place of what it knew (RFC 8555 §7.3.2).
    pub(crate) async fn change_contacts(
        &self,
        url: &str,
        contacts: &[String],
    ) -> Result<(), AcmeError> {
        let payload = json!({"contact": contacts});
        self.post(url, SignedBy::Account(url), Payload::Json(&payload)).await?;
        Ok(())
    }

    /// Ends an account; its key can do nothing any more (RFC 8555 §7.3.6).
    pub(crate) async fn deactivate(&self, url: &str) -> Result<AccountView, AcmeError> {
        let payload = json!({"status": "deactivated"});
        read(&self.post(url, SignedBy::Account(url), Payload::Json(&payload)).await?, "account")
    }

    /// Gives an account another key, which its owner has written down already (RFC 8555 §7.3.5).
    pub(crate) async fn change_key(
        &self,
        account: &str,
        next: Arc<AccountKey>,
    ) -> Result<(), AcmeError> {
        let url = self.directory.key_change.as_deref();
        let url = url.ok_or(AcmeError::Unsupported("keyChange"))?;
        let next = self.with_key(next);
        let mut protected = json!({"alg": "ES256", "url": url});
        next.name_signer(&mut protected, SignedBy::Key);
        let payload = json!({"account": account, "oldKey": self.key.jwk()});
        let inner = next.key.jws(&protected, Payload::Json(&payload))?;
        self.post(url, SignedBy::Account(account), Payload::Json(&inner)).await?;
        Ok(())
    }
}

/// Whether a CA may have refused an account for its contacts (RFC 8555 §7.3); some call too many of them malformed.
fn may_be_about_contacts(problem: &Problem) -> bool {
    matches!(problem.word(), "unsupportedContact" | "invalidContact" | "malformed")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eab");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn an_external_account_is_two_lines_of_a_file_that_nobody_else_reads() {
        let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
        for content in [format!("kid-1\n{key}\n"), format!("# from the CA\n\nkid-1\n  {key}")] {
            let (_folder, path) = file(&content, 0o600);
            let account = ExternalAccount::load(&path).unwrap();
            assert_eq!(account.id, "kid-1");
            assert!(!format!("{account:?}").contains(key));
        }
        for (content, mode) in [
            ("kid-1", 0o600),
            ("kid-1\nAAAA\n", 0o600),
            ("kid-1\nnot base64\n", 0o600),
            ("kid-1\nAAAAAAAAAAAAAAAAAAAAAAAA\nmore\n", 0o600),
            ("", 0o600),
            ("kid-1\nAAAAAAAAAAAAAAAAAAAAAAAA\n", 0o640),
        ] {
            let (_folder, path) = file(content, mode);
            let error = ExternalAccount::load(&path).unwrap_err().to_string();
            assert!(!error.contains("AAAA"), "{error}");
        }
        assert!(matches!(
            ExternalAccount::load(Path::new("/nonexistent/eab")),
            Err(ExternalAccountError::Missing(_))
        ));
    }

    /// RFC 7638 §3.1 has an RSA key; this one is made, and its thumbprint computed from the text of the RFC's rule.
    #[test]
    fn a_thumbprint_is_over_the_members_in_their_order() {
        let key = AccountKey::generate().unwrap();
        let jwk = key.jwk();
        let member = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap().to_owned();
        let text =
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, member("x"), member("y"));
        assert_eq!(jwk.to_string(), text);
        assert_eq!(member("x").len(), 43);
    }
}

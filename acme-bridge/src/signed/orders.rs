//! Orders and authorizations beyond the ACME library: subdomains (RFC 9444), alternate chains, revocation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Payload, Signed, SignedBy, read};
use crate::client::AcmeError;

/// How many alternate chains are fetched.
const ALTERNATES: usize = 4;

/// Why a certificate is revoked (RFC 5280 §5.3.1); those that a CA takes from a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// The device's key is known to others.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// The device is out of service.
    CessationOfOperation,
}

impl RevocationReason {
    /// The reason's number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }

    /// The reason's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
        }
    }

    /// Reads [`RevocationReason::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Unspecified, Self::KeyCompromise, Self::Superseded, Self::CessationOfOperation]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}

/// A chain as downloaded, and where the CA has others for the same certificate.
#[derive(Debug)]
pub(crate) struct Download {
    /// PEM.
    pub(crate) pem: String,
    /// URLs (RFC 8555 §7.4.2).
    pub(crate) alternates: Vec<String>,
}

/// What an order is for, beside its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BelowTerms<'a> {
    pub(crate) ancestor: &'a str,
    pub(crate) profile: Option<&'a str>,
    pub(crate) replaces: Option<&'a str>,
}

/// An authorization as the CA shows it (RFC 8555 §7.1.4).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) challenges: Vec<ListedChallenge>,
}

/// A challenge of an authorization.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ListedChallenge {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) error: Option<Value>,
}

impl Signed {
    /// Orders names below an ancestor for which one challenge stands for all (RFC 9444 §4.2); gives the order's URL.
    pub(crate) async fn new_order_below(
        &self,
        account: &str,
        names: &[String],
        terms: BelowTerms<'_>,
    ) -> Result<String, AcmeError> {
        if !self.directory.meta.subdomain_auth_allowed {
            return Err(AcmeError::Unsupported("subdomainAuthAllowed"));
        }
        let identifiers: Vec<Value> = names
            .iter()
            .map(|name| {
                if is_below(name, terms.ancestor) {
                    json!({"type": "dns", "value": name, "ancestorDomain": terms.ancestor})
                } else {
                    json!({"type": "dns", "value": name})
                }
            })
            .collect();
        let mut payload = json!({"identifiers": identifiers});
        if let Some(members) = payload.as_object_mut() {
            if let Some(profile) = terms.profile {
                members.insert("profile".to_owned(), profile.into());
            }
            if let Some(replaces) = terms.replaces {
                members.insert("replaces".to_owned(), replaces.into());
            }
        }
        let by = SignedBy::Account(account);
        let answer = self.post(&self.directory.new_order, by, Payload::Json(&payload)).await?;
        let url = answer.location()?;
        self.http.check_origin(url)?;
        Ok(url.to_owned())
    }

    /// Asks to authorize a domain and all below it before anybody orders (RFC 8555 §7.4.1, RFC 9444 §4.1);
    /// gives the authorization's URL.
    pub(crate) async fn new_authorization(
        &self,
        account: &str,
        domain: &str,
    ) -> Result<(String, Authorization), AcmeError> {
        let url = self.directory.new_authz.as_deref();
        let url = url.ok_or(AcmeError::Unsupported("newAuthz"))?;
        if !self.directory.meta.subdomain_auth_allowed {
            return Err(AcmeError::Unsupported("subdomainAuthAllowed"));
        }
        let identifier = json!({"type": "dns", "value": domain, "subdomainAuthAllowed": true});
        let payload = json!({"identifier": identifier});
        let answer = self.post(url, SignedBy::Account(account), Payload::Json(&payload)).await?;
        let location = answer.location()?;
        self.http.check_origin(location)?;
        Ok((location.to_owned(), read(&answer, "authorization")?))
    }

    /// Reads an authorization.
    pub(crate) async fn authorization(
        &self,
        account: &str,
        url: &str,
    ) -> Result<Authorization, AcmeError> {
        read(&self.post(url, SignedBy::Account(account), Payload::Read).await?, "authorization")
    }

    /// Tells the CA that the answer to a challenge is out (RFC 8555 §7.5.1).
    pub(crate) async fn accept(&self, account: &str, url: &str) -> Result<(), AcmeError> {
        self.post(url, SignedBy::Account(account), Payload::Json(&json!({}))).await?;
        Ok(())
    }

    /// Fetches a chain, and learns where its alternates are.
    pub(crate) async fn download(&self, account: &str, url: &str) -> Result<Download, AcmeError> {
        let answer = self.post(url, SignedBy::Account(account), Payload::Read).await?;
        let mut alternates = answer.links("alternate");
        alternates.truncate(ALTERNATES);
        let pem = String::from_utf8(answer.body.to_vec()).map_err(|_| AcmeError::Malformed {
            what: "certificate chain",
            reason: "it is no text".to_owned(),
        })?;
        Ok(Download { pem, alternates })
    }

    /// Revokes a certificate that this account ordered (RFC 8555 §7.6); one that is revoked already stays so.
    pub(crate) async fn revoke(
        &self,
        account: &str,
        certificate: &CertificateDer<'_>,
        reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        let url = self.directory.revoke_cert.as_deref();
        let url = url.ok_or(AcmeError::Unsupported("revokeCert"))?;
        let certificate = URL_SAFE_NO_PAD.encode(certificate);
        let payload = json!({"certificate": certificate, "reason": reason.code()});
        match self.post(url, SignedBy::Account(account), Payload::Json(&payload)).await {
            Err(AcmeError::Problem(problem)) if problem.word() == "alreadyRevoked" => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// Whether a name is a subdomain of another: by whole labels, and not the same (RFC 9444 §8.2).
fn is_below(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_ends_with_whole_labels() {
        assert!(is_below("dev.iot.example.org", "iot.example.org"));
        for other in ["eviliot.example.org", "iot.example.org", ".iot.example.org", "example.org"] {
            assert!(!is_below(other, "iot.example.org"), "{other}");
        }
    }
}

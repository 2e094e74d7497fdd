//! The questions that a CA asks to see that a name is ours, and what answers each.
//!
//! dns-01 and http-01: RFC 8555 §8.3, §8.4. tls-alpn-01: RFC 8737. dns-account-01: draft-ietf-acme-dns-account-label.
//! dns-persist-01: draft-ietf-acme-dns-persist.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::answer::AnswerKind;

/// A way to prove a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChallengeType {
    /// A TXT record at `_acme-challenge.<name>`.
    Dns01,
    /// A file under `http://<name>/.well-known/acme-challenge/`.
    Http01,
    /// A certificate at port 443 of the name.
    TlsAlpn01,
    /// A TXT record at a name of the account, below `_acme-challenge.<name>`.
    DnsAccount01,
    /// A lasting TXT record at `_validation-persist.<name>`.
    DnsPersist01,
}

impl ChallengeType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Dns01, Self::Http01, Self::TlsAlpn01, Self::DnsAccount01, Self::DnsPersist01];

    /// The word that ACME has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::DnsAccount01 => "dns-account-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }

    /// The type that this word stands for, if it is a known one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == word)
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A token and the account's thumbprint: `TOKEN.THUMBPRINT` (RFC 8555 §8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// Takes a key authorization, if its token is what RFC 8555 §8.3 allows: base64url and nothing else.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|each| each.is_ascii_alphanumeric() || b"-_".contains(&each))
        };
        let (token, thumbprint) = text.split_once('.')?;
        (is_part(token) && is_part(thumbprint)).then_some(Self(text))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The token: what stands before the dot.
    #[must_use]
    pub fn token(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// SHA-256 of the whole text.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// The digest as TXT records carry it (RFC 8555 §8.4).
    #[must_use]
    pub fn txt_value(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.digest())
    }
}

/// A challenge with everything that its answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// dns-01.
    Dns01 {
        /// Its digest is the value of the TXT record.
        authorization: KeyAuthorization,
    },
    /// http-01.
    Http01 {
        /// The file's name is its token, and the file's content the whole of it.
        authorization: KeyAuthorization,
    },
    /// tls-alpn-01.
    TlsAlpn01 {
        /// Its digest stands in the certificate.
        authorization: KeyAuthorization,
    },
    /// dns-account-01.
    DnsAccount01 {
        /// Its digest is the value of the TXT record.
        authorization: KeyAuthorization,
        /// The account's URL, from which the label comes.
        account: String,
    },
    /// dns-persist-01.
    DnsPersist01 {
        /// The names by which the CA knows itself; any one of them will do.
        issuers: Vec<String>,
        /// The account's URL.
        account: String,
    },
}

impl Challenge {
    /// The challenge of a type that is answered with a key authorization alone; dns-persist-01 is none.
    #[must_use]
    pub fn authorized(
        kind: ChallengeType,
        authorization: KeyAuthorization,
        account: &str,
    ) -> Option<Self> {
        match kind {
            ChallengeType::Dns01 => Some(Self::Dns01 { authorization }),
            ChallengeType::Http01 => Some(Self::Http01 { authorization }),
            ChallengeType::TlsAlpn01 => Some(Self::TlsAlpn01 { authorization }),
            ChallengeType::DnsAccount01 => {
                Some(Self::DnsAccount01 { authorization, account: account.to_owned() })
            }
            ChallengeType::DnsPersist01 => None,
        }
    }

    /// A dns-persist-01 challenge; none if the CA gives no name of its own.
    #[must_use]
    pub fn persistent(issuers: Vec<String>, account: &str) -> Option<Self> {
        let account = account.to_owned();
        (!issuers.is_empty()).then_some(Self::DnsPersist01 { issuers, account })
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ChallengeType {
        match self {
            Self::Dns01 { .. } => ChallengeType::Dns01,
            Self::Http01 { .. } => ChallengeType::Http01,
            Self::TlsAlpn01 { .. } => ChallengeType::TlsAlpn01,
            Self::DnsAccount01 { .. } => ChallengeType::DnsAccount01,
            Self::DnsPersist01 { .. } => ChallengeType::DnsPersist01,
        }
    }

    /// What the CA will look for to see that `name` is ours.
    #[must_use]
    pub fn expectation(&self, name: &str) -> Expectation {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let (kind, owner, value) = match self {
            Self::Dns01 { authorization } => {
                (AnswerKind::Txt, format!("_acme-challenge.{name}"), authorization.txt_value())
            }
            Self::DnsAccount01 { authorization, account } => {
                let owner = format!("{}._acme-challenge.{name}", account_label(account));
                (AnswerKind::Txt, owner, authorization.txt_value())
            }
            Self::DnsPersist01 { issuers, account } => {
                let issuer = issuers.first().map(String::as_str).unwrap_or_default();
                let value = format!("{issuer}; accounturi={account}");
                (AnswerKind::Txt, format!("_validation-persist.{name}"), value)
            }
            Self::Http01 { authorization } => {
                (AnswerKind::Http, name, authorization.as_str().to_owned())
            }
            Self::TlsAlpn01 { authorization } => {
                (AnswerKind::TlsAlpn, name, authorization.txt_value())
            }
        };
        Expectation { kind, owner, value }
    }
}

/// What a CA looks for: where, and what must stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// By which protocol.
    pub kind: AnswerKind,
    /// At which name, lower case, without a final dot.
    pub owner: String,
    /// The TXT record's text, the http-01 file's content, or the digest for tls-alpn-01 in base64url.
    pub value: String,
}

/// The label of an account: `_` and 16 letters and digits (draft-ietf-acme-dns-account-label §3.2).
#[must_use]
pub fn account_label(account: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = sha256(account.as_bytes());
    let (head, _) = digest.split_at(10);
    // Ten octets are sixteen groups of five bits, so base32 needs no padding here.
    let bits = head.iter().fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    let letters = (0..16).rev().map(|group| {
        let index = usize::try_from(bits >> (group * 5) & 31).unwrap_or(0);
        char::from(ALPHABET.get(index).copied().unwrap_or(b'a'))
    });
    std::iter::once('_').chain(letters).collect()
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut digest_octets = [0; 32];
    digest_octets.copy_from_slice(digest(&SHA256, octets).as_ref());
    digest_octets
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_an_account_as_the_draft_does() {
        // The example of draft-ietf-acme-dns-account-label §3.2.
        let account = "https://example.com/acme/acct/ExampleAccount";
        assert_eq!(account_label(account), "_ujmmovf2vn55tgye");
    }

    #[test]
    fn refuses_a_key_authorization_that_is_none() {
        for text in ["", "token", ".thumb", "token.", "to/ken.thumb", "a.b.c", "to ken.thumb"] {
            assert_eq!(KeyAuthorization::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn says_where_the_ca_looks_for_each_type() {
        let authorization = || KeyAuthorization::new("token.thumbprint").unwrap();
        let account = "https://ca.example/account/1";
        let expected = |kind| {
            let challenge = Challenge::authorized(kind, authorization(), account).unwrap();
            challenge.expectation("Dev-1.Example.")
        };
        let dns = expected(ChallengeType::Dns01);
        assert_eq!(
            (dns.kind, dns.owner.as_str()),
            (AnswerKind::Txt, "_acme-challenge.dev-1.example")
        );
        assert_eq!(dns.value.len(), 43);
        let labelled = expected(ChallengeType::DnsAccount01);
        let owner = format!("{}._acme-challenge.dev-1.example", account_label(account));
        assert_eq!((labelled.owner, labelled.value), (owner, dns.value.clone()));
        let http = expected(ChallengeType::Http01);
        assert_eq!((http.kind, http.owner.as_str()), (AnswerKind::Http, "dev-1.example"));
        assert_eq!(http.value, "token.thumbprint");
        let alpn = expected(ChallengeType::TlsAlpn01);
        assert_eq!((alpn.kind, alpn.value), (AnswerKind::TlsAlpn, dns.value));
        let persist =
            Challenge::DnsPersist01 { issuers: vec!["ca.example".into()], account: account.into() };
        let persist = persist.expectation("dev-1.example");
        assert_eq!(persist.owner, "_validation-persist.dev-1.example");
        assert_eq!(persist.value, "ca.example; accounturi=https://ca.example/account/1");
    }
}

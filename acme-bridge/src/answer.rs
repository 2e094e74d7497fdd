//! Answers to challenges as rows: any node gives them, a restarted one still knows which it put where.
//!
//! An answer is written before it is put out and removed after it was taken back.
//! What lies between is found by [`AnswerStore::retired`] and taken back then, however the process ended.

use async_trait::async_trait;

use crate::order::OrderId;
use crate::store::OrderStoreError;

/// By which protocol a CA looks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// DNS: a TXT record at the owner name.
    Txt,
    /// HTTP: a file on the host that is the owner name.
    Http,
    /// TLS: a certificate for the owner name.
    TlsAlpn,
}

impl AnswerKind {
    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Http => "http",
            Self::TlsAlpn => "tls-alpn",
        }
    }

    /// The kind that a stored word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Txt, Self::Http, Self::TlsAlpn].into_iter().find(|each| each.as_str() == word)
    }
}

/// Where an answer was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The registrar gives it itself, from this row.
    BuiltIn,
    /// In a zone, by RFC 2136 updates.
    Rfc2136,
    /// Wherever a program put it.
    Exec,
    /// At an acme-dns server.
    AcmeDns,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::BuiltIn, Self::Rfc2136, Self::Exec, Self::AcmeDns];

    /// The word that is stored and configured.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Rfc2136 => "rfc2136",
            Self::Exec => "exec",
            Self::AcmeDns => "acme-dns",
        }
    }

    /// The place that a stored word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == word)
    }
}

/// One thing that a CA looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAnswer {
    /// The order that it is for.
    pub order: OrderId,
    /// The name that is proven, lower case.
    pub name: String,
    /// By which protocol the CA looks for it.
    pub kind: AnswerKind,
    /// Where it stands, lower case, without a final dot: a TXT record's owner name, or the name itself.
    pub owner: String,
    /// The TXT record's text, the http-01 file's content, or the digest for tls-alpn-01 in base64url.
    pub value: String,
    /// Who gives it.
    pub place: Place,
}

/// Durable answers. Every method that writes has written when it returns.
#[async_trait]
pub trait AnswerStore: Send + Sync + 'static {
    /// Keeps an answer; the same one twice is there once, and one that was retired is in force again.
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError>;

    /// Ends the answers of an order: those in [`Place::BuiltIn`] are gone, the others are retired.
    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError>;

    /// Answers that are to be taken back: retired ones, and those whose order has ended or is gone; at most `limit`.
    async fn retired(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError>;

    /// Whether any order's answer in force is this value at this owner, so that it may not be taken back.
    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError>;

    /// The different values in force at an owner name, lower case, wherever they were put.
    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError>;

    /// Forgets an answer that [`AnswerStore::retired`] listed; one that is in force again stays.
    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError>;

    /// The values in force of this kind at an owner name, lower case, given by the registrar itself.
    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError>;

    /// Whether a TXT answer in force, given by the registrar itself, stands anywhere below a name, lower case.
    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError>;
}

//! All of an EST client that is not input and output: requests to send, and what the answers mean (RFC 7030 §4).
//!
//! [`EstServer`] makes each request as an [`http::Request`] and reads the [`http::Response`] to it as a [`Reply`].
//! Connections, their TLS and the waiting are the caller's, who also says what time it is.
//!
//! It reads what servers in the field send: base64 folded or not, PEM, plain DER; certs-only CMS with an empty list of
//! CRLs or in BER, a certificate alone, the chain beside it and in any order; any media type.
//!
//! ```
//! use brski_est::client::{EstServer, Reply};
//! use brski_est::csr::GeneralName;
//! use brski_est::csr_attributes::{ClientFacts, CsrPlan};
//! use brski_est::csr_builder::{PrivateKey, Signer as _};
//! use rustls_pki_types::{CertificateDer, UnixTime};
//!
//! /// Enrolls; `send` carries a request over TLS and brings the answer, `wait` lets seconds pass.
//! fn enroll(
//!     key: &PrivateKey,
//!     mut send: impl FnMut(http::Request<Vec<u8>>) -> http::Response<Vec<u8>>,
//!     mut wait: impl FnMut(u32),
//!     now: impl Fn() -> UnixTime,
//! ) -> Result<CertificateDer<'static>, Box<dyn std::error::Error>> {
//!     let server = EstServer::from_url("https://est.example.org/.well-known/est/plant-7")?;
//!     let plan = match server.read_csr_attrs(&send(server.csr_attrs()), now())? {
//!         Reply::Done(plan) => plan,
//!         _ => CsrPlan::empty(),
//!     };
//!     let facts = ClientFacts::new()
//!         .with_subject("2.5.4.5", "SN-0042")
//!         .with_name(GeneralName::Dns("dev-42.example.org".to_owned()));
//!     let csr = plan.request(&facts)?.sign(key)?;
//!     loop {
//!         let answer = send(server.simple_enroll(&csr));
//!         match server.read_enrolled(&answer, key.spki_der(), now())? {
//!             Reply::Done(issued) => return Ok(issued.certificate().clone()),
//!             Reply::Wait(time) => wait(time.secs()),
//!             other => return Err(format!("{other:?}").into()),
//!         }
//!     }
//! }
//! ```

mod certificates;
mod reason;
mod redirect;
mod reply;
mod retry_after;
mod server;

use thiserror::Error;

pub use self::redirect::Redirect;
pub use self::reply::{Refused, Reply};
pub use self::retry_after::RetryAfter;
pub use self::server::{EstServer, Generated, Issued, KeyDelivery, Renewal, ServerUrlError};
use crate::certs_only::CertsOnlyError;
use crate::csr_attributes::CsrAttributesError;
use crate::csr_builder::BuildError;
use crate::renewal_info::RenewalInfoError;
use crate::server_keygen::{MultipartError, OpenError};
use crate::transfer::TransferError;

/// Why an answer that says it is one cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its body is neither base64 nor DER.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// Its body is no certificates.
    #[error(transparent)]
    CertsOnly(#[from] CertsOnlyError),
    /// There is no certificate in it.
    #[error("the answer holds no certificate")]
    NoCertificate,
    /// None of its certificates is of the CSR's key.
    #[error("none of the certificates in the answer is of this key")]
    NoCertificateOfKey,
    /// Its body is no CSR attributes.
    #[error(transparent)]
    CsrAttributes(#[from] CsrAttributesError),
    /// Its body is no key and certificate.
    #[error(transparent)]
    Multipart(#[from] MultipartError),
    /// The key in it is encrypted, which was not asked for.
    #[error("the private key in the answer is encrypted, which was not expected")]
    Encrypted,
    /// The key in it is not encrypted, which was asked for.
    #[error("the private key in the answer is not encrypted as was asked for")]
    NotEncrypted,
    /// The encrypted key in it cannot be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key in it cannot be used.
    #[error("the private key in the answer cannot be used")]
    GeneratedKey(#[source] BuildError),
    /// It says nothing about renewal.
    #[error(transparent)]
    RenewalInfo(#[from] RenewalInfoError),
}

//! `/serverkeygen`: a server makes a device's key and sends it with its certificate (RFC 7030 §4.4).
//!
//! ```text
//!   client                                              server
//!
//!   CSR with the key identifier of one of its
//!   certificates, and what it can decrypt with ───────▶ KeyProtection::of
//!   (EncryptionRequest::for_certificate,                EncryptionRequest::recipient
//!    CsrRequest::with_encryption)                       CsrRequest::like, signed with the new key ─▶ CA
//!                                                       encrypt_key (or KeyPart::Plain)
//!   KeyAnswer::parse ◀───────────────────────────────── KeyAnswerBody::new
//!   decrypt_key
//! ```
//!
//! Encryption is for the key of a certificate: RSA by OAEP or PKCS#1 v1.5, and elliptic curves by ECDH with a fresh key,
//! AES key wrap; the content by AES in CBC mode. Symmetric keys are refused by name: this library shares none with
//! anybody. Inside the encryption the server signs the key (RFC 5958 §4).
//!
//! The key and the signature of the CSR itself prove nothing and are ignored (RFC 7030 §4.4.1): such a CSR is read with
//! [`Csr::parse`](crate::csr::Csr::parse) and never becomes a [`ProvenCsr`](crate::csr::ProvenCsr).

mod algorithms;
mod envelope;
mod multipart;
mod open;
mod protection;
mod signed;

pub use self::envelope::{EnvelopeError, EnvelopeRandom, encrypt_key};
pub use self::multipart::{Boundary, KeyAnswer, KeyAnswerBody, KeyPart, MultipartError};
pub use self::open::{DecryptionKey, GeneratedKey, OpenError, Opened, decrypt_key};
pub use self::protection::{EncryptionRequest, KeyProtection, ProtectionError, Recipient};

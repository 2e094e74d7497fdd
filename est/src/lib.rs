//! What EST says on the wire, for server and client alike (RFC 7030, RFC 8951, RFC 9908).
//!
//! Bytes, keys behind a [`Signer`](csr_builder::Signer), the time and random octets come in; values or bytes go out.
//! Nothing here opens a file or a socket or asks a clock. (What a signature or a fresh key of an elliptic curve needs
//! of randomness, the cryptographic provider takes itself.)
//!
//! ```text
//!   client                                                    server
//!
//!   EstServer::ca_certs ───── GET /cacerts ─────────────────▶ path::Request::parse
//!   read_ca_certs ◀────────── certs-only ──────────────────── certs_only::encode, transfer::encode
//!
//!   EstServer::csr_attrs ──── GET /csrattrs ────────────────▶
//!   CsrPlan ◀──────────────── list and template ───────────── CsrAttributes::to_der
//!     │ request(facts), sign(key)
//!     ▼
//!   EstServer::simple_enroll  POST /simpleenroll ───────────▶ transfer::decode_csr
//!                             (or /simplereenroll)            Csr::parse → prove → ProvenCsr
//!                                                             csr::check::{key, names, extensions}
//!   Reply::Wait ◀──────────── 202, Retry-After ────────────── not yet
//!   Reply::Done(Issued) ◀──── the certificate alone ───────── certs_only::encode
//!
//!   EstServer::server_keygen  POST /serverkeygen ───────────▶ server_keygen::KeyProtection::of
//!   Generated ◀────────────── key and certificate ─────────── server_keygen::KeyAnswerBody
//!
//!   EstServer::renewal_info   GET /renewal-info/ID ─────────▶ renewal_info::CertificateId
//!   Renewal ◀──────────────── JSON ────────────────────────── renewal_info::RenewalInfo
//! ```
//!
//! A CSR is read as [`Csr`](csr::Csr), and becomes [`ProvenCsr`](csr::ProvenCsr) by the proof of its own signature alone.
//! What it asks for is judged by the functions of [`csr::check`], one function a subject.
//!
//! Clients and servers in the field contradict each other and the standards: one chokes on a line break, another on a
//! long line; some send PEM, some plain DER, some BER. [`transfer`] and [`client`] say what is read and what is written.
//!
//! # Limits
//!
//! Held before anything is parsed: 64 KiB a body, 32 KiB a CSR, 64 attributes and 64 extensions of one, 256 KiB and 256
//! certificates a certs-only message, 16 KiB CSR attributes and renewal information, 64 KiB an encrypted key, 512 octets
//! a path; for clients 512 KiB a body of certificates or of a key.
//! Signatures: ECDSA on P-256, P-384 and P-521, RSA from 2048 to 8192 bits, Ed25519; never with SHA-1 or MD5.
//!
//! # A server
//!
//! ```
//! use brski_est::csr::{Csr, KeyKind, check};
//! use brski_est::csr_attributes::{CsrAttributes, KeyTemplate, Linking};
//! use brski_est::path::{Operation, Request};
//! use brski_est::transfer::{self, Folding};
//! use brski_est::{certs_only, media_type};
//! use rustls_pki_types::CertificateDer;
//!
//! /// Gives the media type and the body; `issue` turns a CSR that may be issued into a certificate.
//! fn answer(
//!     path: &str,
//!     body: &[u8],
//!     user_agent: &str,
//!     device: &str,
//!     issue: impl Fn(&[u8]) -> CertificateDer<'static>,
//! ) -> Result<(&'static str, String), Box<dyn std::error::Error>> {
//!     let folding = Folding::for_client(body, user_agent);
//!     match Request::parse(path)?.operation() {
//!         Operation::CsrAttrs => {
//!             let attributes = CsrAttributes {
//!                 dns_name: Some(device.to_owned()),
//!                 key: Some(KeyTemplate::EcP256),
//!                 linking: Linking::NotAsked,
//!             };
//!             Ok((media_type::CSR_ATTRS, transfer::encode(&attributes.to_der(), folding)))
//!         }
//!         Operation::SimpleEnroll => {
//!             let csr = Csr::parse(&transfer::decode_csr(body)?)?.prove()?;
//!             check::key(&csr, &[KeyKind::EcP256])?;
//!             check::names(&csr, device)?;
//!             check::extensions(&csr, &["1.3.6.1.5.5.7.3.1"], &[])?;
//!             let message = certs_only::encode(&[&issue(csr.der())]);
//!             Ok((media_type::CERTS_ONLY, transfer::encode(&message, folding)))
//!         }
//!         other => Err(format!("{other} is not offered").into()),
//!     }
//! }
//! # use brski_est::csr_builder::{CsrRequest, PrivateKey};
//! # let key = rcgen::KeyPair::generate().unwrap();
//! # let key = PrivateKey::from_pkcs8_der(key.serialized_der()).unwrap();
//! # let csr = CsrRequest::new(&["dev-1.example.org"]).sign(&key).unwrap();
//! # let body = transfer::encode(&csr, Folding::Never);
//! # let issue = |_: &[u8]| CertificateDer::from(vec![0x30, 0]);
//! # let enroll = "/.well-known/est/simpleenroll";
//! # answer(enroll, body.as_bytes(), "", "dev-1.example.org", issue).unwrap();
//! # answer(enroll, body.as_bytes(), "", "dev-2.example.org", issue).unwrap_err();
//! # answer("/.well-known/est/csrattrs", b"", "", "dev-1.example.org", issue).unwrap();
//! ```
//!
//! # A client
//!
//! See [`client`].

pub mod authentication;
mod ber;
mod certificate;
pub mod certs_only;
pub mod client;
pub mod csr;
pub mod csr_attributes;
pub mod csr_builder;
pub mod media_type;
mod oid;
pub mod path;
pub mod renewal_info;
pub mod server_keygen;
mod signature;
mod tlv;
pub mod transfer;

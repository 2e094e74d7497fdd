//! What BRSKI says on the wire, for pledge, registrar and MASA alike (RFC 8995, RFC 8366).
//!
//! Bytes, keys behind a [`Signer`](signature::Signer), the time and random octets come in; values or bytes go out.
//! Nothing here opens a file or a socket or asks a clock.
//!
//! ```text
//!   pledge                      registrar                          MASA
//!
//!   PledgeRequest   ──────────▶ verify_by_key (TLS client's key)
//!   signed with                 registrar::check_pledge_request
//!   the IDevID                        │
//!                               RegistrarRequest  ───────────────▶ verify_presented
//!                               signed with the registrar's key;   masa::check_registrar_request
//!                               the pledge's inside, as received         │
//!                                                                  masa::voucher_fields
//!                               registrar::check_voucher  ◀─────── Voucher
//!   verify_by_anchors ◀──────── forwarded as received              signed with the MASA's key
//!   pledge::check_voucher
//!   pledge::Pin::check
//! ```
//!
//! An artefact is read as [`Unverified`](verify::Unverified), becomes [`Verified`](verify::Verified) by one of three
//! proofs, and is then judged by the functions of a role: [`registrar`], [`masa`] or [`pledge`], one function a clause.
//! The bytes as received are kept: they are what is forwarded and stored.
//! To send one, fill its `…Fields` in [`artefact`] and sign them.
//!
//! Each artefact comes in three [encodings](encoding::Encoding): JSON in CMS, JSON in JWS, CBOR in COSE.
//! What encoders in the field do wrong and is read all the same is [told](encoding::Quirk),
//! and how much of it is read is [chosen](encoding::Strictness).
//!
//! # Limits
//!
//! Held before anything is parsed: 64 KiB an artefact and an audit log, 16 KiB a status report and a certificate.
//! Held while it is: 16 certificates, 4 signatures, 64 members, JSON 32 deep, 512 CBOR items 16 deep,
//! 4096 BER values 32 deep, 1024 audit events. No member, key or header parameter may stand twice, at any depth.
//! No input makes a reader hold more than 16 times its size plus 64 KiB at once.
//! Signatures: see [`signature`].
//!
//! # A pledge
//!
//! ```
//! use brski_voucher::artefact::{Assertion, Nonce, PledgeRequestFields, Voucher};
//! use brski_voucher::certificate::Certificate;
//! use brski_voucher::signature::PrivateKey;
//! use brski_voucher::trust::{Anchors, ValidityTime};
//! use brski_voucher::verify::Unverified;
//! use brski_voucher::{idevid, pledge};
//! use rustls_pki_types::UnixTime;
//!
//! /// What is sent to the registrar whose TLS certificate is `seen`.
//! fn request(
//!     own: &Certificate, key: &PrivateKey, seen: &Certificate, random: [u8; 16], now: UnixTime,
//! ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let fields = PledgeRequestFields {
//!         assertion: Assertion::Proximity,
//!         serial_number: idevid::serial_number(own)?,
//!         nonce: Nonce::from_random(random),
//!         created_on: Some(now),
//!         proximity_registrar_cert: seen.der().clone(),
//!     };
//!     Ok(fields.sign(key, std::slice::from_ref(own), now)?)
//! }
//!
//! /// Whether the voucher vouches for the registrar whose TLS certificates are `chain`.
//! fn accept(
//!     voucher: &[u8], own: &Certificate, nonce: &Nonce, chain: &[Certificate], maker: &Anchors, now: UnixTime,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let time = ValidityTime::At(now);
//!     let voucher = Unverified::<Voucher>::parse(voucher)?.verify_by_anchors(maker, time)?;
//!     pledge::check_voucher(&voucher, &idevid::serial_number(own)?, nonce, own, time)?;
//!     pledge::Pin::of(&voucher)?.check(chain, time)?;
//!     Ok(())
//! }
//! ```
//!
//! # A registrar
//!
//! ```
//! use brski_voucher::artefact::{PledgeRequest, Voucher};
//! use brski_voucher::certificate::Certificate;
//! use brski_voucher::encoding::{Encoding, Strictness};
//! use brski_voucher::signature::PrivateKey;
//! use brski_voucher::trust::ValidityTime;
//! use brski_voucher::verify::Unverified;
//! use brski_voucher::{idevid, registrar};
//! use rustls_pki_types::UnixTime;
//!
//! /// What is sent to the MASA for a pledge's request, which came with this media type over a session with `client`.
//! fn forward(
//!     body: &[u8], media_type: &str, client: &Certificate, chain: &[Certificate], key: &PrivateKey, now: UnixTime,
//! ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let encoding = Encoding::of_media_type(media_type).ok_or("415")?;
//!     let request = Unverified::<PledgeRequest>::parse_as(body, encoding, Strictness::Standard)?;
//!     let request = request.verify_by_key(client)?;
//!     let (serial, own) = (idevid::serial_number(client)?, chain.first().ok_or("no certificate")?);
//!     registrar::check_pledge_request(&request, &serial, own)?;
//!     let fields = registrar::registrar_request_fields(&request, client, &serial, now);
//!     Ok(fields.sign_as(encoding, key, chain, now)?)
//! }
//!
//! /// What the pledge gets.
//! fn answer(
//!     voucher: &[u8], encoding: Encoding, request: &PledgeRequest, chain: &[Certificate], now: UnixTime,
//! ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let voucher = Unverified::<Voucher>::parse_as(voucher, encoding, Strictness::Standard)?;
//!     let (serial, nonce) = (request.serial_number(), request.nonce());
//!     registrar::check_voucher(voucher.content(), serial, nonce, chain, ValidityTime::At(now))?;
//!     Ok(voucher.for_pledge())
//! }
//! ```
//!
//! # A MASA
//!
//! ```
//! use std::time::Duration;
//!
//! use brski_voucher::artefact::{Assertion, RegistrarRequest};
//! use brski_voucher::certificate::Certificate;
//! use brski_voucher::masa;
//! use brski_voucher::signature::PrivateKey;
//! use brski_voucher::trust::{Anchors, ValidityTime};
//! use brski_voucher::verify::Unverified;
//! use rustls_pki_types::UnixTime;
//!
//! /// The voucher that answers a registrar's request; `devices` issued the IDevIDs.
//! fn issue(
//!     body: &[u8], devices: &Anchors, chain: &[Certificate], key: &PrivateKey, now: UnixTime,
//! ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let time = ValidityTime::At(now);
//!     let request = Unverified::<RegistrarRequest>::parse(body)?.verify_presented(time)?;
//!     masa::check_registrar_request(&request, devices, time)?;
//!     let pinned = request.signer_chain().last().ok_or("no chain")?;
//!     let lifetime = Duration::from_secs(20 * 60);
//!     let fields = masa::voucher_fields(&request, Assertion::Proximity, pinned, lifetime, now);
//!     Ok(fields.sign_as(request.encoding(), key, chain, now)?)
//! }
//! ```

pub mod artefact;
pub mod audit;
pub mod certificate;
mod cms;
mod content;
mod cose;
pub mod encoding;
mod envelope;
pub mod idevid;
mod jws;
pub mod masa;
pub mod pledge;
pub mod registrar;
pub mod signature;
pub mod telemetry;
mod tlv;
pub mod trust;
pub mod verify;

pub use cms::read::CmsError;
pub use content::ContentError;
pub use cose::CoseError;
pub use encoding::media_type;
pub use envelope::{ARTEFACT_OCTETS, EnvelopeError};
pub use jws::JwsError;
pub use tlv::TlvError;

/// Paths under a registrar's or MASA's root (RFC 8995 §8.3.1).
pub mod path {
    /// Where vouchers are asked for.
    pub const REQUEST_VOUCHER: &str = "/.well-known/brski/requestvoucher";
    /// Where a pledge says what it thinks of its voucher.
    pub const VOUCHER_STATUS: &str = "/.well-known/brski/voucher_status";
    /// Where a pledge says how its enrollment went.
    pub const ENROLL_STATUS: &str = "/.well-known/brski/enrollstatus";
    /// Where a registrar asks a MASA for the audit log of a device.
    pub const REQUEST_AUDIT_LOG: &str = "/.well-known/brski/requestauditlog";
}

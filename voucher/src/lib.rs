//! What BRSKI says on the wire, for pledge, registrar and MASA alike (RFC 8995, RFC 8366).
//!
//! Bytes, keys behind a [`Signer`](signature::Signer), the time and random octets come in; values or bytes go out.
//! Nothing here opens a file or a socket or asks a clock.
//!
//! An artefact is read as [`Unverified`](verify::Unverified), becomes [`Verified`](verify::Verified) by one of three
//! proofs, and is then judged by the functions of a role: [`registrar`], [`masa`] or [`pledge`].
//! The bytes as received are kept: they are what is forwarded and stored.
//!
//! To send one, fill its `…Fields` in [`artefact`] and `sign` them.

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

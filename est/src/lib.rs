//! What EST says on the wire, for server and client alike (RFC 7030, RFC 8951, RFC 9908).
//!
//! Bytes, keys behind a [`Signer`](csr_builder::Signer) come in; values or bytes go out.
//! Nothing here opens a file or a socket or asks a clock.
//!
//! In the order of an enrollment: [`path`] says what is asked, [`transfer`] takes the base64 off and puts it on,
//! [`certs_only`] carries certificates, [`csr_attributes`] says what to ask for, [`csr_builder`] asks,
//! [`csr`] reads and proves, [`client`] understands the answer.

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

//! What EST says on the wire, for server and client alike (RFC 7030, RFC 8951, RFC 9908).
//!
//! Bytes, keys behind a [`Signer`](csr_builder::Signer) come in; values or bytes go out.
//! Nothing here opens a file or a socket or asks a clock.
//!
//! In the order of an enrollment: [`path`] says what is asked, [`transfer`] takes the base64 off and puts it on,
//! [`certs_only`] carries certificates, [`csr_attributes`] says what to ask for, [`csr_builder`] asks,
//! [`csr`] reads and proves, [`client`] understands the answer.

pub mod certs_only;
pub mod client;
pub mod csr;
pub mod csr_attributes;
pub mod csr_builder;
pub mod path;
mod tlv;
pub mod transfer;

/// Media types, spelled as the clients in the field compare them: to the letter.
pub mod media_type {
    /// `/cacerts`: without a parameter.
    pub const CA_CERTS: &str = "application/pkcs7-mime";
    /// `/simpleenroll` and `/simplereenroll`.
    pub const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
    /// A CSR.
    pub const PKCS10: &str = "application/pkcs10";
    /// `/csrattrs`.
    pub const CSR_ATTRS: &str = "application/csrattrs";
}

//! The BRSKI-MASA side: whom the registrar may call, and the call itself (RFC 8995 §5.4).

pub mod address;
pub mod client;

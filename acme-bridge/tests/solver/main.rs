//! How names are proven, without a CA: zones and their ways, programs, acme-dns, and the responders of HTTP and TLS.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod acme_dns;
mod exec;
mod http01;
mod memory;
mod tls_alpn;
mod zones;

//! EST's messages against published bytes, against other programs, against themselves, and against hostile ones.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod authentication;
mod builder;
mod certs_only;
mod check;
mod client;
mod csr;
mod csr_attributes;
mod keygen;
mod media_types;
mod multipart;
mod openssl;
mod path;
mod plan;
mod properties;
mod renewal_info;
mod support;
mod transfer;

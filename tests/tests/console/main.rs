//! The operators' web page: in a real browser, and as somebody hostile asks for it.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod access;
mod openid;
mod pages;
mod people;

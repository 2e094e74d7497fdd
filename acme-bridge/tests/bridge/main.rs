//! The bridge against a scripted CA and a store in memory: every state resumes, nothing is sent twice, every end is written.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod bench;
mod certificates;
mod course;
#[path = "../memory/mod.rs"]
mod memory;
mod patience;
mod problems;
mod script;

//! Others decide: OpenSSL, strongSwan's EST client, JOSE and COSE by other hands, published artefacts.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod algorithms;
mod artefacts;
mod clients;
mod flow;
mod inspect;

use std::path::Path;
use std::process::{Command, Output};

fn run(program: &Path, arguments: &[&str], folder: &Path) -> anyhow::Result<Output> {
    Ok(Command::new(program).args(arguments).current_dir(folder).output()?)
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

//! EST without BRSKI and beside it: credentials, renewals, labels, and the clients of the field.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod ca_certificates;
mod clients;
mod credentials;
mod habits;
mod keygen;
mod lab_client;
mod refusals;
mod renewals;
mod without_brski;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs an outside program in a folder, and gives what it printed where it succeeded.
async fn run(program: PathBuf, arguments: Vec<String>, folder: &Path) -> anyhow::Result<Output> {
    let folder = folder.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(arguments)
            .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
            .current_dir(folder)
            .output()
    })
    .await??;
    Ok(output)
}

fn assert_success(output: &Output) {
    let (out, err) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    );
}

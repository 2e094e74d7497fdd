//! `brski-lab load`: what it measures, and what it refuses.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod open_loop;
mod refusals;
mod scenarios;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use brski_lab::pki::Authority;
use brski_tests::programs;
use brski_tests::scripted::{ScriptedServer, Seen};
use http::Response;
use serde_json::Value;
use tokio::process::Command;

/// The program with these arguments; it is killed when it is dropped.
fn load(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::ours("brski-lab")?);
    command.arg("load").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// What a run that ends well prints with `--json`: one object alone.
async fn json(arguments: &[&str]) -> anyhow::Result<Value> {
    let output = load(arguments)?.arg("--json").output().await?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What a run says on stderr that ends with this code; it prints nothing on stdout.
async fn refused(arguments: &[&str], code: i32) -> anyhow::Result<String> {
    let output = load(arguments)?.output().await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert_eq!(output.stdout, b"", "{arguments:?}: results alone go to stdout");
    Ok(told)
}

/// A server of CA certificates that answers as a test says, and its URL.
async fn scripted(
    script: impl Fn(usize, &Seen) -> Response<Vec<u8>> + Send + Sync + 'static,
) -> anyhow::Result<(ScriptedServer, String)> {
    let authority = Authority::new("load, LAB ONLY")?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = ScriptedServer::start(loopback, &authority, script).await?;
    let url = format!("https://{}", server.address);
    Ok((server, url))
}

/// An answer as `/cacerts` gives it, as far as load looks at it.
fn good() -> Response<Vec<u8>> {
    let builder = Response::builder().header("content-type", "application/pkcs7-mime");
    builder.body(b"MAAA".to_vec()).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

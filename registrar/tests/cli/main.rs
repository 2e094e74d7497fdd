//! The command line as an operator meets it: files, modes, refusals and what they say to do next.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

mod check;
mod init;
mod inspect;
mod manage;

fn registrar(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_registrar")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder made by `registrar init`.
struct Made {
    _temporary: TempDir,
    folder: PathBuf,
}

impl Made {
    fn new(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("registrar");
        let dir = folder.to_string_lossy().into_owned();
        // Port 0: nothing else may hold a port that a test needs.
        let fixed =
            ["init", "--dir", &dir, "--domain", "iot.example.org", "--listen", "127.0.0.1:0"];
        let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
        let output = registrar(&all);
        assert!(output.status.success(), "{}", stderr(&output));
        Self { _temporary: temporary, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn config(&self) -> String {
        self.file("registrar.toml").to_string_lossy().into_owned()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// Puts keys into the section `[notify]`.
    fn notify(&self, keys: &str) {
        self.edit("\ntimeout_secs = 10\n", &format!("\n{keys}\n"));
    }

    fn run(&self, command: &[&str]) -> Output {
        let config = self.config();
        let tail = ["--config", &config];
        registrar(&command.iter().chain(&tail).copied().collect::<Vec<_>>())
    }

    fn problems(&self) -> String {
        let output = self.run(&["check"]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn registrar_with_stdin(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_registrar"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The commands below one, as its help lists them.
fn below(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let words = listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    words.filter(|word| word != "help").collect()
}

#[test]
fn every_command_has_help() {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let all: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let output = registrar(&all);
        assert!(output.status.success(), "{command:?}");
        let help = stdout(&output);
        assert!(help.lines().next().is_some_and(|line| line.len() > 10), "{command:?}: {help}");
        for word in below(&help) {
            left.push(command.iter().cloned().chain([word]).collect());
        }
        found.push(command);
    }
    for command in [
        "init",
        "serve",
        "check",
        "manufacturer add",
        "device show",
        "approval grant",
        "voucher prefetch",
        "certificate revoke",
        "order retry",
        "acme account rotate-key",
        "credential add",
        "event verify",
        "identity request",
        "ca rotate",
        "clock confirm",
        "console link",
        "status",
        "reload",
        "backup",
        "inspect",
    ] {
        assert!(found.iter().any(|each| each.join(" ") == command), "{command}: {found:?}");
    }
}

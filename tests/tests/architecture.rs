//! The arrows between the crates, and what docs/ARCHITECTURE.md calls invariants as far as a test can see them.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use brski_tests::programs::workspace;
use serde_json::Value;

/// The longest source file, in lines.
const FILE_LINES: usize = 600;

/// Each package of ours, and what it may use of ours.
const ARROWS: [(&str, &[&str]); 6] = [
    ("brski-voucher", &[]),
    ("brski-est", &[]),
    ("acme-bridge", &[]),
    ("brski-registrar", &["brski-voucher", "brski-est", "acme-bridge"]),
    ("brski-lab", &["brski-voucher", "brski-est"]),
    ("brski-tests", &["brski-voucher", "brski-est", "acme-bridge", "brski-registrar", "brski-lab"]),
];

/// What a pure crate must not use.
const IMPURE: [&str; 9] = [
    "tokio",
    "hyper",
    "hyper-util",
    "rustls",
    "tokio-rustls",
    "rand",
    "axum",
    "instant-acme",
    "hickory-server",
];

fn packages() -> anyhow::Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--locked"])
        .current_dir(workspace())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// The names of a package's dependencies, those of its tests aside.
fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().cloned().unwrap_or_default();
    all.iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .map(|dependency| name(dependency).to_owned())
        .collect()
}

#[test]
fn no_crate_uses_another_against_the_arrows() -> anyhow::Result<()> {
    let packages = packages()?;
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    assert_eq!(ours, ARROWS.iter().map(|(package, _)| *package).collect());
    for package in &packages {
        let (_, allowed) =
            ARROWS.iter().find(|(known, _)| *known == name(package)).expect("it is known");
        for used in dependencies(package).iter().filter(|used| ours.contains(used.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{} uses {used}", name(package));
        }
    }
    Ok(())
}

#[test]
fn the_pure_crates_use_no_runtime_socket_or_randomness() -> anyhow::Result<()> {
    for package in packages()? {
        if ["brski-voucher", "brski-est"].contains(&name(&package)) {
            for used in dependencies(&package) {
                assert!(!IMPURE.contains(&used.as_str()), "{} uses {used}", name(&package));
            }
        }
    }
    Ok(())
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() -> anyhow::Result<()> {
    for folder in ["voucher", "est", "acme-bridge", "registrar", "lab", "tests"] {
        let manifest = std::fs::read_to_string(workspace().join(folder).join("Cargo.toml"))?;
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}");
    }
    Ok(())
}

#[test]
fn no_source_file_is_longer_than_a_reader_bears() -> anyhow::Result<()> {
    for folder in ["voucher", "est", "acme-bridge", "registrar", "lab", "tests"] {
        check_length(&workspace().join(folder).join("src"))?;
    }
    Ok(())
}

fn check_length(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            check_length(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(&path)?.lines().count();
            assert!(lines <= FILE_LINES, "{} has {lines} lines", path.display());
        }
    }
    Ok(())
}

#[test]
fn one_file_alone_turns_refusals_into_statuses() -> anyhow::Result<()> {
    let folder = workspace().join("registrar/src");
    for part in ["flow", "policy", "issue", "masa", "tls", "store"] {
        assert_no_word(&folder.join(part), "StatusCode")?;
    }
    Ok(())
}

#[test]
fn flows_neither_wait_nor_ask_a_clock_or_the_store() -> anyhow::Result<()> {
    let folder = workspace().join("registrar/src/flow");
    for word in [".await", "async fn", "SystemTime", "dyn Store", "Instant::"] {
        assert_no_word(&folder, word)?;
    }
    Ok(())
}

fn assert_no_word(folder: &Path, word: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            assert_no_word(&path, word)?;
        } else {
            let text = std::fs::read_to_string(&path)?;
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
    Ok(())
}

//! The help of every command, word for word: it is the manual.

// A panic is how a test fails.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::process::Command;

/// All commands, and the file that holds what they say.
const COMMANDS: [(&[&str], &str); 16] = [
    (&[], "brski-lab"),
    (&["up"], "up"),
    (&["net"], "net"),
    (&["pki"], "pki"),
    (&["masa"], "masa"),
    (&["pledge"], "pledge"),
    (&["proxy"], "proxy"),
    (&["faults"], "faults"),
    (&["est"], "est"),
    (&["est", "cacerts"], "est-cacerts"),
    (&["est", "csrattrs"], "est-csrattrs"),
    (&["est", "enroll"], "est-enroll"),
    (&["est", "reenroll"], "est-reenroll"),
    (&["est", "renewal-info"], "est-renewal-info"),
    (&["est", "serverkeygen"], "est-serverkeygen"),
    (&["load"], "load"),
];

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_brski-lab")).args(command).arg("-h").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// After a change that is meant, `brski-lab COMMAND -h > lab/tests/help/COMMAND.txt` writes what is expected.
#[test]
fn help_is_as_it_was_agreed() {
    for (command, name) in COMMANDS {
        let file = format!("{}/tests/help/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(help(command), expected, "{file}");
    }
}

#[test]
fn every_command_is_in_the_list() {
    for (parent, name) in [(&[][..], "brski-lab"), (&["est"], "est")] {
        let text = help(parent);
        let commands = text.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
        let words =
            commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for word in words.filter_map(|line| line.split_whitespace().next()).filter(|w| *w != "help")
        {
            let path: Vec<&str> = parent.iter().copied().chain([word]).collect();
            assert!(COMMANDS.iter().any(|(known, _)| *known == path), "{name} {word}");
        }
    }
}

#[test]
fn the_list_of_faults_is_one_array_of_what_each_must_meet() {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_brski-lab"));
    let output = lab.args(["faults", "--list", "--json"]).output().unwrap();
    assert!(output.status.success());
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = listed.as_array().expect("it is an array");
    assert!(faults.len() >= 60, "{}", faults.len());
    for fault in faults {
        let keys: Vec<&str> = fault.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["name", "liar", "clause", "status", "event"]);
    }
}

#[test]
fn a_fault_that_nobody_knows_is_refused_by_name() {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_brski-lab"));
    let arguments =
        ["--target", "https://127.0.0.1:1", "--dir", "nowhere", "--only", "no-such-lie"];
    let output = lab.arg("faults").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no-such-lie") && said.contains("--list"), "{said}");
}

#[test]
fn every_misbehaviour_of_a_masa_is_in_its_help() {
    let help = help(&["masa"]);
    let text: Vec<&str> = help.split_whitespace().collect();
    let text = text.join(" ");
    for (word, _) in brski_lab::masa::Misbehaviour::WORDS {
        assert!(text.contains(word), "{word}: {help}");
    }
}

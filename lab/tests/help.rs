//! The help of every command, word for word: it is the manual.

// A panic is how a test fails.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::process::Command;

/// All commands, and the file that holds what they say.
const COMMANDS: [(&[&str], &str); 13] = [
    (&[], "brski-lab"),
    (&["up"], "up"),
    (&["pki"], "pki"),
    (&["masa"], "masa"),
    (&["pledge"], "pledge"),
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

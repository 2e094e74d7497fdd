//! How results are printed. An output that takes nothing, a pipe that was closed or a disk that is full, is an error
//! that ends the command, and no panic in the midst of its clean-up.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;

/// Prints text on stdout.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    printed.context("standard output takes nothing more")
}

/// Prints a value on stdout: JSON in one line.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Prints a value on stdout: JSON as people like it.
pub(super) fn print_pretty(value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// An error and what is behind it, in one line; what an error says of its source already is not said again.
pub(super) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn nothing_is_said_twice_of_an_error() {
        let system = || std::io::Error::other("the disk is full");
        let whole = crate::masa::MasaError::Listen(system());
        assert_eq!(told(&whole.into()), "the MASA cannot listen: the disk is full");
        let plain = anyhow!(system()).context("a file").context("a folder");
        assert_eq!(told(&plain), "a folder: a file: the disk is full");
    }
}

//! What reading every section needs: problems that name file and key, paths, addresses, bounded numbers, chosen words.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Problem;
use crate::keys::KeyPlace;

/// What names a credential of the service manager instead of a file.
const CREDENTIAL: &str = "credential:";
/// Where systemd puts the credentials of docs/registrar.service, for commands that are run outside of it.
const CREDENTIALS: &str = "/run/credentials/registrar.service";

/// Where the service manager put the credentials of this process (systemd.exec(5), `LoadCredential=`).
#[must_use]
pub fn credentials() -> PathBuf {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map_or_else(|| PathBuf::from(CREDENTIALS), PathBuf::from)
}

/// Adds the nearest known key to serde's message about an unknown one: "unknown field `x`, expected `a` or `b`".
pub(super) fn with_nearest(message: &str) -> String {
    let message = message.trim_end();
    let quoted: Vec<&str> = message
        .find("unknown field")
        .and_then(|at| message.get(at..))
        .map(|about| about.split('`').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let meant =
        quoted.split_first().and_then(|(unknown, known)| nearest(unknown, known.iter().copied()));
    match meant {
        Some(key) => format!("{message}\ndid you mean '{key}'?"),
        None => message.to_owned(),
    }
}

/// The known word that is most like an unknown one.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |word: &&str| strsim::jaro_winkler(unknown, word);
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// Turns what is written into what is meant, and collects what is wrong.
pub(super) struct Reader {
    pub(super) file: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, key: &str, reason: String) {
        self.problems.push(Problem { file: self.file.clone(), key: key.to_owned(), reason });
    }

    /// A file, relative to the configuration's folder; or a credential of the service manager, as `credential:NAME`.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        match text.strip_prefix(CREDENTIAL) {
            Some(name) => credentials().join(name),
            None => self.folder.join(text),
        }
    }

    /// A file, or a URI of a key in a token.
    pub(super) fn key_place(&mut self, key: &str, text: &str) -> Option<KeyPlace> {
        if text.starts_with(CREDENTIAL) {
            return Some(KeyPlace::File(self.path(text)));
        }
        KeyPlace::parse(text, &self.folder)
            .map_err(|error| self.problem(key, error.to_string()))
            .ok()
    }

    pub(super) fn address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.problem(key, format!("{text:?} is not ADDRESS:PORT, such as \"0.0.0.0:8443\""));
        }
        address
    }

    pub(super) fn bounded(&mut self, key: &str, value: u32, least: u32, most: u32) -> u32 {
        if !(least..=most).contains(&value) {
            self.problem(key, format!("{value} is not between {least} and {most}"));
        }
        value
    }

    pub(super) fn choose<T: Copy>(
        &mut self,
        key: &str,
        text: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if choice.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.problem(key, format!("{text:?} is none of {}", words.join(", ")));
        }
        choice
    }
}

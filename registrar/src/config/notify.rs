//! The section `[notify]`: which events somebody is told of, and how.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::raw;
use super::reader::{Reader, nearest};
use crate::store::model::Verdict;
use crate::trail::kinds::{self, KINDS};

/// What somebody is told of, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Which events; empty: nobody is told of any.
    pub events: Chosen,
    /// A program that is run.
    pub program: Option<ProgramConfig>,
    /// An HTTPS address that is posted to.
    pub post: Option<PostConfig>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Which events are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// By their kind.
    pub kinds: Vec<&'static str>,
    /// By their verdict.
    pub verdicts: Vec<&'static str>,
}

impl Chosen {
    /// Whether an event is chosen.
    #[must_use]
    pub fn has(&self, kind: &str, verdict: &str) -> bool {
        self.kinds.contains(&kind) || self.verdicts.contains(&verdict)
    }
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramConfig {
    /// Its file, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// An HTTPS address that is posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostConfig {
    /// The address.
    pub url: Uri,
    /// Anchors of its TLS certificate; none: the operating system's.
    pub ca: Option<PathBuf>,
    /// A file with a bearer token, mode 0600.
    pub token_file: Option<PathBuf>,
}

impl Reader {
    pub(super) fn notify(&mut self, notify: raw::Notify) -> NotifyConfig {
        let seconds = self.bounded("notify.timeout_secs", notify.timeout_secs, 1, 300);
        let has_target = notify.program.is_some() || notify.url.is_some();
        let events = self.chosen(&notify.events);
        let program = self.program(notify.program);
        let post = self.post(notify.url.as_deref(), notify.ca, notify.token_file);
        match (has_target, notify.events.is_empty()) {
            (true, true) => {
                let reason = "is empty: name kinds of events, or verdicts such as \"failed\"";
                self.problem("notify.events", reason.to_owned());
            }
            (false, false) => {
                let reason = "there is nobody to tell: set notify.program or notify.url";
                self.problem("notify.events", reason.to_owned());
            }
            _ => {}
        }
        let timeout = Duration::from_secs(u64::from(seconds));
        NotifyConfig { events, program, post, timeout }
    }

    fn chosen(&mut self, words: &[String]) -> Chosen {
        let mut chosen = Chosen::default();
        for word in words {
            let verdict = Verdict::ALL.iter().map(|verdict| verdict.as_str()).find(|v| v == word);
            match (kinds::known(word), verdict) {
                (Some(kind), _) => chosen.kinds.push(kind),
                (None, Some(verdict)) => chosen.verdicts.push(verdict),
                (None, None) => self.unknown_kind(word),
            }
        }
        chosen
    }

    fn unknown_kind(&mut self, word: &str) {
        let verdicts = Verdict::ALL.iter().map(|verdict| verdict.as_str());
        let words = KINDS.iter().map(|(kind, _)| *kind).chain(verdicts);
        let meant = nearest(word, words)
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let reason = match kinds::LOGGED_ONLY.contains(&word) {
            true => format!("{word:?} is logged, but is no event that is kept{meant}"),
            false => format!("{word:?} is no kind of event and no verdict{meant}"),
        };
        self.problem("notify.events", reason);
    }

    fn program(&mut self, words: Option<Vec<String>>) -> Option<ProgramConfig> {
        let mut words = words?.into_iter();
        let program = PathBuf::from(words.next().unwrap_or_default());
        if !program.is_absolute() {
            let reason = format!("{:?} is no absolute path of a program", program.display());
            self.problem("notify.program", reason);
        }
        Some(ProgramConfig { program, arguments: words.collect() })
    }

    fn post(
        &mut self,
        url: Option<&str>,
        ca: Option<String>,
        token_file: Option<String>,
    ) -> Option<PostConfig> {
        let Some(text) = url else {
            for (key, value) in [("notify.ca", &ca), ("notify.token_file", &token_file)] {
                if value.is_some() {
                    self.problem(key, "is for notify.url; set that too".to_owned());
                }
            }
            return None;
        };
        let parsed = text.parse::<Uri>().ok().filter(|url| {
            let has_password =
                url.authority().is_some_and(|authority| authority.as_str().contains('@'));
            url.scheme_str() == Some("https") && url.host().is_some() && !has_password
        });
        if parsed.is_none() {
            let reason = format!("{text:?} is no address that begins with https://");
            self.problem("notify.url", reason);
        }
        Some(PostConfig {
            url: parsed?,
            ca: ca.map(|path| self.path(&path)),
            token_file: token_file.map(|path| self.path(&path)),
        })
    }
}

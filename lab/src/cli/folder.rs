//! The folder of a run: the one that was named, or a temporary one, which stays where its logs are wanted.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use tempfile::TempDir;

/// The folder of a run. A temporary one is removed when this is dropped.
pub(super) struct RunFolder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl RunFolder {
    /// The one that was named and that nothing is in, or a new one among those that do not last.
    pub(super) fn new(named: Option<&Path>) -> anyhow::Result<Self> {
        match named {
            Some(named) => {
                let is_used = std::fs::read_dir(named).is_ok_and(|mut all| all.next().is_some());
                ensure!(!is_used, "{}: is not empty; --dir takes a new folder", named.display());
                Ok(Self { path: std::path::absolute(named)?, temporary: None })
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("brski-lab-").tempdir()?;
                Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) })
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a temporary folder in which a component wrote a log, and says where it is.
    pub(super) fn keep(self) {
        let has_log = LOGS
            .iter()
            .any(|log| std::fs::metadata(self.path.join(log)).is_ok_and(|log| log.len() > 0));
        if let (true, Some(temporary)) = (has_log, self.temporary) {
            eprintln!("brski-lab: the logs are kept in {}", temporary.keep().display());
        }
    }
}

/// Where components write their logs.
const LOGS: [&str; 2] = ["registrar/registrar.log", "pebble.log"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_stays_for_its_logs_alone() {
        let empty = RunFolder::new(None).unwrap();
        let path = empty.path().to_owned();
        std::fs::write(path.join(LOGS[1]), "").unwrap();
        empty.keep();
        assert!(!path.exists());
        let told = RunFolder::new(None).unwrap();
        let path = told.path().to_owned();
        std::fs::write(path.join(LOGS[1]), "no time today\n").unwrap();
        told.keep();
        assert!(path.join(LOGS[1]).exists());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_that_was_named_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunFolder::new(Some(folder.path())).unwrap());
        assert!(folder.path().exists());
        assert!(RunFolder::new(Some(Path::new("site"))).unwrap().path().is_absolute());
        std::fs::write(folder.path().join("somebody's"), "").unwrap();
        let refused = RunFolder::new(Some(folder.path())).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("is not empty"), "{refused}");
    }
}

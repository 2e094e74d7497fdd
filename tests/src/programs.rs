//! Programs that tests run: ours, which must be built and fresh, and others', which may be missing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};

/// Finds an outside program; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn outside(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are where only root's PATH leads, and run all the same.
    let servers = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(servers);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(&format!("the program '{name}' is not installed (Debian package {package})"));
    }
    found
}

/// Says that a test is skipped.
///
/// # Panics
/// With `CI=true`.
#[allow(clippy::panic)]
pub fn skipped(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "skipped: {reason}");
    println!("skipped: {reason}");
    eprintln!("skipped: {reason}");
}

/// One of our programs, if it is built and not older than its sources.
///
/// # Errors
/// What to run first.
pub fn ours(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    // target/debug/deps/TEST → target/debug/NAME
    let folder = test.parent().and_then(Path::parent).context("the test is in no target folder")?;
    let program = folder.join(name);
    let built = match program.metadata().and_then(|metadata| metadata.modified()) {
        Ok(built) => built,
        Err(_) => {
            bail!("{} is missing: run 'cargo build --workspace --bins' first", program.display())
        }
    };
    let workspace = workspace();
    // What is not linked into a program does not make it old.
    let own: &[&str] = if name == "registrar" { &["registrar", "acme-bridge"] } else { &["lab"] };
    for package in ["voucher", "est"].iter().chain(own) {
        let (newest, file) = newest(&workspace.join(package).join("src"))?;
        if newest > built {
            bail!(
                "{} is older than {}: run 'cargo build --workspace --bins' first",
                program.display(),
                file.display()
            );
        }
    }
    Ok(program)
}

/// A folder of published vectors; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn vectors(name: &str) -> Option<PathBuf> {
    let beside = || workspace().join("../shared/vectors");
    let folder = std::env::var_os("VECTORS_DIR").map_or_else(beside, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped("no vectors");
    None
}

/// The Python of the oracles that `scripts/python-oracles` prepared; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn python() -> Option<PathBuf> {
    python_of("oracles")
}

/// The Python of one of the environments that `scripts/python-oracles` prepared; where it is missing, says so and
/// gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn python_of(environment: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let python = cache.join("brski-registrar").join(environment).join("bin/python");
    if python.is_file() {
        return Some(python);
    }
    skipped(&format!(
        "the Python environment {environment:?} is not there (run scripts/python-oracles)"
    ));
    None
}

/// A program that `scripts/go-programs` built; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn go(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let program = cache.join("brski-registrar/go").join(name);
    if program.is_file() {
        return Some(program);
    }
    skipped(&format!("no go: '{name}' was not built (run scripts/go-programs)"));
    None
}

/// A file that `scripts/node-libraries` fetched; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn node(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let file = cache.join("brski-registrar/node").join(name);
    if file.is_file() {
        return Some(file);
    }
    skipped(&format!("'{name}' is not there (run scripts/node-libraries)"));
    None
}

/// The library of Debian's `faketime`, which sets a program's clock; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn faketime() -> Option<PathBuf> {
    let library = format!("{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    let library = Path::new("/usr/lib").join(library);
    if library.is_file() {
        return Some(library);
    }
    skipped("libfaketime is not installed (Debian package faketime)");
    None
}

/// The Node.js that runs what `scripts/node-libraries` fetched, and the folder of it; where either is missing, says so
/// and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn node_module(name: &str) -> Option<(PathBuf, PathBuf)> {
    let program = outside("node", "nodejs")?;
    let folder = PathBuf::from("node_modules").join(name).join("package.json");
    let manifest = node(&folder.to_string_lossy())?;
    Some((program, manifest.parent()?.to_owned()))
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

fn newest(folder: &Path) -> std::io::Result<(SystemTime, PathBuf)> {
    let mut newest = (SystemTime::UNIX_EPOCH, folder.to_owned());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let candidate = if entry.file_type()?.is_dir() {
            self::newest(&entry.path())?
        } else {
            (entry.metadata()?.modified()?, entry.path())
        };
        if candidate.0 > newest.0 {
            newest = candidate;
        }
    }
    Ok(newest)
}

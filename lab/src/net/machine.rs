//! Machines of a network of the lab's own: network namespaces, each with a runtime whose threads live in it.
//!
//! Whatever such a runtime opens or starts is on that machine. A namespace is removed when its [`Machine`] is dropped,
//! and what a killed run left is found by the number of its process, which is in the name.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::home::{self, Home};

/// How namespaces of the lab are called, before the process and the machine.
const PREFIX: &str = "brski-lab";
/// Where `ip` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
/// Where programs of `iproute2` are, beside the folders of PATH.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/bin"];
/// How long a runtime may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Why there is no network.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Not root.
    #[error("'brski-lab net' makes network namespaces, which takes root; run it with sudo")]
    NotRoot,
    /// A program is not installed.
    #[error("the program '{0}' is not installed; on Debian: sudo apt-get install iproute2")]
    Missing(&'static str),
    /// Root, but without what it takes.
    #[error(
        "this machine lets nobody make network namespaces ({0}); a container needs the capabilities SYS_ADMIN and NET_ADMIN"
    )]
    NotAllowed(String),
    /// A program refused.
    #[error("'{command}' failed: {message}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        message: String,
    },
    /// The system refused.
    #[error("network namespace {namespace}: {source}")]
    System {
        /// Which.
        namespace: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A thread could not enter.
    #[error("no thread can enter network namespace {0}")]
    Outside(String),
    /// A task ended by itself.
    #[error("a task on machine {0} failed")]
    Task(String),
}

/// The program that makes networks, once it is known that it can.
#[derive(Clone, Debug)]
pub struct Tools {
    ip: PathBuf,
}

impl Tools {
    /// Finds out whether networks can be made here.
    ///
    /// # Errors
    /// [`MachineError::NotRoot`] or [`MachineError::Missing`].
    pub fn find() -> Result<Self, MachineError> {
        if !rustix::process::geteuid().is_root() {
            return Err(MachineError::NotRoot);
        }
        Ok(Self { ip: program("ip")? })
    }

    /// Runs `ip` with these arguments.
    pub(super) fn ip(&self, arguments: &[&str]) -> Result<String, MachineError> {
        run(&self.ip, arguments)
    }

    /// Removes what runs of the lab left that are no more: their processes and their namespaces, whose names it gives.
    #[must_use]
    pub fn remove_left_over(&self) -> Vec<String> {
        let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut removed = Vec::new();
        for name in names.filter(|name| owner(name).is_some_and(|owner| !is_lab(owner))) {
            if self.remove(&name).is_ok() {
                removed.push(name);
            }
        }
        removed.sort();
        removed
    }

    /// Ends whatever runs in a namespace, and removes it.
    fn remove(&self, namespace: &str) -> Result<(), MachineError> {
        let inside = self.ip(&["netns", "pids", namespace]).unwrap_or_default();
        for process in inside.lines().filter_map(|line| line.trim().parse().ok()) {
            if let Some(process) = Pid::from_raw(process) {
                // It may have ended meanwhile.
                let _ = kill_process(process, Signal::KILL);
            }
        }
        self.ip(&["netns", "delete", namespace]).map(|_| ())
    }
}

/// Finds a program of `iproute2`.
pub(super) fn program(name: &'static str) -> Result<PathBuf, MachineError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|program| program.is_file()).ok_or(MachineError::Missing(name))
}

/// Runs a program to its end, out of reach of a Ctrl-C that is meant for the lab; gives what it prints.
pub(super) fn run(program: &Path, arguments: &[&str]) -> Result<String, MachineError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    let failed = |message: String| {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        MachineError::Command { command: format!("{name} {}", arguments.join(" ")), message }
    };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// The process that made a namespace, if it is one of the lab's.
fn owner(namespace: &str) -> Option<u32> {
    let rest = namespace.strip_prefix(PREFIX)?.strip_prefix('-')?;
    rest.split_once('-')?.0.parse().ok()
}

/// Whether a process runs the program that this one runs.
fn is_lab(process: u32) -> bool {
    let name = |process: &str| std::fs::read(Path::new("/proc").join(process).join("comm")).ok();
    name(&process.to_string()).is_some_and(|its| name("self").is_none_or(|own| own == its))
}

/// A machine; it ends with everything on it when this is dropped.
pub struct Machine {
    tools: Tools,
    namespace: String,
    runtime: Option<Runtime>,
}

impl Machine {
    /// Makes a machine of this role: a word of letters.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn start(tools: &Tools, role: &str) -> Result<Self, MachineError> {
        let namespace = format!("{PREFIX}-{}-{role}", std::process::id());
        tools.ip(&["netns", "add", &namespace]).map_err(|error| match error {
            MachineError::Command { message, .. } => MachineError::NotAllowed(message),
            other => other,
        })?;
        // From here on, the namespace is removed when this is dropped.
        let mut machine = Self { tools: tools.clone(), namespace, runtime: None };
        machine.ip(&["link", "set", "lo", "up"])?;
        machine.runtime = Some(machine.threads()?);
        Ok(machine)
    }

    /// A runtime whose threads are all in the namespace.
    fn threads(&self) -> Result<Runtime, MachineError> {
        let system = |source| MachineError::System { namespace: self.namespace.clone(), source };
        let file = File::open(Path::new(NAMESPACES).join(&self.namespace)).map_err(system)?;
        let is_outside = Arc::new(AtomicBool::new(false));
        let failed = Arc::clone(&is_outside);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(&self.namespace)
            .enable_all()
            .on_thread_start(move || {
                let network = Some(LinkNameSpaceType::Network);
                if move_into_link_name_space(file.as_fd(), network).is_err() {
                    failed.store(true, Ordering::Release);
                }
            })
            .build()
            .map_err(system)?;
        // The first task runs when its thread has started.
        let (told, asked) = std::sync::mpsc::channel();
        runtime.spawn(async move { told.send(()) });
        let is_running = asked.recv_timeout(END_LIMIT).is_ok();
        match is_running && !is_outside.load(Ordering::Acquire) {
            true => Ok(runtime),
            false => Err(MachineError::Outside(self.namespace.clone())),
        }
    }

    /// The name of its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs something on it, in a thread of its own; it ends half-way when this is given up.
    ///
    /// # Errors
    /// [`MachineError::Task`] if it panics.
    pub async fn run<T, F>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, MachineError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let failed = || MachineError::Task(self.namespace.clone());
        let runtime = self.runtime.as_ref().ok_or_else(failed)?;
        home::run_in(runtime.handle(), work).await.ok_or_else(failed)
    }

    /// It as a home of a part of a site, which has this address on it.
    pub(super) fn home(&self, address: Ipv4Addr) -> Result<Home, MachineError> {
        let gone = || MachineError::Task(self.namespace.clone());
        Ok(Home::on(address, self.runtime.as_ref().ok_or_else(gone)?.handle().clone()))
    }

    /// Has a task run on it that ends with its set.
    pub(super) fn add<T: Send + 'static>(
        &self,
        tasks: &mut JoinSet<T>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(), MachineError> {
        let failed = || MachineError::Task(self.namespace.clone());
        let runtime = self.runtime.as_ref().ok_or_else(failed)?;
        tasks.spawn_on(work, runtime.handle());
        Ok(())
    }

    /// Runs `ip` on it.
    pub(super) fn ip(&self, arguments: &[&str]) -> Result<String, MachineError> {
        let namespace = ["-n", self.namespace.as_str()];
        self.tools.ip(&[&namespace, arguments].concat())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads is nothing that a runtime's own thread may do.
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.shutdown_timeout(END_LIMIT));
            });
        }
        let begin = Instant::now();
        while let Err(error) = self.tools.remove(&self.namespace) {
            if begin.elapsed() > END_LIMIT {
                eprintln!("brski-lab: {error}");
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_the_lab_are_known_by_their_process() {
        assert_eq!(owner("brski-lab-17-pledges"), Some(17));
        for other in ["brski-lab", "brski-lab-17", "brski-lab-x-ca", "brski-test-17-0-in", "vpn"] {
            assert_eq!(owner(other), None, "{other}");
        }
        assert!(is_lab(std::process::id()));
        // No process has the number 0.
        assert!(!is_lab(0));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error = run(Path::new("/bin/sh"), &["-c", "echo no >&2; exit 1"]).unwrap_err();
        assert_eq!(error.to_string(), "'sh -c echo no >&2; exit 1' failed: no");
        assert!(matches!(program("no-such-program"), Err(MachineError::Missing(_))));
    }
}

//! Two machines on a network of a test's own: network namespaces joined by cables, which end with the test.
//!
//! Nothing of it is ever in the machine's own namespace: multicast stays between the two.

use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs;

/// How the namespaces of tests are called, before the process and a number.
const PREFIX: &str = "brski-test";
/// Where Debian's `ip` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
static MADE: AtomicU32 = AtomicU32::new(0);

/// Two machines and two cables between them.
pub struct Network {
    /// Where the registrar is.
    pub inside: Machine,
    /// Where the devices are.
    pub outside: Machine,
}

/// One end of the cables.
#[derive(Clone, Debug)]
pub struct Machine {
    ip: PathBuf,
    namespace: String,
    /// The interface at the first cable.
    pub interface: &'static str,
    /// The interface at the second cable.
    pub second_interface: &'static str,
    /// Its address on the first cable.
    pub address: Ipv4Addr,
}

impl Network {
    /// Makes both machines; where that is not possible, says so and gives nothing.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(ip) = programs::outside("ip", "iproute2") else {
            return Ok(None);
        };
        remove_left_over(&ip);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("{PREFIX}-{}-{number}-{end}", std::process::id());
        let probe = Command::new(&ip).args(["netns", "add", &name("in")]).output()?;
        if !probe.status.success() {
            let reason = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
            programs::skipped(&format!("no network namespaces without root: {reason}"));
            return Ok(None);
        }
        let machine = |end: &str, interface, second_interface, host| Machine {
            ip: ip.clone(),
            namespace: name(end),
            interface,
            second_interface,
            address: Ipv4Addr::new(10, 77, 0, host),
        };
        // From here on, what was made is removed when this is dropped.
        let network = Self {
            inside: machine("in", "first-in", "second-in", 1),
            outside: machine("out", "first-out", "second-out", 2),
        };
        network.lay_cables()?;
        Ok(Some(network))
    }

    fn lay_cables(&self) -> anyhow::Result<()> {
        let (inside, outside) = (&self.inside, &self.outside);
        run(&inside.ip, &["netns", "add", &outside.namespace])?;
        for (cable, here, there) in [
            (0, inside.interface, outside.interface),
            (1, inside.second_interface, outside.second_interface),
        ] {
            inside.ip(&[
                "link",
                "add",
                here,
                "type",
                "veth",
                "peer",
                "name",
                there,
                "netns",
                &outside.namespace,
            ])?;
            for (machine, interface) in [(inside, here), (outside, there)] {
                let host = machine.address.octets()[3];
                let address = format!("10.77.{cable}.{host}/24");
                machine.ip(&["address", "add", &address, "dev", interface])?;
                machine.ip(&["link", "set", interface, "up"])?;
            }
        }
        inside.ip(&["link", "set", "lo", "up"])?;
        outside.ip(&["link", "set", "lo", "up"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in [&self.inside, &self.outside] {
            // With the last namespace the cables end.
            if let Err(error) = run(&machine.ip, &["netns", "delete", &machine.namespace]) {
                eprintln!("{error}");
            }
        }
    }
}

impl Machine {
    /// What starts a program on this machine.
    #[must_use]
    pub fn launcher(&self) -> Vec<OsString> {
        let words = [self.ip.as_os_str(), "netns".as_ref(), "exec".as_ref()];
        let words = words.into_iter().map(OsString::from);
        words.chain([OsString::from(&self.namespace)]).collect()
    }

    /// A program on this machine.
    #[must_use]
    pub fn program(&self, program: &Path) -> tokio::process::Command {
        let mut words = self.launcher().into_iter();
        let mut command = tokio::process::Command::new(words.next().unwrap_or_default());
        command.args(words).arg(program);
        command
    }

    /// Runs something on this machine, in a thread of its own.
    ///
    /// # Errors
    /// If the thread cannot enter, and what comes of the work.
    pub fn run<T, F>(&self, work: impl FnOnce() -> F + Send) -> anyhow::Result<T>
    where
        T: Send,
        F: Future<Output = anyhow::Result<T>>,
    {
        let namespace = File::open(Path::new(NAMESPACES).join(&self.namespace))?;
        let thread = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work())
        };
        std::thread::scope(|scope| scope.spawn(thread).join())
            .map_err(|_| anyhow::anyhow!("the thread on {} panicked", self.namespace))?
    }

    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let namespace = ["-n", self.namespace.as_str()];
        run(&self.ip, &[&namespace, arguments].concat())
    }
}

fn run(ip: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(ip).args(arguments).output().context("ip")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), message.trim());
    Ok(())
}

/// Removes what tests left that were killed: namespaces of processes that are no more.
fn remove_left_over(ip: &Path) {
    let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-'));
        let process = rest.and_then(|rest| rest.split('-').next());
        let is_over = process.is_some_and(|process| !Path::new("/proc").join(process).exists());
        if is_over && let Err(error) = run(ip, &["netns", "delete", &name]) {
            eprintln!("{error}");
        }
    }
}

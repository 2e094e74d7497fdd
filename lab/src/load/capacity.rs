//! Whether this machine can do what is wished for, before anything is started.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Descriptors besides those of connections: the runtime's, files, standard streams.
const DESCRIPTORS_BESIDE: u64 = 128;
/// What a connection with TLS takes here, at most, in octets; measured, and doubled.
const CONNECTION_OCTETS: u64 = 96 * 1024;
/// What a CSR or voucher request takes, with its bookkeeping, in octets.
const MESSAGE_OCTETS: u64 = 4 * 1024;
/// What a client with its certificate, key and TLS configuration takes, in octets.
const CLIENT_OCTETS: u64 = 24 * 1024;

/// Why it cannot.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityError {
    /// There are not so many descriptors.
    #[error(
        "{connections} connections need {needed} descriptors, and this system gives a process {most} (ulimit -Hn)"
    )]
    Descriptors {
        /// How many connections.
        connections: u64,
        /// How many descriptors they need.
        needed: u64,
        /// How many there are.
        most: u64,
    },
    /// The limit cannot be raised.
    #[error("the limit of descriptors cannot be raised to {needed}: {reason}")]
    Raise {
        /// To what.
        needed: u64,
        /// What the system said.
        reason: String,
    },
    /// There are not so many local ports for one address of a server.
    #[error(
        "{connections} connections to one address need as many local ports, and this system has {ports} (net.ipv4.ip_local_port_range)"
    )]
    Ports {
        /// How many connections.
        connections: u64,
        /// How many ports.
        ports: u64,
    },
    /// There is not so much memory.
    #[error(
        "{connections} connections, {clients} clients and {messages} prepared messages need about {needed_mib} MiB of memory, and {available_mib} MiB are free"
    )]
    Memory {
        /// How many connections.
        connections: u64,
        /// How many clients.
        clients: u64,
        /// How many messages are made beforehand.
        messages: u64,
        /// What they need, in MiB.
        needed_mib: u64,
        /// What there is, in MiB.
        available_mib: u64,
    },
}

/// What a run needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Connections at once.
    pub connections: u64,
    /// Clients with keys of their own.
    pub clients: u64,
    /// CSRs and voucher requests that are made beforehand.
    pub messages: u64,
}

/// What this machine has.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// The most descriptors of a process.
    descriptors: u64,
    /// Local ports to connect from.
    ports: u64,
    /// Memory that is free, in octets.
    memory: u64,
}

impl Machine {
    fn this() -> Self {
        Self {
            descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range", ports),
            memory: read("/proc/meminfo", available),
        }
    }
}

/// What a file of the kernel says; no limit where it says nothing.
fn read(file: &str, meaning: impl Fn(&str) -> Option<u64>) -> u64 {
    std::fs::read_to_string(file).ok().and_then(|text| meaning(&text)).unwrap_or(u64::MAX)
}

fn ports(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (first, last) = (words.next()?, words.next()?);
    Some((last + 1).saturating_sub(first))
}

fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

impl Need {
    /// Checks that this machine has it, and raises the limit of descriptors as far as that takes.
    ///
    /// # Errors
    /// [`CapacityError`].
    pub fn secure(self) -> Result<(), CapacityError> {
        let descriptors = self.check(Machine::this())?;
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < descriptors) {
            let raised = Rlimit { current: Some(descriptors), maximum: limit.maximum };
            let reason = |error: rustix::io::Errno| error.to_string();
            setrlimit(Resource::Nofile, raised).map_err(|error| CapacityError::Raise {
                needed: descriptors,
                reason: reason(error),
            })?;
        }
        Ok(())
    }

    /// How many descriptors it takes, if the machine has all of it.
    fn check(self, machine: Machine) -> Result<u64, CapacityError> {
        let Self { connections, clients, messages } = self;
        let descriptors = connections.saturating_add(DESCRIPTORS_BESIDE);
        if descriptors > machine.descriptors {
            let (needed, most) = (descriptors, machine.descriptors);
            return Err(CapacityError::Descriptors { connections, needed, most });
        }
        if connections > machine.ports {
            return Err(CapacityError::Ports { connections, ports: machine.ports });
        }
        let needed = (connections.saturating_mul(CONNECTION_OCTETS))
            .saturating_add(clients.saturating_mul(CLIENT_OCTETS))
            .saturating_add(messages.saturating_mul(MESSAGE_OCTETS));
        if needed > machine.memory {
            let mib = |octets: u64| octets / (1024 * 1024);
            return Err(CapacityError::Memory {
                connections,
                clients,
                messages,
                needed_mib: mib(needed),
                available_mib: mib(machine.memory),
            });
        }
        Ok(descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Machine = Machine { descriptors: 1024, ports: 900, memory: 64 * 1024 * 1024 };
    const NEED: Need = Need { connections: 100, clients: 100, messages: 1000 };

    #[test]
    fn what_a_machine_has_is_enough() {
        assert_eq!(NEED.check(SMALL), Ok(100 + DESCRIPTORS_BESIDE));
    }

    #[test]
    fn too_much_of_anything_is_refused_by_name() {
        let refused = |need: Need, machine| need.check(machine).unwrap_err().to_string();
        let many = Need { connections: 1000, ..NEED };
        assert!(refused(many, SMALL).contains("need 1128 descriptors"));
        let roomy = Machine { descriptors: u64::MAX, ..SMALL };
        assert!(refused(many, roomy).contains("this system has 900"));
        let messages = Need { messages: 1_000_000, ..NEED };
        assert!(refused(messages, SMALL).contains("64 MiB are free"));
        assert!(refused(Need { clients: u64::MAX, ..NEED }, SMALL).contains("memory"));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may() {
        Need { connections: 1, clients: 1, messages: 1 }.secure().unwrap();
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 40);
        let beyond = Need { connections: most, clients: 0, messages: 0 };
        assert!(matches!(beyond.secure(), Err(CapacityError::Descriptors { .. })));
    }

    #[test]
    fn the_kernel_s_files_are_read() {
        assert_eq!(ports("32768\t60999\n"), Some(28232));
        assert_eq!(ports("x"), None);
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }
}

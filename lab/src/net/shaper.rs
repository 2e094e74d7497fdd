//! Links between machines, and who spoils them: the kernel (`tc netem`) where it can, else the lab's own relay.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;
use tokio_tun::Tun;

use super::link::{LinkName, Quality};
use super::machine::{self, Machine, MachineError};
use super::relay::{Frames, Relay};

/// How many frames netem holds at most.
const QUEUE: &str = "1000";

/// Who is to spoil links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShaperWish {
    /// The kernel where it has netem, else the lab's own relay
    #[default]
    Auto,
    /// The kernel's netem
    Netem,
    /// The lab's own relay
    Relay,
}

/// Who spoils links.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "shaper")]
pub enum Shaper {
    /// The kernel's netem, told by this program.
    Netem {
        /// `tc`.
        #[serde(skip)]
        tc: PathBuf,
    },
    /// The lab's own relay.
    Relay {
        /// Why it is not netem.
        #[serde(skip)]
        reason: String,
    },
}

/// Why a link cannot be laid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShaperError {
    /// The kernel cannot.
    #[error("this kernel has no netem ({0}); load the module sch_netem, or use --shaper relay")]
    NoNetem(MachineError),
    /// The machines' side.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// There is no interface for the relay.
    #[error("interface {interface} cannot be made: {message}; the relay needs /dev/net/tun")]
    Interface {
        /// Which.
        interface: String,
        /// What the system said.
        message: String,
    },
}

impl Shaper {
    /// Chooses, by trying netem on the loopback interface of a machine.
    ///
    /// # Errors
    /// [`ShaperError::NoNetem`] where it is wanted and cannot be had.
    pub fn choose(wish: ShaperWish, machine: &Machine) -> Result<Self, ShaperError> {
        let relay = |reason: &str| Self::Relay { reason: reason.to_owned() };
        if wish == ShaperWish::Relay {
            return Ok(relay("as it was asked for"));
        }
        let tried = machine::program("tc").and_then(|tc| {
            netem(&tc, machine.namespace(), "lo", &Quality::default(), State::Whole)?;
            Ok(tc)
        });
        match (tried, wish) {
            (Ok(tc), _) => Ok(Self::Netem { tc }),
            (Err(error), ShaperWish::Netem) => Err(ShaperError::NoNetem(error)),
            (Err(MachineError::Missing(program)), _) => {
                Ok(relay(&format!("the program '{program}' is not installed")))
            }
            (Err(_), _) => Ok(relay("this kernel has no netem")),
        }
    }

    /// What is said aloud.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Netem { .. } => "the kernel's netem spoils the links".to_owned(),
            Self::Relay { reason } => format!("the lab's own relay spoils the links: {reason}"),
        }
    }

    /// Lays a link between two machines.
    ///
    /// # Errors
    /// [`ShaperError`].
    pub async fn lay(
        &self,
        name: LinkName,
        quality: &Quality,
        one: &End<'_>,
        other: &End<'_>,
    ) -> Result<Link, ShaperError> {
        let way = match self {
            Self::Netem { tc } => {
                let (here, there) = (&one.interface, &other.interface);
                let peer = ["peer", "name", there, "netns", other.machine.namespace()];
                one.machine.ip(&[&["link", "add", here, "type", "veth"], &peer[..]].concat())?;
                let ends = [one, other]
                    .map(|end| (end.machine.namespace().to_owned(), end.interface.clone()));
                Way::Netem { tc: tc.clone(), ends }
            }
            Self::Relay { .. } => {
                let (here, there) = (one.tap().await?, other.tap().await?);
                Way::Relay(Relay::start(here, there, quality.clone()))
            }
        };
        for end in [one, other] {
            let address = format!("{}/24", end.address);
            end.machine.ip(&["address", "add", &address, "dev", &end.interface])?;
            end.machine.ip(&["link", "set", &end.interface, "up"])?;
        }
        let link = Link { name, quality: quality.clone(), way };
        link.mend()?;
        Ok(link)
    }
}

/// Where a link ends.
pub struct End<'a> {
    /// On which machine.
    pub machine: &'a Machine,
    /// By which name there.
    pub interface: String,
    /// With which address.
    pub address: Ipv4Addr,
}

impl End<'_> {
    /// Makes the interface, whose frames come to the lab.
    async fn tap(&self) -> Result<Tun, ShaperError> {
        let name = self.interface.clone();
        let failed =
            |message: String| ShaperError::Interface { interface: self.interface.clone(), message };
        let made = self.machine.run(move || async move {
            let made = Tun::builder().name(&name).tap().build();
            made.map_err(|error| error.to_string())
        });
        let made = made.await?.map_err(failed)?;
        made.into_iter().next().ok_or_else(|| failed("there is none".to_owned()))
    }
}

enum Way {
    Netem { tc: PathBuf, ends: [(String, String); 2] },
    Relay(Relay),
}

/// A link between two machines.
pub struct Link {
    name: LinkName,
    quality: Quality,
    way: Way,
}

/// Whether a link carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
}

impl Link {
    /// Which it is.
    #[must_use]
    pub fn name(&self) -> LinkName {
        self.name
    }

    /// What it is like.
    #[must_use]
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// From now on nothing crosses.
    ///
    /// # Errors
    /// What `tc` says.
    pub fn cut(&self) -> Result<(), MachineError> {
        match &self.way {
            Way::Relay(relay) => relay.cut(),
            Way::Netem { tc, ends } => self.netem(tc, ends, State::Cut)?,
        }
        Ok(())
    }

    /// From now on it is as it was.
    ///
    /// # Errors
    /// What `tc` says.
    pub fn mend(&self) -> Result<(), MachineError> {
        match &self.way {
            Way::Relay(relay) => relay.mend(),
            Way::Netem { tc, ends } => self.netem(tc, ends, State::Whole)?,
        }
        Ok(())
    }

    /// What became of its frames; the kernel is not asked.
    #[must_use]
    pub fn frames(&self) -> Option<Frames> {
        match &self.way {
            Way::Relay(relay) => Some(relay.frames()),
            Way::Netem { .. } => None,
        }
    }

    /// Waits until it carries nothing more, though it was not cut; says so, and why. The kernel's goes on for ever.
    pub async fn ended(&self) -> String {
        let why = match &self.way {
            Way::Relay(relay) => relay.ended().await,
            Way::Netem { .. } => std::future::pending().await,
        };
        format!("link {} carries nothing any more: {why}", self.name.as_str())
    }

    fn netem(
        &self,
        tc: &Path,
        ends: &[(String, String); 2],
        state: State,
    ) -> Result<(), MachineError> {
        ends.iter().try_for_each(|(namespace, interface)| {
            netem(tc, namespace, interface, &self.quality, state)
        })
    }
}

/// Has the kernel treat what leaves an interface like this.
fn netem(
    tc: &Path,
    namespace: &str,
    interface: &str,
    quality: &Quality,
    state: State,
) -> Result<(), MachineError> {
    let arguments = netem_arguments(namespace, interface, quality, state);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    machine::run(tc, &arguments).map(|_| ())
}

/// All of it each time, since netem forgets what it is not told.
fn netem_arguments(
    namespace: &str,
    interface: &str,
    quality: &Quality,
    state: State,
) -> Vec<String> {
    let loss = match state {
        State::Whole => quality.loss_percent,
        State::Cut => 100.0,
    };
    let delay = format!("{}ms", quality.delay.as_millis());
    let words = ["-n", namespace, "qdisc", "replace", "dev", interface, "root", "netem"];
    let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["limit".into(), QUEUE.into(), "delay".into(), delay]);
    arguments.extend(["loss".into(), format!("{loss}%")]);
    if let Some(rate) = quality.rate_kbit {
        arguments.extend(["rate".into(), format!("{rate}kbit")]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netem_is_told_everything_each_time() {
        let wish: super::super::link::LinkWish =
            "site:delay_ms=40,loss_percent=2.5,rate_kbit=512".parse().unwrap();
        let told = |state| netem_arguments("ns", "eth", &wish.quality, state).join(" ");
        assert_eq!(
            told(State::Whole),
            "-n ns qdisc replace dev eth root netem limit 1000 delay 40ms loss 2.5% rate 512kbit"
        );
        assert_eq!(
            told(State::Cut),
            "-n ns qdisc replace dev eth root netem limit 1000 delay 40ms loss 100% rate 512kbit"
        );
        let plain = netem_arguments("ns", "lo", &Quality::default(), State::Whole).join(" ");
        assert!(plain.ends_with("limit 1000 delay 0ms loss 0%"), "{plain}");
    }
}

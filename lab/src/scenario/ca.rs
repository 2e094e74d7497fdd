//! The CA of a scenario: inside the registrar, Pebble, or the lab's own, which lies on demand.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::Issuer;
use super::site::Programs;
use super::turn::Turns;
use super::words::IssuerKind;
use crate::acme::{AcmeCa, CaStyle};
use crate::home::Homes;
use crate::pebble::{Pebble, PebbleOptions};
use crate::process;
use crate::up::{acme_arguments, acme_arguments_of};

/// The file of the anchor of the lab's own CA's TLS certificate, in the folder of the run.
const TLS_ANCHOR: &str = "acme-tls-ca.pem";
/// The file of the root that its chains end at.
const ROOT: &str = "acme-root.pem";

/// A CA that lies on demand.
pub(super) struct LyingCa {
    pub(super) acme: AcmeCa,
    /// The turns of those who order.
    pub(super) turns: Turns,
}

/// Where a site's certificates come from.
pub(super) enum Ca {
    /// The registrar itself.
    Inside,
    /// A real CA for tests, a process.
    Pebble(Box<Pebble>),
    /// The lab's own.
    Lying(Arc<LyingCa>),
}

impl Ca {
    /// Starts it in its home.
    pub(super) async fn start(
        issuer: &Issuer,
        programs: &Programs,
        homes: &Homes,
    ) -> anyhow::Result<Self> {
        let home = || homes.ca.as_ref().context("there is no place for a CA");
        match issuer.kind {
            IssuerKind::Local => Ok(Self::Inside),
            IssuerKind::Pebble => {
                let home = home()?;
                let options = PebbleOptions {
                    validation: issuer.validation,
                    nonces_rejected_percent: issuer.nonces_rejected_percent,
                    host: home.address(),
                    ..PebbleOptions::default()
                };
                let (program, folder) = (programs.pebble.clone(), programs.folder.clone());
                let dns = homes.dns;
                let started = home.run(move || async move {
                    Pebble::start_with(&program, &folder, dns, &options).await
                });
                Ok(Self::Pebble(Box::new(started.await??)))
            }
            IssuerKind::Lying => {
                let home = home()?;
                let listen = SocketAddr::new(home.address(), 0);
                let started =
                    home.run(move || async move { AcmeCa::start(listen, CaStyle::Plain).await });
                let (acme, turns) = (started.await??, Turns::default());
                std::fs::write(programs.folder.join(TLS_ANCHOR), acme.tls_anchor())?;
                std::fs::write(programs.folder.join(ROOT), acme.root())?;
                Ok(Self::Lying(Arc::new(LyingCa { acme, turns })))
            }
        }
    }

    /// The arguments of `registrar init` for it.
    pub(super) fn arguments(&self, programs: &Programs, dns: SocketAddr) -> Vec<OsString> {
        match self {
            Self::Inside => Vec::new(),
            Self::Pebble(pebble) => acme_arguments(&pebble.directory(), pebble, dns),
            Self::Lying(lying) => {
                let file = |name| programs.folder.join(name);
                acme_arguments_of(&lying.acme.directory(), &file(TLS_ANCHOR), &file(ROOT), dns)
            }
        }
    }

    /// It, if it lies on demand.
    pub(super) fn lying(&self) -> Option<Arc<LyingCa>> {
        match self {
            Self::Lying(lying) => Some(Arc::clone(lying)),
            Self::Inside | Self::Pebble(_) => None,
        }
    }

    /// Waits until it ends by itself; says how, and what it said last.
    pub(super) async fn failure(&mut self) -> String {
        match self {
            Self::Inside => std::future::pending().await,
            Self::Pebble(pebble) => {
                let log = pebble.log();
                process::last_words("Pebble", &pebble.ended().await, &log)
            }
            Self::Lying(lying) => {
                let (why, told) = (lying.acme.ended().await, lying.acme.told());
                format!("the CA that lies ended by itself: {why}; it had told {told} lies")
            }
        }
    }

    pub(super) async fn stop(self) {
        if let Self::Pebble(pebble) = self {
            pebble.stop().await;
        }
    }
}

//! Whether this machine bears a scenario, before anything of it is started.

use thiserror::Error;

use super::Scenario;
use crate::load::{CapacityError, Need};

/// How many connections `registrar init` lets a registrar take at once.
const REGISTRAR_CONNECTIONS: u32 = 1000;
/// What else a registrar has open.
const REGISTRAR_BESIDE: u64 = 256;

/// The machine cannot.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{pledges} pledges, {at_once} of them at once, are more than this machine bears (lower fleet.count or at_once, or take a part with --at-most N or --scale SHARE)"
)]
pub(super) struct TooMuch {
    /// How many there are.
    pub(super) pledges: u32,
    /// How many there are at once.
    pub(super) at_once: u32,
    /// What there is not enough of.
    #[source]
    pub(super) source: CapacityError,
}

/// Checks that so many pledges fit, each of whose connections has so many ends in this process, and raises the limit of
/// descriptors for this process and those that it starts.
///
/// # Errors
/// [`TooMuch`].
pub(super) fn secure(scenario: &Scenario, pledges: u32, ends: u64) -> Result<(), TooMuch> {
    let at_once = scenario.at_once.unwrap_or(pledges).min(pledges);
    let registrar = scenario.registrar.connections.unwrap_or(REGISTRAR_CONNECTIONS);
    // Its MASAs are here, too, and each request to one has a connection.
    let own = u64::from(at_once) * ends + u64::from(at_once.min(registrar));
    let its = u64::from(registrar) * 2 + REGISTRAR_BESIDE;
    // The registrar has the limit of whoever starts it; where it gets less, it takes fewer.
    let most = Need { connections: own.max(its), clients: 0, messages: 0 };
    let need = Need { connections: own, clients: u64::from(pledges), messages: 0 };
    need.secure().map_err(|source| TooMuch { pledges, at_once, source })?;
    let _ = most.secure();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::words::IssuerKind;
    use super::*;

    #[test]
    fn more_than_any_machine_has_is_refused_by_name() {
        let all_at_once = Scenario { at_once: None, ..Scenario::usual(1, 1, IssuerKind::Local) };
        let refused = secure(&all_at_once, u32::MAX, 1).unwrap_err().to_string();
        assert!(
            refused.contains("4294967295 pledges") && refused.contains("--at-most"),
            "{refused}"
        );
    }

    #[test]
    fn a_few_are_no_trouble() {
        assert_eq!(secure(&Scenario::usual(3, 2, IssuerKind::Local), 3, 3), Ok(()));
    }
}

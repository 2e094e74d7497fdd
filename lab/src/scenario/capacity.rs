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
    "{pledges} pledges, {at_once} of them at once, and {masas} MASAs are more than this machine bears (lower fleet.count or at_once, or take a part with --at-most N or --scale SHARE)"
)]
pub(super) struct TooMuch {
    /// How many there are.
    pub(super) pledges: u64,
    /// How many there are at once.
    pub(super) at_once: u64,
    /// How many MASAs there are.
    pub(super) masas: u64,
    /// What there is not enough of.
    #[source]
    pub(super) source: CapacityError,
}

/// Checks that so many pledges fit, each of whose connections has so many ends in this process, and raises the limit of
/// descriptors for this process and those that it starts.
///
/// # Errors
/// [`TooMuch`].
pub(super) fn secure(scenario: &Scenario, pledges: u64, ends: u64) -> Result<(), TooMuch> {
    let at_once = scenario.at_once.map_or(pledges, u64::from).min(pledges);
    let masas = u64::try_from(scenario.manufacturers.len()).unwrap_or(u64::MAX);
    let registrar = u64::from(scenario.registrar.connections.unwrap_or(REGISTRAR_CONNECTIONS));
    // The MASAs are here, too: each listens, and each request to one has a connection.
    let own =
        at_once.saturating_mul(ends).saturating_add(at_once.min(registrar)).saturating_add(masas);
    let its = registrar * 2 + REGISTRAR_BESIDE;
    // The registrar has the limit of whoever starts it; where it gets less, it takes fewer.
    let most = Need { connections: own.max(its), clients: 0, messages: 0 };
    let need = Need { connections: own, clients: pledges.saturating_add(masas), messages: 0 };
    need.secure().map_err(|source| TooMuch { pledges, at_once, masas, source })?;
    let _ = most.secure();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Maker;
    use super::super::words::IssuerKind;
    use super::*;

    #[test]
    fn more_than_any_machine_has_is_refused_by_name() {
        let all_at_once = Scenario { at_once: None, ..Scenario::usual(1, 1, IssuerKind::Local) };
        let refused = secure(&all_at_once, u64::MAX, 1).unwrap_err().to_string();
        assert!(
            refused.contains("18446744073709551615 pledges") && refused.contains("--at-most"),
            "{refused}"
        );
        let mut crowded = Scenario::usual(1, 1, IssuerKind::Local);
        crowded.manufacturers = vec![Maker::plain("m"); 2_000_000];
        let refused = secure(&crowded, 1, 1).unwrap_err().to_string();
        assert!(refused.contains("2000000 MASAs"), "{refused}");
    }

    #[test]
    fn a_few_are_no_trouble() {
        assert_eq!(secure(&Scenario::usual(3, 2, IssuerKind::Local), 3, 3), Ok(()));
    }
}

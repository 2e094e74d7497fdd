//! A pledge that finds its way: it looks for join proxies and registrars by mDNS, and joins at the first that lets it.
//!
//! RFC 8995 §4.1, §5.6.2: each attempt has a nonce of its own, and where one place fails the next one is tried.

use std::time::Duration;

use thiserror::Error;

use super::journey::{self, Enrolled, Label};
use super::{Pledge, PledgeError};
use crate::discovery::{self, DiscoveryError, Place};

/// Where and how long a pledge looks.
#[derive(Clone, Debug)]
pub struct Search {
    /// The network interfaces.
    pub interfaces: Vec<String>,
    /// How long it looks before it tries what it found.
    pub period: Duration,
    /// How often it looks and tries before it gives up; at least once.
    pub rounds: u32,
}

/// A pledge that made it.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Where.
    pub place: Place,
    /// In which round, from 1.
    pub round: u32,
    /// With what.
    pub enrolled: Enrolled,
}

/// Why a pledge joined nowhere.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// mDNS cannot be spoken.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// Nobody was found.
    #[error("nobody answers on {interfaces}")]
    Nobody {
        /// Where it looked.
        interfaces: String,
    },
    /// Everybody refused, or failed.
    #[error("none of the {places} places that were found let it join; the last one: {last}")]
    Nowhere {
        /// How many were tried in the last round.
        places: usize,
        /// Why the last of them did not.
        #[source]
        last: PledgeError,
    },
}

/// Looks until there is a place to join, or its rounds are over; gives the one that a pledge tries first.
///
/// # Errors
/// [`JoinError::Discovery`] or [`JoinError::Nobody`].
pub async fn find(search: &Search) -> Result<Place, JoinError> {
    for _ in 0..search.rounds.max(1) {
        let places = discovery::browse(&search.interfaces, search.period).await?;
        if let Some(first) = places.into_iter().next() {
            return Ok(first);
        }
    }
    Err(JoinError::Nobody { interfaces: search.interfaces.join(", ") })
}

/// Looks, and tries what is found, until it joins somewhere or its rounds are over.
///
/// `told`: hears of each place where it could not join.
///
/// # Errors
/// [`JoinError`] of the last round.
pub async fn join(
    pledge: &Pledge,
    label: &Label,
    search: &Search,
    told: impl Fn(&Place, &PledgeError),
) -> Result<Joined, JoinError> {
    let mut round = 0;
    loop {
        round += 1;
        let places = discovery::browse(&search.interfaces, search.period).await?;
        let interfaces = search.interfaces.join(", ");
        let mut failed = JoinError::Nobody { interfaces };
        for place in &places {
            match journey::run(pledge, place.address, label).await {
                Ok(enrolled) => return Ok(Joined { place: place.clone(), round, enrolled }),
                Err(last) => {
                    told(place, &last);
                    failed = JoinError::Nowhere { places: places.len(), last };
                }
            }
        }
        if round >= search.rounds {
            return Err(failed);
        }
    }
}

//! Load on any EST server or BRSKI registrar, and what it bears.
//!
//! [`Target::find`] sees whether there is a server; [`est_clients`] and [`voucher_clients`] make keys and messages
//! beforehand, so that the clock measures the server; [`run`] asks as [`Plan`] says; [`Report`] is what came of it.

mod capacity;
mod client;
mod engine;
mod measure;
mod pace;
pub mod plot;
mod process_time;
mod report;
mod target;

use brski_est::authentication::CredentialsError;
use thiserror::Error;

pub use self::capacity::{CapacityError, Need};
pub use self::client::{
    ClientOptions, LoadClient, Proof, Question, est_clients, tls, voucher_clients,
};
pub use self::engine::{Connections, Ended, Moment, Outcome, Plan, Work, run};
pub(crate) use self::measure::{Failed, histogram};
pub use self::measure::{Failure, Occurrence, Tally};
pub use self::pace::{Arrival, End, RATE_MOST, Rate, RateError};
pub use self::process_time::{ProcessTime, ProcessTimeError, own as own_time};
pub(crate) use self::report::real;
pub use self::report::{Facts, Report};
pub use self::target::Target;
use crate::est::client::ClientError;
use crate::est::request::RequestError;
use crate::est::trust::TrustError;
use crate::pledge::PledgeError;

/// Why there is no load.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody is there.
    #[error("{url} cannot be reached; tried: {}", tried.join("; "))]
    Unreachable {
        /// The server.
        url: String,
        /// What was tried, and what came of it.
        tried: Vec<String>,
    },
    /// The machine cannot.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The server wants CSRs that are made for one session.
    #[error(
        "the server wants each CSR to be linked to its TLS session, so none can be made beforehand"
    )]
    Linked,
    /// There is nobody who could ask.
    #[error("there is nobody to ask in the name of")]
    NoClients,
    /// The server did not say what it wants in a CSR.
    #[error("before the run: {0}")]
    Client(#[from] ClientError),
    /// A CSR cannot be made.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A voucher request cannot be made.
    #[error(transparent)]
    Pledge(#[from] PledgeError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The name or the secret cannot be sent.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The process to be measured.
    #[error(transparent)]
    ProcessTime(#[from] ProcessTimeError),
    /// A thread cannot be started.
    #[error("a thread of the generator cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

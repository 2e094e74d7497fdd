//! Why a MASA gave no answer that counts, told apart by whose fault it is.

use std::net::SocketAddr;
use std::time::Duration;

use brski_est::authentication::CredentialsError;
use thiserror::Error;

use super::client::ANSWER_OCTETS;
use crate::identity::IdentityError;
use crate::secret::SecretError;

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MasaError {
    /// The host is not on the manufacturer's list.
    #[error(
        "host {host} is not among the hosts allowed for this manufacturer ({allowed}); allow it with 'registrar manufacturer add --masa-host'"
    )]
    HostRefused {
        /// The host in the URL.
        host: String,
        /// The list.
        allowed: String,
    },
    /// The host's addresses are not public and the operator has not allowed the host.
    #[error(
        "host {host} has the address {address}, which is not public; allow it with 'registrar manufacturer add --masa-host'"
    )]
    AddressRefused {
        /// The host in the URL.
        host: String,
        /// Its address.
        address: SocketAddr,
    },
    /// The host is not a name or an address.
    #[error("host {host:?} is neither a DNS name nor an IP address")]
    Host {
        /// The host in the URL.
        host: String,
    },
    /// The name does not resolve, or nobody listens there.
    #[error("cannot reach {host}:{port}")]
    Connect {
        /// The host in the URL.
        host: String,
        /// The port in the URL.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// TLS failed, most likely on the MASA's certificate.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The host in the URL.
        host: String,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up on our side.
    #[error("no TLS client can be made: {0}")]
    Setup(#[source] rustls::Error),
    /// The certificate that the MASA is to be shown, or its key, cannot be used.
    #[error("the certificate for this MASA cannot be used: {0}")]
    ClientCertificate(#[from] IdentityError),
    /// The name and password for the MASA, or the place of a key, cannot be used.
    #[error("a secret for this MASA cannot be used: {0}")]
    Secret(#[from] SecretError),
    /// The name and password for the MASA are none, or cannot answer what it asks.
    #[error("the name and password for this MASA cannot be used: {0}")]
    Credentials(#[from] CredentialsError),
    /// HTTP failed.
    #[error("HTTP failed: {0}")]
    Http(#[source] hyper::Error),
    /// The request cannot be expressed in HTTP.
    #[error("the request is not HTTP: {0}")]
    Request(#[source] http::Error),
    /// The answer is longer than any voucher or audit log.
    #[error("the MASA's answer is longer than {ANSWER_OCTETS} octets")]
    AnswerTooLong,
    /// The answer broke off.
    #[error("the MASA's answer broke off")]
    AnswerBroken,
    /// The answer is said to be somewhere else.
    #[error(
        "the MASA says that its answer is at {location:?}, which is not a place at its own host"
    )]
    Location {
        /// Where, as it says, cut.
        location: String,
    },
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Who can change something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Time: the MASA may answer when it is asked again.
    Time,
    /// The operator, who says where MASAs may be.
    Operator,
    /// The administrator of this machine, whose files are not what they should be.
    Administrator,
    /// The MASA, which was heard and cannot be understood: asking again would cost as much.
    Masa,
}

impl MasaError {
    /// Who can change something about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::HostRefused { .. } | Self::AddressRefused { .. } | Self::Host { .. } => {
                Remedy::Operator
            }
            Self::Setup(_)
            | Self::ClientCertificate(_)
            | Self::Secret(_)
            | Self::Credentials(_)
            | Self::Request(_) => Remedy::Administrator,
            Self::AnswerTooLong | Self::Location { .. } => Remedy::Masa,
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Http(_)
            | Self::AnswerBroken
            | Self::Timeout(_) => Remedy::Time,
        }
    }
}

//! TXT records by dynamic updates that a TSIG key signs: exactly one record is added, exactly one is removed.
//!
//! An addition is done when every authoritative server shows the record, since a CA may ask any of them.
//!
//! RFC 2136, RFC 8945 (TSIG); RFC 3007 §4 on who may update what.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;
use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType};
use thiserror::Error;
use tokio::net::lookup_host;
use tokio::time::Instant;

use super::{Records, SolverError, TxtRecord};
use crate::answer::Place;
use crate::clock::Clock;

mod exchange;
mod key;

pub use self::key::TsigKey;

/// How long a record may be kept, in seconds: nobody asks for it twice.
const TTL: u32 = 1;
/// The pauses between two looks at the authoritative servers.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long one look at one server may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// The longest string in a TXT record, in octets.
const STRING_OCTETS: usize = 255;

/// Why an update was not made, or not seen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The server cannot be reached, or does not speak DNS.
    #[error("the DNS server {server} cannot be used: {source}")]
    Unreachable {
        /// The server.
        server: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The server does not know the key, or not for this zone.
    #[error("the DNS server {server} does not take the TSIG key {key} (BADKEY)")]
    BadKey {
        /// The server.
        server: String,
        /// The key's name.
        key: String,
    },
    /// The server has another secret under the key's name.
    #[error(
        "the DNS server {server} finds the signature of the TSIG key {key} wrong (BADSIG): \
         the secret or the algorithm differs"
    )]
    BadSignature {
        /// The server.
        server: String,
        /// The key's name.
        key: String,
    },
    /// The clocks differ.
    #[error("the DNS server {server} has another time than this machine (BADTIME)")]
    BadTime {
        /// The server.
        server: String,
    },
    /// The server is not authoritative for the zone.
    #[error(
        "the DNS server {server} is not authoritative for the zone {zone} (NOTAUTH): \
         is it the primary, and is the zone's name right?"
    )]
    NotAuthoritative {
        /// The server.
        server: String,
        /// The zone.
        zone: String,
    },
    /// The record's name is not in the zone.
    #[error("{owner} is not in the zone {zone} (NOTZONE)")]
    NotInZone {
        /// Where the record should stand.
        owner: String,
        /// The zone.
        zone: String,
    },
    /// The key may not make this update.
    #[error("the DNS server {server} refuses to let the TSIG key {key} update {owner} (REFUSED)")]
    Refused {
        /// The server.
        server: String,
        /// The key's name.
        key: String,
        /// Where the record should stand.
        owner: String,
    },
    /// The server says that it was done, and the signature under that does not hold.
    #[error("the answer of the DNS server {server} is not signed by the TSIG key {key}")]
    Unsigned {
        /// The server.
        server: String,
        /// The key's name.
        key: String,
    },
    /// Another answer.
    #[error("the DNS server {server} answers {code}")]
    Code {
        /// The server.
        server: String,
        /// The code.
        code: ResponseCode,
    },
    /// A name is no DNS name, or cannot be signed.
    #[error("{text:?} is no DNS name that an update can carry")]
    Name {
        /// The name.
        text: String,
    },
    /// Not every server showed the record in time.
    #[error("{owner} is not shown by {servers} after {secs} seconds")]
    Invisible {
        /// Where the record should stand.
        owner: String,
        /// The servers that did not show it.
        servers: String,
        /// How long they were asked.
        secs: u64,
    },
}

impl UpdateError {
    /// Whether the same update may work later without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::BadTime { .. } | Self::Invisible { .. } => true,
            Self::Code { code, .. } => *code == ResponseCode::ServFail,
            _ => false,
        }
    }
}

impl From<UpdateError> for SolverError {
    fn from(error: UpdateError) -> Self {
        match error.is_passing() {
            true => Self::Passing(Box::new(error)),
            false => Self::Configuration(Box::new(error)),
        }
    }
}

/// Where updates go.
#[derive(Clone, Debug)]
pub struct UpdateConfig {
    /// The zone's primary: an address or a name, with a port.
    pub server: String,
    /// The zone that is updated, by the name of its SOA.
    pub zone: String,
    /// Who must show a record before the CA is told, each with a port; none: the name servers of the zone.
    pub name_servers: Vec<String>,
    /// How long they may take.
    pub visible_within: Duration,
    /// What signs the updates.
    pub key: TsigKey,
}

/// Updates of one zone.
pub struct DnsUpdates {
    config: UpdateConfig,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for DnsUpdates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DnsUpdates").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whether a record is to be there or not.
#[derive(Clone, Copy)]
enum Wish {
    There,
    Gone,
}

impl DnsUpdates {
    /// Updates as configured; the clock is for the signatures.
    #[must_use]
    pub fn new(config: UpdateConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock }
    }

    /// Finds out whether updates will work, by adding a TXT record at `owner` and removing it again.
    ///
    /// # Errors
    /// [`UpdateError`] that names what is wrong: the key, the zone, or what the key may do.
    pub async fn probe(&self, owner: &str, value: &str) -> Result<(), UpdateError> {
        self.update(owner, value, Wish::There).await?;
        self.update(owner, value, Wish::Gone).await
    }

    async fn update(&self, owner: &str, value: &str, wish: Wish) -> Result<(), UpdateError> {
        let (zone, owner) = (name(&self.config.zone)?, name(owner)?);
        if !zone.zone_of(&owner) {
            let (owner, zone) = (owner.to_ascii(), zone.to_ascii());
            return Err(UpdateError::NotInZone { owner, zone });
        }
        let text = TXT::from_bytes(value.as_bytes().chunks(STRING_OCTETS).collect());
        let record = Record::from_rdata(owner.clone(), TTL, RData::TXT(text));
        let set = RecordSet::from(record);
        // Neither has a prerequisite: a record that is there already, or is gone, is as it should be.
        let mut request = match wish {
            Wish::There => append(set, zone.clone(), false, false),
            Wish::Gone => delete_by_rdata(set, zone.clone(), false),
        };
        let now = u64::try_from(self.clock.now().div_euclid(1000)).unwrap_or(0);
        let unfit = |_| UpdateError::Name { text: owner.to_ascii() };
        let verifier = request.finalize(self.config.key.signer(), now).map_err(unfit)?;
        let octets = request.to_vec().map_err(unfit)?;
        let server = self.config.server.clone();
        let unreachable =
            |source| UpdateError::Unreachable { server: self.config.server.clone(), source };
        let address = first_address(&self.config.server).await.map_err(unreachable)?;
        let received = exchange::over_tcp(address, &octets).await.map_err(unreachable)?;
        let answer = exchange::read(&request, &received).map_err(unreachable)?;
        let key = self.config.key.name();
        match answer.signature.as_ref().and_then(|signature| signature.data.error) {
            Some(TsigError::BadKey) => return Err(UpdateError::BadKey { server, key }),
            Some(TsigError::BadSig | TsigError::BadTrunc) => {
                return Err(UpdateError::BadSignature { server, key });
            }
            Some(TsigError::BadTime) => return Err(UpdateError::BadTime { server }),
            Some(TsigError::Unknown(_)) | None => {}
        }
        match answer.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NotAuth => {
                return Err(UpdateError::NotAuthoritative { server, zone: zone.to_ascii() });
            }
            ResponseCode::NotZone => {
                let (owner, zone) = (owner.to_ascii(), zone.to_ascii());
                return Err(UpdateError::NotInZone { owner, zone });
            }
            ResponseCode::Refused => {
                return Err(UpdateError::Refused { server, key, owner: owner.to_ascii() });
            }
            code => return Err(UpdateError::Code { server, code }),
        }
        let is_signed = verifier.is_some_and(|mut verifier| verifier.verify(&received).is_ok());
        is_signed.then_some(()).ok_or(UpdateError::Unsigned { server, key })
    }

    /// Waits until every authoritative server shows the record.
    async fn wait(&self, record: &TxtRecord) -> Result<(), UpdateError> {
        let owner = name(&record.owner)?;
        let mut missing = self.name_servers().await?;
        let deadline = Instant::now() + self.config.visible_within;
        let mut pause = FIRST_LOOK;
        loop {
            let mut still = Vec::new();
            for server in missing {
                let look = shows(&server, &owner, &record.value);
                if !tokio::time::timeout(LOOK_PATIENCE, look).await.unwrap_or(false) {
                    still.push(server);
                }
            }
            missing = still;
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() + pause > deadline {
                return Err(UpdateError::Invisible {
                    owner: record.owner.clone(),
                    servers: missing.join(", "),
                    secs: self.config.visible_within.as_secs(),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// The servers that a CA may ask: those configured, else those that the primary names for the zone.
    async fn name_servers(&self) -> Result<Vec<String>, UpdateError> {
        if !self.config.name_servers.is_empty() {
            return Ok(self.config.name_servers.clone());
        }
        let server = &self.config.server;
        let unreachable = |source| UpdateError::Unreachable { server: server.clone(), source };
        let address = first_address(server).await.map_err(unreachable)?;
        let zone = name(&self.config.zone)?;
        let answer = exchange::ask(address, &zone, RecordType::NS).await.map_err(unreachable)?;
        let servers = answer.answers.iter().filter_map(|record| match &record.data {
            RData::NS(server) => Some(format!("{}:53", server.0.to_ascii().trim_end_matches('.'))),
            _ => None,
        });
        let servers: Vec<String> = servers.collect();
        match servers.is_empty() {
            true => Ok(vec![server.clone()]),
            false => Ok(servers),
        }
    }
}

#[async_trait]
impl Records for DnsUpdates {
    fn place(&self) -> Place {
        Place::Rfc2136
    }

    async fn add(&self, record: &TxtRecord) -> Result<(), SolverError> {
        self.update(&record.owner, &record.value, Wish::There).await?;
        Ok(self.wait(record).await?)
    }

    async fn remove(&self, record: &TxtRecord) -> Result<(), SolverError> {
        Ok(self.update(&record.owner, &record.value, Wish::Gone).await?)
    }
}

fn name(text: &str) -> Result<Name, UpdateError> {
    let full = format!("{}.", text.trim_end_matches('.'));
    Name::from_ascii(full).map_err(|_| UpdateError::Name { text: text.to_owned() })
}

async fn first_address(server: &str) -> io::Result<SocketAddr> {
    let mut found = lookup_host(server).await?;
    found.next().ok_or_else(|| io::Error::other("its name has no address"))
}

/// Whether a server shows the record at one of its addresses.
async fn shows(server: &str, owner: &Name, value: &str) -> bool {
    let Ok(addresses) = lookup_host(server).await else {
        return false;
    };
    for address in addresses {
        let Ok(answer) = exchange::ask(address, owner, RecordType::TXT).await else {
            continue;
        };
        return answer.answers.iter().any(|record| match &record.data {
            RData::TXT(text) => text.txt_data.concat() == value.as_bytes(),
            _ => false,
        });
    }
    false
}

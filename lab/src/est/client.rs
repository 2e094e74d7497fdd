//! One EST server, asked until it has said something final.
//!
//! It answers 401 with the name and the secret it was given (RFC 7030 §3.2.3), waits as a 202 says and comes again over a
//! new connection (RFC 7030 §4.2.3), follows a redirection within the server (RFC 7030 §3.2.1), and opens another
//! connection where the server has closed the last one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brski_est::authentication::{Challenge, Credentials, CredentialsError, DigestChallenge};
use brski_est::client::{EstServer, ReadError, Redirect, Reply, RetryAfter};
use brski_est::path::Operation;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls_pki_types::{ServerName, UnixTime};
use thiserror::Error;
use tokio::time::Instant;

use super::request::RequestError;
use crate::http::{Binding, Connection, HttpError};
use crate::masa::now;

const HTTPS_PORT: u16 = 443;
/// How often a client lets itself be sent to another path.
const REDIRECTS_MOST: u32 = 3;
/// How often it opens a connection anew because the server had just closed the last one.
const REOPENED_MOST: u32 = 1;

/// Why there is nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host of the URL is none that TLS could name.
    #[error("{host:?} is neither a name nor an address")]
    Host {
        /// The host.
        host: String,
    },
    /// The host has no address.
    #[error("{host} has no address: {source}")]
    Resolve {
        /// The host and port.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no connection, or it broke.
    #[error("{operation}: {source}")]
    Http {
        /// What was asked.
        operation: Operation,
        /// What failed.
        #[source]
        source: HttpError,
    },
    /// The answer cannot be read.
    #[error("{operation}: the server's answer cannot be read: {source}")]
    Read {
        /// What was asked.
        operation: Operation,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The server wants a name and a secret, and there are none.
    #[error("{operation}: the server asks for {schemes}")]
    Unauthenticated {
        /// What was asked.
        operation: Operation,
        /// The ways it knows, for people.
        schemes: String,
    },
    /// The name and the secret are not taken.
    #[error("{operation}: the server does not take the name {user:?} with this secret")]
    Secret {
        /// What was asked.
        operation: Operation,
        /// The name.
        user: String,
    },
    /// They cannot be sent in any way that the server knows.
    #[error("{operation}: {source}")]
    Credentials {
        /// What was asked.
        operation: Operation,
        /// Why.
        #[source]
        source: CredentialsError,
    },
    /// The server said no.
    #[error("{operation}: the server answered {status}{}", behind(reason))]
    Refused {
        /// What was asked.
        operation: Operation,
        /// The HTTP status.
        status: StatusCode,
        /// What the server said; may be empty.
        reason: String,
    },
    /// The server has it elsewhere.
    #[error("{operation}: the server sends to {location}, which is not itself")]
    Elsewhere {
        /// What was asked.
        operation: Operation,
        /// Where to.
        location: String,
    },
    /// The server sends from one path to the next.
    #[error("{operation}: the server redirected more than {REDIRECTS_MOST} times")]
    Redirections {
        /// What was asked.
        operation: Operation,
    },
    /// The server said "come back" for longer than it was waited.
    #[error("{operation}: the server still says 'come back in {ask_again_secs} s'")]
    Waiting {
        /// What was asked.
        operation: Operation,
        /// When it may be asked again, in seconds.
        ask_again_secs: u32,
    },
    /// The server does not offer this.
    #[error("{operation}: the server does not offer it")]
    NotOffered {
        /// What was asked.
        operation: Operation,
    },
    /// There is no CSR to send.
    #[error(transparent)]
    Request(#[from] RequestError),
}

fn behind(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// How long a client goes on coming back.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// From now on, for so many seconds.
    #[must_use]
    pub fn secs(seconds: u64) -> Self {
        // A time beyond what the clock can say is for ever, which a year is too.
        let most = Duration::from_secs(seconds.min(366 * 24 * 3600));
        Self { until: Instant::now() + most }
    }

    fn allows(self, wait: RetryAfter) -> bool {
        Instant::now() + Duration::from_secs(wait.secs().into()) <= self.until
    }
}

/// How a client proves itself besides TLS.
#[derive(Debug)]
enum Proof {
    /// As long as the server has not asked: by Basic where it answers everybody, and not at all elsewhere.
    Unasked,
    /// By Basic.
    Basic,
    /// By Digest; how often the challenge was answered.
    Digest(DigestChallenge, u32),
}

/// A client of one server.
pub struct Client {
    server: EstServer,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    credentials: Option<Credentials>,
    proof: Proof,
    patience: Patience,
    connection: Option<Connection>,
}

impl Client {
    /// A client of this server. `tls`: see [`super::Trust`].
    ///
    /// # Errors
    /// [`ClientError::Host`].
    pub fn new(
        server: EstServer,
        tls: ClientConfig,
        credentials: Option<Credentials>,
        patience: Patience,
    ) -> Result<Self, ClientError> {
        let name = server_name(&server)?;
        let tls = Arc::new(tls);
        let (proof, connection) = (Proof::Unasked, None);
        Ok(Self { server, name, tls, credentials, proof, patience, connection })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &EstServer {
        &self.server
    }

    /// Asks until the answer is final; nothing where the server does not offer the operation.
    ///
    /// `request`: makes the request for a session; it is made anew for each connection. `read`: what the answer means.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask<T>(
        &mut self,
        operation: Operation,
        mut request: impl FnMut(&EstServer, Option<&Binding>) -> Result<Request<Vec<u8>>, RequestError>,
        read: impl Fn(&EstServer, &Response<Bytes>, UnixTime) -> Result<Reply<T>, ReadError>,
    ) -> Result<Option<T>, ClientError> {
        let mut path: Option<String> = None;
        let (mut redirects, mut has_proven) = (0, false);
        loop {
            let response = self.send(operation, &mut request, path.as_deref()).await?;
            let reply = read(&self.server, &response, now())
                .map_err(|source| ClientError::Read { operation, source })?;
            match reply {
                Reply::Done(value) => return Ok(Some(value)),
                Reply::NotAvailable => return Ok(None),
                Reply::Wait(time) => self.wait(operation, time).await?,
                Reply::Authenticate(challenges) => {
                    self.prove(operation, &challenges, has_proven)?;
                    has_proven = true;
                }
                Reply::Redirect(Redirect::SameOrigin { path: next }) => {
                    redirects += 1;
                    if redirects > REDIRECTS_MOST {
                        return Err(ClientError::Redirections { operation });
                    }
                    path = Some(next);
                }
                Reply::Redirect(Redirect::Elsewhere { location }) => {
                    return Err(ClientError::Elsewhere { operation, location });
                }
                Reply::Refused(refused) => {
                    let is_busy = refused.status() == StatusCode::SERVICE_UNAVAILABLE;
                    if let Some(time) = refused.retry_after().filter(|_| is_busy) {
                        self.wait(operation, time).await?;
                        continue;
                    }
                    let (status, reason) = (refused.status(), refused.reason().to_owned());
                    return Err(ClientError::Refused { operation, status, reason });
                }
                _ => return Err(ClientError::NotOffered { operation }),
            }
        }
    }

    /// Lets time pass; the connection is not kept meanwhile.
    async fn wait(&mut self, operation: Operation, time: RetryAfter) -> Result<(), ClientError> {
        self.connection = None;
        if !self.patience.allows(time) {
            return Err(ClientError::Waiting { operation, ask_again_secs: time.secs() });
        }
        tokio::time::sleep(Duration::from_secs(time.secs().into())).await;
        Ok(())
    }

    /// Chooses how to answer a 401: by Digest, where the server knows it, else by Basic.
    fn prove(
        &mut self,
        operation: Operation,
        challenges: &[Challenge],
        has_proven: bool,
    ) -> Result<(), ClientError> {
        let Some(credentials) = &self.credentials else {
            return Err(ClientError::Unauthenticated { operation, schemes: schemes(challenges) });
        };
        let digest = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Digest(digest) => Some(digest.clone()),
            _ => None,
        });
        let has_basic = challenges.iter().any(|each| matches!(each, Challenge::Basic { .. }));
        let is_known = match &self.proof {
            Proof::Unasked => is_told_unasked(operation) && digest.is_none(),
            Proof::Basic => digest.is_none(),
            Proof::Digest(..) => has_proven,
        };
        if is_known {
            let user = credentials.user().to_owned();
            return Err(ClientError::Secret { operation, user });
        }
        self.proof = match digest {
            Some(digest) => Proof::Digest(digest, 0),
            None if has_basic => Proof::Basic,
            None => {
                let schemes = schemes(challenges);
                return Err(ClientError::Unauthenticated { operation, schemes });
            }
        };
        Ok(())
    }

    async fn send(
        &mut self,
        operation: Operation,
        request: &mut impl FnMut(&EstServer, Option<&Binding>) -> Result<Request<Vec<u8>>, RequestError>,
        path: Option<&str>,
    ) -> Result<Response<Bytes>, ClientError> {
        let failed = |source| ClientError::Http { operation, source };
        let mut reopened = 0;
        loop {
            let kept = self.connection.take().filter(|connection| !connection.is_closed());
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(operation).await?,
            };
            let mut message = request(&self.server, connection.binding())?;
            if let Some(path) = path.and_then(|path| path.parse().ok()) {
                *message.uri_mut() = path;
            }
            self.authorize(operation, &mut message)?;
            match connection.exchange(message).await {
                Ok(response) => {
                    self.connection = Some(connection);
                    return Ok(response);
                }
                // A server may close a kept connection just when the request is on its way.
                Err(HttpError::Http(_)) if is_kept && reopened < REOPENED_MOST => reopened += 1,
                Err(source) => return Err(failed(source)),
            }
        }
    }

    fn authorize(
        &mut self,
        operation: Operation,
        request: &mut Request<Vec<u8>>,
    ) -> Result<(), ClientError> {
        let Some(credentials) = &self.credentials else {
            return Ok(());
        };
        match &mut self.proof {
            Proof::Unasked if !is_told_unasked(operation) => Ok(()),
            Proof::Unasked | Proof::Basic => {
                credentials.authorize_basic(request);
                Ok(())
            }
            Proof::Digest(challenge, count) => {
                *count += 1;
                let nonce = super::request::random()?;
                credentials
                    .authorize_digest(challenge, request, nonce, *count)
                    .map_err(|source| ClientError::Credentials { operation, source })
            }
        }
    }

    /// Opens a connection to the first of the host's addresses that takes one.
    async fn connect(&self, operation: Operation) -> Result<Connection, ClientError> {
        let mut last = None;
        for address in resolve(&self.server).await? {
            let opened = Connection::open(address, self.name.clone(), Arc::clone(&self.tls)).await;
            match opened {
                Ok(connection) => return Ok(connection),
                Err(source @ HttpError::Connect { .. }) => last = Some(source),
                Err(source) => return Err(ClientError::Http { operation, source }),
            }
        }
        let host = self.server.authority().to_string();
        let none = || io::Error::other("there is none");
        Err(match last {
            Some(source) => ClientError::Http { operation, source },
            None => ClientError::Resolve { host, source: none() },
        })
    }
}

/// Whether name and secret are sent before the server asks: it may tell everybody some CSR attributes, and those whom it
/// knows others, so it never would.
fn is_told_unasked(operation: Operation) -> bool {
    operation == Operation::CsrAttrs
}

/// The addresses of a server, in the order in which they are to be tried.
///
/// # Errors
/// [`ClientError::Resolve`].
pub async fn resolve(server: &EstServer) -> Result<Vec<SocketAddr>, ClientError> {
    let authority = server.authority();
    let port = authority.port_u16().unwrap_or(HTTPS_PORT);
    // An IPv6 address stands in brackets in a URL.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port)).await;
    let failed = |source| ClientError::Resolve { host: authority.to_string(), source };
    Ok(found.map_err(failed)?.collect())
}

/// What TLS calls a server.
///
/// # Errors
/// [`ClientError::Host`].
pub fn server_name(server: &EstServer) -> Result<ServerName<'static>, ClientError> {
    let host = server.authority().host().trim_start_matches('[').trim_end_matches(']');
    let failed = |_| ClientError::Host { host: host.to_owned() };
    ServerName::try_from(host.to_owned()).map_err(failed)
}

/// The ways to prove oneself, for people.
fn schemes(challenges: &[Challenge]) -> String {
    let each = challenges.iter().map(|challenge| match challenge {
        Challenge::Basic { realm } => format!("a name and a secret (Basic, {realm:?})"),
        Challenge::Digest(digest) => format!("a name and a secret (Digest, {:?})", digest.realm()),
        Challenge::Other { scheme } => format!("the scheme {scheme:?}"),
        _ => "something else".to_owned(),
    });
    each.collect::<Vec<_>>().join(" or ")
}

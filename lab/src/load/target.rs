//! The server under load: its address, and whether it answers at all before anything is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brski_est::client::EstServer;
use brski_est::path::Label;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::LoadError;
use super::measure::Failed;
use crate::est::client::{ClientError, resolve, server_name};
use crate::http::{Connection, HttpError};

/// How long a connection may take, TLS included.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// A server that was found.
#[derive(Clone, Debug)]
pub struct Target {
    server: EstServer,
    address: SocketAddr,
    name: ServerName<'static>,
}

impl Target {
    /// Finds a server: the first of its addresses that takes a connection with this TLS.
    ///
    /// # Errors
    /// [`LoadError::Unreachable`], which says what was tried.
    pub async fn find(server: EstServer, tls: &Arc<ClientConfig>) -> Result<Self, LoadError> {
        let url = format!("https://{}", server.authority());
        let unreachable = |error: &ClientError| LoadError::Unreachable {
            url: url.clone(),
            tried: vec![error.to_string()],
        };
        let name = server_name(&server).map_err(|error| unreachable(&error))?;
        let addresses = resolve(&server).await.map_err(|error| unreachable(&error))?;
        let mut tried = Vec::new();
        for address in addresses {
            let target = Self { server: server.clone(), address, name: name.clone() };
            match target.connect(tls).await {
                Ok(_) => return Ok(target),
                Err(failed) => tried.push(failed.said),
            }
        }
        Err(LoadError::Unreachable { url, tried })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &EstServer {
        &self.server
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its EST label.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.server.label()
    }

    /// Opens a connection.
    pub(super) async fn connect(&self, tls: &Arc<ClientConfig>) -> Result<Connection, Failed> {
        let opening = Connection::open(self.address, self.name.clone(), Arc::clone(tls));
        match tokio::time::timeout(CONNECT_LIMIT, opening).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Failed::from(&error)),
            Err(_) => Err(Failed::from(&HttpError::Timeout)),
        }
    }
}

//! A pledge that takes one step a connection, and can be stopped anywhere.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use brski_lab::http::{Answer, Connection};
use brski_lab::pki::Credential;
use brski_lab::pledge::tls::{self, RetainedChain, TlsVersions};
use brski_lab::pledge::{Pledge, SignedRequest};
use brski_lab::process;
use brski_tests::est::{self, Key};
use brski_voucher::certificate::Certificate;
use brski_voucher::telemetry::Status;
use brski_voucher::{media_type, path};

/// How long a registrar may say "come back".
const PATIENCE: Duration = Duration::from_secs(60);

/// A pledge on its way.
pub(crate) struct Walk<'a> {
    pub(crate) pledge: &'a Pledge,
    pub(crate) front: SocketAddr,
}

/// A voucher request, and the chain of the registrar that it names.
pub(crate) struct Asked {
    pub(crate) request: SignedRequest,
    pub(crate) chain: RetainedChain,
}

impl Walk<'_> {
    /// A new connection, with the IDevID.
    pub(crate) async fn connect(&self) -> anyhow::Result<(Connection, RetainedChain)> {
        Ok(self.pledge.connect(self.front).await?)
    }

    /// Makes the request for a voucher.
    pub(crate) async fn request(&self) -> anyhow::Result<Asked> {
        let (_, chain) = self.connect().await?;
        let own = chain.own().context("the server showed no certificate")?;
        let request = self.pledge.voucher_request(own)?;
        Ok(Asked { request, chain })
    }

    /// Sends the request once over this connection.
    pub(crate) async fn ask(
        &self,
        connection: &mut Connection,
        asked: &Asked,
    ) -> anyhow::Result<Answer> {
        let body = asked.request.der.clone();
        Ok(connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?)
    }

    /// Sends the same request, over a new connection each time, until there is a voucher; gives what it pins.
    pub(crate) async fn voucher(&self, asked: &Asked) -> anyhow::Result<Certificate> {
        let answer = self.until_answered(async |connection| self.ask(connection, asked).await);
        let answer = answer.await?;
        ensure!(answer.status == 200, "requestvoucher: {} {}", answer.status, answer.text());
        Ok(self.pledge.verify_voucher(&answer.body, &asked.request.nonce, &asked.chain)?)
    }

    /// Reports that the voucher is good.
    pub(crate) async fn voucher_status(&self) -> anyhow::Result<()> {
        let (mut connection, _) = self.connect().await?;
        report(&mut connection, path::VOUCHER_STATUS).await
    }

    /// What EST tells before a CSR is made; each over its own connection.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        for operation in ["cacerts", "csrattrs"] {
            let (mut connection, _) = self.connect().await?;
            let answer = connection.get(&format!("/.well-known/est/{operation}")).await?;
            ensure!(answer.status == 200, "{operation}: {} {}", answer.status, answer.text());
        }
        Ok(())
    }

    /// Enrolls, over a new connection each time, until there is a certificate.
    pub(crate) async fn enroll(&self, key: &Key, csr: &[u8]) -> anyhow::Result<Credential> {
        let answer = self.until_answered(async |connection| {
            est::post(connection, "simpleenroll", csr, None).await
        });
        Ok(key.with(&est::certificate(&answer.await?)?))
    }

    /// A new connection, with the new certificate.
    pub(crate) async fn connect_as(&self, credential: &Credential) -> anyhow::Result<Connection> {
        Ok(tls::provisional(self.front, Some(credential), TlsVersions::Any).await?.0)
    }

    /// Reports that the certificate is good.
    pub(crate) async fn enroll_status(&self, credential: &Credential) -> anyhow::Result<()> {
        report(&mut self.connect_as(credential).await?, path::ENROLL_STATUS).await
    }

    /// Asks over a new connection each time until the answer is another one than "come back".
    async fn until_answered(
        &self,
        ask: impl AsyncFn(&mut Connection) -> anyhow::Result<Answer>,
    ) -> anyhow::Result<Answer> {
        let answer = process::until(PATIENCE, async || {
            let (mut connection, _) = self.connect().await.ok()?;
            let answer = ask(&mut connection).await.ok()?;
            (![202, 503].contains(&answer.status)).then_some(answer)
        });
        answer.await.context("no answer within a minute")
    }
}

async fn report(connection: &mut Connection, path: &str) -> anyhow::Result<()> {
    let body = Status::success().to_json();
    let answer = connection.post(path, "application/json", body).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

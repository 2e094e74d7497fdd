//! The loop of the ACME library's documentation: nothing is written down, and a CA's failure begins the order anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use acme_bridge::library_client;
use brski_tests::bridge_site::{Ca, Texts, Wish};
use instant_acme::{Account, ChallengeType, Error, Identifier, Key, NewOrder, Order, OrderStatus};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The first pause before the CA is asked again; each further one is half as long again.
const PAUSE: Duration = Duration::from_millis(10);
/// How often an order is begun that the CA fails.
const ATTEMPTS: u32 = 100;

/// A client with an account.
#[derive(Clone)]
pub(crate) struct Client {
    account: Account,
    texts: Texts,
    permits: Arc<Semaphore>,
    anew: Arc<AtomicU64>,
}

impl Client {
    /// Makes an account at the CA. `in_flight`: how many orders are made at once.
    pub(crate) async fn new(ca: &Ca, texts: Texts, in_flight: u32) -> anyhow::Result<Self> {
        let mut anchors = RootCertStore::empty();
        anchors.add(CertificateDer::from_pem_file(&ca.tls_anchor)?)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let limit = Duration::from_secs(30);
        let http = library_client(provider, Arc::new(anchors), &ca.directory, limit)?;
        let (_, pkcs8) = Key::generate_pkcs8()?;
        let key = Key::from_pkcs8_der(pkcs8.clone_key())?;
        let (account, _) = Account::builder_with_http(http)
            .create_from_key((key, PrivateKeyDer::Pkcs8(pkcs8)), ca.directory.clone())
            .await?;
        let permits = Arc::new(Semaphore::new(in_flight as usize));
        Ok(Self { account, texts, permits, anew: Arc::default() })
    }

    /// Has all these certified.
    pub(crate) async fn run(&self, wishes: Vec<Wish>) -> anyhow::Result<u64> {
        let count = wishes.len() as u64;
        let mut tasks = JoinSet::new();
        for wish in wishes {
            let client = self.clone();
            tasks.spawn(async move {
                let _permit = client.permits.acquire().await?;
                client.certify(&wish).await
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(count)
    }

    /// How many orders were begun anew because the CA failed.
    pub(crate) fn anew(&self) -> u64 {
        self.anew.load(Ordering::Relaxed)
    }

    async fn certify(&self, wish: &Wish) -> anyhow::Result<()> {
        for attempt in 1.. {
            match self.order(wish).await {
                Err(error) if attempt == ATTEMPTS => return Err(error.into()),
                Err(_) => self.anew.fetch_add(1, Ordering::Relaxed),
                Ok(()) => break,
            };
        }
        Ok(())
    }

    async fn order(&self, wish: &Wish) -> Result<(), Error> {
        let name = wish.csr.names[0].clone();
        let identifiers = [Identifier::Dns(name.clone())];
        let mut order = self.account.new_order(&NewOrder::new(&identifiers)).await?;
        let owner = format!("_acme-challenge.{name}");
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let mut challenge = authorization.challenge(ChallengeType::Dns01).expect("dns-01");
            let value = challenge.key_authorization().dns_value();
            self.texts.lock().unwrap().insert(owner.clone(), vec![value]);
            challenge.set_ready().await?;
        }
        // The library's own loops would sleep before the first look.
        order.refresh().await?;
        wait(&mut order, OrderStatus::Pending).await?;
        self.texts.lock().unwrap().remove(&owner);
        order.finalize_csr(&wish.csr.der).await?;
        wait(&mut order, OrderStatus::Processing).await?;
        order.certificate().await?.expect("a certificate");
        Ok(())
    }
}

/// Looks at an order until it has left a state.
async fn wait(order: &mut Order, state: OrderStatus) -> Result<(), Error> {
    let mut pause = PAUSE;
    while order.state().status == state {
        tokio::time::sleep(pause).await;
        pause = pause * 3 / 2;
        order.refresh().await?;
    }
    Ok(())
}

//! The account at a CA: its key in a file, its URL in the store (RFC 8555 §7.3).
//!
//! A key is changed in an order that survives a crash at any point: the next key is on the disk before the CA hears
//! of it, and after a crash the CA is asked which of the two it knows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::client::{AcmeClient, AcmeError};
use crate::clock::Clock;
use crate::contact::Contacts;
use crate::http_client::AcmeHttp;
use crate::instant::InstantAcme;
use crate::order::IssuerName;
use crate::problem::{Problem, ProblemKind};
use crate::signed::{AccountKey, AccountView, Directory, ExternalAccount, KeyFiles, Signed};
use crate::store::{AccountRecord, ContactsTold, OrderStore};

pub use crate::signed::{AccountKeyError, ExternalAccountError, Offer};

/// After how long the CA is told of contacts again, where it could not be.
const TELLING_PAUSE: Duration = Duration::from_secs(60);

/// Where a CA lives and how it is trusted.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// The directory's URL, HTTPS.
    pub url: String,
    /// The anchors of its TLS certificate.
    pub anchors: Arc<RootCertStore>,
    /// The file of the account's key: P-256, PKCS#8, PEM, mode 0600. It is made if it is not there.
    pub account_key: PathBuf,
    /// The file of the external account that the CA wants accounts bound to, where it does (RFC 8555 §7.3.4).
    pub external_account: Option<PathBuf>,
    /// How the CA reaches the account's owner; none: it is told nothing.
    pub contacts: Contacts,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why an account cannot be prepared; nothing was sent yet.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Its key.
    #[error(transparent)]
    Key(#[from] AccountKeyError),
    /// The external account.
    #[error(transparent)]
    External(#[from] ExternalAccountError),
    /// The directory's URL.
    #[error(transparent)]
    Directory(#[from] AcmeError),
}

/// Checks the file of an external account: two lines, the key identifier and the key in base64url, mode 0600.
///
/// # Errors
/// [`ExternalAccountError`], which never repeats what the file holds.
pub fn check_external_account(file: &Path) -> Result<(), ExternalAccountError> {
    ExternalAccount::load(file).map(|_| ())
}

/// An account as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountShown {
    /// The directory that it is at.
    pub directory: String,
    /// Its URL.
    pub url: String,
    /// SHA-256 of its key (RFC 7638), base64url; it stands in key authorizations.
    pub thumbprint: String,
    /// What the CA says of it: `valid`, `deactivated` or `revoked`.
    pub status: String,
    /// How the CA reaches its owner.
    pub contact: Vec<String>,
    /// What it was told of that last; some CAs keep nothing of it.
    pub told: ContactsTold,
    /// What the CA offers of the optional resources, as their names in the directory.
    pub offers: Vec<&'static str>,
    /// Its profiles, by name.
    pub profiles: Vec<String>,
}

/// A way to an account.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// The account, opened if it is not.
    ///
    /// # Errors
    /// [`AcmeError`].
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError>;

    /// Reads key and directory again before the next request: another node may have changed the key.
    async fn reopen(&self) {}

    /// Sees whether another node has changed the account, and opens it anew before the next request if so; tells the CA
    /// the contacts of an account that was made with others.
    async fn refresh(&self) {}

    /// Shows the account.
    ///
    /// # Errors
    /// [`AcmeError`].
    async fn show(&self) -> Result<AccountShown, AcmeError>;

    /// Gives the account a new key, which is in its file from before the CA hears of it.
    ///
    /// Nothing may be in flight with the old key: see [`Bridge::rotate_key`](crate::bridge::Bridge::rotate_key).
    ///
    /// # Errors
    /// [`AcmeError`]; if the CA's answer is lost, the next request finds out which key the CA has.
    async fn rotate_key(&self) -> Result<AccountShown, AcmeError>;

    /// Ends the account at the CA.
    ///
    /// # Errors
    /// [`AcmeError`].
    async fn deactivate(&self) -> Result<AccountShown, AcmeError>;
}

/// An account over HTTPS, found or made when it is first needed.
pub struct Account {
    directory: DirectoryConfig,
    http: AcmeHttp,
    files: KeyFiles,
    external: Option<ExternalAccount>,
    issuer: IssuerName,
    store: Arc<dyn OrderStore>,
    clock: Arc<dyn Clock>,
    open: Mutex<Option<Open>>,
    telling: std::sync::Mutex<Telling>,
}

#[derive(Clone)]
struct Open {
    client: Arc<InstantAcme>,
    signed: Signed,
    url: String,
}

/// Whether this process has seen to it that the CA knows the configured contacts.
///
/// Once is enough, since they change with a restart alone; two nodes that differ in them do not take turns for ever.
#[derive(Clone, Copy, Debug)]
enum Telling {
    Due,
    NotBefore(Instant),
    Done,
}

fn local(error: impl std::fmt::Display) -> AcmeError {
    AcmeError::Local(error.to_string())
}

impl Account {
    /// Reads the account's key, or makes it.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn new(
        provider: Arc<CryptoProvider>,
        directory: DirectoryConfig,
        issuer: IssuerName,
        store: Arc<dyn OrderStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AccountError> {
        let files = KeyFiles::new(&directory.account_key);
        files.load_or_make()?;
        let external = match &directory.external_account {
            Some(file) => Some(ExternalAccount::load(file)?),
            None => None,
        };
        let anchors = Arc::clone(&directory.anchors);
        let http = AcmeHttp::new(provider, anchors, &directory.url, directory.timeout)?;
        let (open, telling) = (Mutex::new(None), std::sync::Mutex::new(Telling::Due));
        Ok(Self { directory, http, files, external, issuer, store, clock, open, telling })
    }

    /// How many requests the CA was sent since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.http.requests()
    }

    async fn opened(&self, open: &mut Option<Open>) -> Result<Open, AcmeError> {
        if let Some(open) = open {
            return Ok(open.clone());
        }
        let directory = Arc::new(Directory::fetch(&self.http, &self.directory.url).await?);
        let key = Arc::new(self.key(&directory).await?);
        let signed = Signed { http: self.http.clone(), directory, key };
        let url = self.url(&signed).await?;
        self.tell_contacts(&signed, &url).await;
        let client = Arc::new(InstantAcme::open(signed.clone(), &self.directory.url, &url).await?);
        Ok(open.insert(Open { client, signed, url }).clone())
    }

    /// The account of this node's key: the one that is written down, or a new one where there is none that is good.
    async fn url(&self, signed: &Signed) -> Result<String, AcmeError> {
        let known = self.store.account(&self.issuer).await.map_err(local)?;
        let known = known.filter(|account| account.directory == self.directory.url);
        let file = || self.directory.account_key.clone();
        let own = signed.key.thumbprint();
        let (url, contacts) = match known {
            Some(known) if known.thumbprint == own && known.is_ended => {
                return Err(AcmeError::Ended { url: known.url, file: file() });
            }
            Some(known) if known.thumbprint == own => return Ok(known.url),
            // The key was changed here and a crash came before it was written down, or it was changed elsewhere:
            // the CA knows which.
            Some(known) if !known.is_ended => match signed.find_account().await? {
                Some(url) if url == known.url => (url, known.contacts),
                Some(url) => (url, ContactsTold::default()),
                None => return Err(AcmeError::ForeignKey { url: known.url, file: file() }),
            },
            _ => {
                let contacts = self.directory.contacts.urls();
                let made = signed.create_account(self.external.as_ref(), contacts).await?;
                if let Some(refusal) = &made.1.refusal {
                    warn!(issuer = %self.issuer, "the CA refuses the account's contacts: {refusal}");
                    self.set_telling(Telling::Done);
                }
                made
            }
        };
        let directory = self.directory.url.clone();
        let (url, thumbprint, is_ended) = (url, own, false);
        let account = AccountRecord { url, directory, thumbprint, is_ended, contacts };
        self.save(&account).await?;
        Ok(account.url)
    }

    /// Whether an account can be used with this configuration.
    fn is_ours(&self, known: &AccountRecord) -> bool {
        known.directory == self.directory.url && !known.is_ended
    }

    async fn save(&self, account: &AccountRecord) -> Result<(), AcmeError> {
        self.store.save_account(&self.issuer, account, self.clock.now()).await.map_err(local)
    }

    fn is_telling_due(&self) -> bool {
        match *self.telling.lock().unwrap_or_else(PoisonError::into_inner) {
            Telling::Due => true,
            Telling::NotBefore(time) => Instant::now() >= time,
            Telling::Done => false,
        }
    }

    fn set_telling(&self, telling: Telling) {
        *self.telling.lock().unwrap_or_else(PoisonError::into_inner) = telling;
    }

    /// Whether the CA is still to be told of the configured contacts; what it refused is tried again by each process.
    fn owes_contacts(&self, known: &AccountRecord) -> bool {
        let ContactsTold { urls, refusal } = &known.contacts;
        urls != self.directory.contacts.urls() || refusal.is_some()
    }

    /// Tells the CA the configured contacts, if it was told others last; the account is used whatever it says
    /// (RFC 8555 §7.3.2).
    async fn tell_contacts(&self, signed: &Signed, url: &str) {
        if !self.is_telling_due() {
            return;
        }
        // A store that is away is noticed by those who have something to do there.
        let Ok(Some(known)) = self.store.account(&self.issuer).await else {
            return;
        };
        if !self.owes_contacts(&known) {
            return self.set_telling(Telling::Done);
        }
        let urls = self.directory.contacts.urls().to_vec();
        let refusal = match signed.change_contacts(url, &urls).await {
            Ok(()) => None,
            Err(AcmeError::Problem(problem)) if is_answer(&problem) => Some(problem.to_string()),
            Err(error) => {
                warn!(issuer = %self.issuer, %error, "the CA cannot be told of contacts now");
                return self.set_telling(Telling::NotBefore(Instant::now() + TELLING_PAUSE));
            }
        };
        match &refusal {
            None => info!(issuer = %self.issuer, contacts = ?urls, "the CA knows the contacts"),
            Some(refusal) => {
                warn!(issuer = %self.issuer, "the CA refuses the account's contacts: {refusal}");
            }
        }
        // Telling it twice does no harm.
        self.set_telling(match self.keep_told(url, ContactsTold { urls, refusal }).await {
            Ok(()) => Telling::Done,
            Err(_) => Telling::NotBefore(Instant::now() + TELLING_PAUSE),
        });
    }

    /// Writes down what the CA was told; meanwhile another node may have changed the account's key, or ended it.
    async fn keep_told(&self, url: &str, contacts: ContactsTold) -> Result<(), AcmeError> {
        match self.store.account(&self.issuer).await.map_err(local)? {
            Some(known) if known.url == url => {
                self.save(&AccountRecord { contacts, ..known }).await
            }
            _ => Ok(()),
        }
    }

    /// The key that the CA knows: where a change was begun and its end is not known, the CA is asked.
    async fn key(&self, directory: &Arc<Directory>) -> Result<AccountKey, AcmeError> {
        let Some(next) = self.files.next().map_err(local)? else {
            return self.files.load_or_make().map_err(local);
        };
        let (http, key) = (self.http.clone(), Arc::new(next));
        let asked = Signed { http, directory: Arc::clone(directory), key };
        match asked.find_account().await? {
            Some(url) => {
                info!(issuer = %self.issuer, url, "the CA has the account's next key");
                self.files.end_change().map_err(local)?;
            }
            None => {
                warn!(issuer = %self.issuer, "the CA never took the account's next key; the old one stays");
                self.files.abandon_change().map_err(local)?;
            }
        }
        self.files.load_or_make().map_err(local)
    }

    async fn shown(&self, open: &Open, view: AccountView) -> Result<AccountShown, AcmeError> {
        let known = self.store.account(&self.issuer).await.map_err(local)?;
        let offer = Offer::from(&*open.signed.directory);
        Ok(AccountShown {
            directory: self.directory.url.clone(),
            url: open.url.clone(),
            thumbprint: open.signed.key.thumbprint(),
            status: view.status,
            contact: view.contact,
            told: known.map(|known| known.contacts).unwrap_or_default(),
            offers: offer.resources,
            profiles: offer.profiles.into_keys().collect(),
        })
    }

    /// What the CA offers.
    ///
    /// # Errors
    /// [`AcmeError`].
    pub async fn offer(&self) -> Result<Offer, AcmeError> {
        let directory = Directory::fetch(&self.http, &self.directory.url).await?;
        Ok(Offer::from(&directory))
    }

    /// Whether a certificate's key would be the account's own (RFC 8555 §11.1).
    ///
    /// `spki`: SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn is_own_key(&self, spki: &[u8]) -> bool {
        self.files.load_or_make().is_ok_and(|key| spki.ends_with(key.public_point()))
    }
}

/// Whether a problem says what the CA thinks of a request, rather than that it cannot say it now.
fn is_answer(problem: &Problem) -> bool {
    !matches!(problem.kind, ProblemKind::Unavailable | ProblemKind::RateLimited)
        && problem.word() != "badNonce"
}

#[async_trait]
impl Connect for Account {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let open = self.opened(&mut *self.open.lock().await).await?;
        Ok(open.client)
    }

    async fn reopen(&self) {
        *self.open.lock().await = None;
    }

    async fn refresh(&self) {
        let mut guard = self.open.lock().await;
        let is_due = self.is_telling_due();
        if guard.is_none() && !is_due {
            return;
        }
        // A store that is away is noticed by those who have something to do there.
        let Ok(Some(known)) = self.store.account(&self.issuer).await else {
            return;
        };
        let is_changed =
            |open: &Open| known.thumbprint != open.signed.key.thumbprint() || known.is_ended;
        match &*guard {
            Some(open) if is_changed(open) => {
                warn!(issuer = %self.issuer, url = known.url, "the account was changed at another node");
                *guard = None;
            }
            Some(open) if is_due => self.tell_contacts(&open.signed, &open.url).await,
            None if self.is_ours(&known) && self.owes_contacts(&known) => {
                if let Err(error) = self.opened(&mut guard).await {
                    warn!(issuer = %self.issuer, %error, "the CA cannot be told of contacts now");
                    self.set_telling(Telling::NotBefore(Instant::now() + TELLING_PAUSE));
                }
            }
            _ => {}
        }
    }

    async fn show(&self) -> Result<AccountShown, AcmeError> {
        let open = self.opened(&mut *self.open.lock().await).await?;
        let view = open.signed.account(&open.url).await?;
        self.shown(&open, view).await
    }

    async fn rotate_key(&self) -> Result<AccountShown, AcmeError> {
        let mut guard = self.open.lock().await;
        let open = self.opened(&mut guard).await?;
        if open.signed.directory.key_change.is_none() {
            return Err(AcmeError::Unsupported("keyChange"));
        }
        let next = Arc::new(self.files.begin_change().map_err(local)?);
        // From here on the two files say that a change is under way, until one of them goes.
        *guard = None;
        match open.signed.change_key(&open.url, next).await {
            Ok(()) => self.files.end_change().map_err(local)?,
            Err(error @ AcmeError::Problem(_)) => {
                // A problem may come from somebody between us and the CA: the CA itself is asked.
                self.opened(&mut guard).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        let open = self.opened(&mut guard).await?;
        let view = open.signed.account(&open.url).await?;
        self.shown(&open, view).await
    }

    async fn deactivate(&self) -> Result<AccountShown, AcmeError> {
        let mut guard = self.open.lock().await;
        let open = self.opened(&mut guard).await?;
        let view = open.signed.deactivate(&open.url).await?;
        *guard = None;
        let shown = self.shown(&open, view).await?;
        let ended = AccountRecord {
            url: shown.url.clone(),
            directory: shown.directory.clone(),
            thumbprint: shown.thumbprint.clone(),
            is_ended: true,
            contacts: shown.told.clone(),
        };
        self.save(&ended).await?;
        Ok(shown)
    }
}

//! Keys that stay in a PKCS#11 token: it signs, and nobody reads them.
//!
//! A module is loaded and initialised once a process, and each key has a session of its own, opened again when the
//! token lost it. A token signs one thing at a time, so a lock is held meanwhile.
//! Invariant: a PIN goes from its file to the module and nowhere else.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use brski_voucher::signature::{SignError, SignatureAlgorithm, Signer, verify_signed};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use rustls::SignatureScheme;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use thiserror::Error;
use zeroize::Zeroizing;

use super::kind::KeyType;
use super::place::TokenUri;
use super::public;
use crate::identity::{IdentityError, check_mode};

/// prime256v1, as CKA_EC_PARAMS has it.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// secp384r1.
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
/// The salt of RSA with PSS and SHA-256, in octets.
const SALT_OCTETS: u64 = 32;
/// How long a module is left alone that was begun anew and did not find the token.
const PAUSE: Duration = Duration::from_secs(1);
/// How many octets a PIN file may have.
const PIN_OCTETS: u64 = 256;

/// Why a key in a token does not do what it should. No PIN is in any of these.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The library is not there, or does not start.
    #[error("the PKCS#11 module {} cannot be used: {source}; is it installed, and its configuration readable?", .module.display())]
    Module {
        /// The library.
        module: PathBuf,
        /// What it said.
        #[source]
        source: Error,
    },
    /// No token has this label.
    #[error("no token is called {token:?} in {}; there is {known}: plug it in, or correct token= in the URI", .module.display())]
    NoToken {
        /// The label.
        token: String,
        /// The library.
        module: PathBuf,
        /// The labels of those that there are.
        known: String,
    },
    /// The token has no such key.
    #[error(
        "the token {token:?} has no private key {object}: correct object= or id= in the URI, or make one with 'registrar init --token'"
    )]
    NoObject {
        /// The token.
        token: String,
        /// What was looked for.
        object: String,
    },
    /// The token has several such keys.
    #[error("the token {token:?} has several private keys {object}: add id= to the URI")]
    Ambiguous {
        /// The token.
        token: String,
        /// What was looked for.
        object: String,
    },
    /// The token has one already.
    #[error(
        "the token {token:?} has a private key {object} already, which is not overwritten; remove it or use another token"
    )]
    There {
        /// The token.
        token: String,
        /// Its label.
        object: String,
    },
    /// The PIN is not the token's.
    #[error("the token {token:?} does not accept the PIN in {}; correct the file, since tokens lock themselves after a few wrong ones", .pin.display())]
    WrongPin {
        /// The token.
        token: String,
        /// The file.
        pin: PathBuf,
    },
    /// There were too many wrong ones.
    #[error("the token {token:?} has locked its PIN: its security officer must set a new one")]
    PinLocked {
        /// The token.
        token: String,
    },
    /// The PIN cannot be read.
    #[error("pin-source: {0}")]
    PinFile(#[source] Box<IdentityError>),
    /// The key is of a kind that is not signed with here.
    #[error("the private key {object} is not P-256, P-384 or RSA with its public key beside it")]
    Kind {
        /// What was looked for.
        object: String,
    },
    /// The token does not answer.
    #[error("the token {token:?} does not do it: {source}; is it still there?")]
    Failed {
        /// The token.
        token: String,
        /// What it said.
        #[source]
        source: Error,
    },
}

/// A key in a token.
pub struct TokenKey {
    uri: TokenUri,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
    open: Mutex<Option<Open>>,
}

/// A session, and the key in it.
struct Open {
    session: Session,
    key: ObjectHandle,
    /// How often modules had been begun anew when it was opened: after that its handles mean something else.
    beginning: u64,
}

impl TokenKey {
    /// Finds the key, and reads its public key.
    ///
    /// # Errors
    /// [`TokenError`].
    pub(super) fn open(uri: &TokenUri) -> Result<Self, TokenError> {
        let _using = using();
        let open = Open::new(uri)?;
        let (spki, algorithm) = public_key(&open.session, uri)?;
        Ok(Self { uri: uri.clone(), spki, algorithm, open: Mutex::new(Some(open)) })
    }

    /// Makes a key, which never leaves the token; its object is labelled as the URI says.
    ///
    /// # Errors
    /// [`TokenError::There`] if there is one of that label.
    pub(super) fn make(uri: &TokenUri, kind: KeyType) -> Result<Self, TokenError> {
        let using = using();
        let session = login(uri, Access::Writing)?;
        let failed = |source| TokenError::Failed { token: uri.token.clone(), source };
        let label = uri.object.clone().unwrap_or_default();
        let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), label_of(&label)];
        if !session.find_objects(&private).map_err(failed)?.is_empty() {
            return Err(TokenError::There { token: uri.token.clone(), object: wanted(uri) });
        }
        let id = Attribute::Id(crate::entropy::random_bytes::<16>().to_vec());
        let mut of_public = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            label_of(&label),
            id.clone(),
        ];
        let (mechanism, parameters) = generation(kind);
        of_public.extend(parameters);
        let of_private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label_of(&label),
            id,
        ];
        session.generate_key_pair(&mechanism, &of_public, &of_private).map_err(failed)?;
        drop(session);
        drop(using);
        Self::open(uri)
    }

    /// That nothing can be made of its public key.
    pub(super) fn unknown_kind(&self) -> TokenError {
        TokenError::Kind { object: wanted(&self.uri) }
    }

    /// Signs, with a new session if the token lost the one before; with a module begun anew if it does not see the
    /// token any more, since some look for tokens at their beginning alone.
    fn sign_with(&self, mechanism: &Mechanism<'_>, data: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let anew = {
            let _using = using();
            if let Some(known) = open.take_if(|known| known.is_stale()) {
                // Its handle is somebody else's now, and must not be closed.
                std::mem::forget(known.session);
            }
            if let Some(Open { session, key, .. }) = &*open
                && let Ok(signature) = session.sign(mechanism, *key, data)
            {
                return Ok(signature);
            }
            *open = None;
            self.sign_anew(mechanism, data)
        };
        let (new, signature) = match anew {
            Err(TokenError::NoToken { .. }) if begin_anew(&self.uri.module) => {
                let _using = using();
                self.sign_anew(mechanism, data)?
            }
            result => result?,
        };
        *open = Some(new);
        Ok(signature)
    }

    fn sign_anew(
        &self,
        mechanism: &Mechanism<'_>,
        data: &[u8],
    ) -> Result<(Open, Vec<u8>), TokenError> {
        let new = Open::new(&self.uri)?;
        let signature = new.session.sign(mechanism, new.key, data);
        let signature = signature
            .map_err(|source| TokenError::Failed { token: self.uri.token.clone(), source })?;
        Ok((new, signature))
    }

    /// The signature, if it is of this key: what a token gives is not believed, since handles may change their meaning.
    fn checked(&self, message: &[u8], signature: Vec<u8>) -> Result<Vec<u8>, SignError> {
        match verify_signed(&self.spki, message, &signature) {
            Ok(()) => Ok(signature),
            Err(error) => {
                tracing::error!(key = %wanted(&self.uri), "the token signed with another key: {error}");
                Err(SignError::Signing)
            }
        }
    }

    fn elliptic(
        &self,
        hash: &'static digest::Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let digest = digest::digest(hash, message);
        let raw = self.told(self.sign_with(&Mechanism::Ecdsa, digest.as_ref()))?;
        self.checked(message, public::signature(&raw).ok_or(SignError::Signing)?)
    }

    fn pss(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let parameters = PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: SALT_OCTETS.into(),
        };
        let signed = self.sign_with(&Mechanism::Sha256RsaPkcsPss(parameters), message);
        self.checked(message, self.told(signed)?)
    }

    /// Whoever asks for a signature hears little; the log has the reason.
    fn told(&self, signature: Result<Vec<u8>, TokenError>) -> Result<Vec<u8>, SignError> {
        signature.map_err(|error| {
            tracing::error!(key = %wanted(&self.uri), "{error}");
            SignError::Signing
        })
    }

    fn schemes(&self) -> &'static [SignatureScheme] {
        match self.algorithm {
            SignatureAlgorithm::EcdsaSha256 => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            SignatureAlgorithm::EcdsaSha384 => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            _ => &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256],
        }
    }
}

impl Open {
    fn new(uri: &TokenUri) -> Result<Self, TokenError> {
        let session = login(uri, Access::Reading)?;
        let key = find(&session, uri, ObjectClass::PRIVATE_KEY)?;
        Ok(Self { session, key, beginning: BEGINNINGS.load(Ordering::Acquire) })
    }

    fn is_stale(&self) -> bool {
        self.beginning != BEGINNINGS.load(Ordering::Acquire)
    }
}

impl Signer for TokenKey {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.algorithm {
            SignatureAlgorithm::EcdsaSha256 => self.elliptic(&digest::SHA256, message),
            SignatureAlgorithm::EcdsaSha384 => self.elliptic(&digest::SHA384, message),
            _ => {
                let signed = self.sign_with(&Mechanism::Sha256RsaPkcs, message);
                self.checked(message, self.told(signed)?)
            }
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The same key, for TLS.
#[derive(Debug)]
pub(super) struct TlsKey(pub(super) Arc<TokenKey>);

impl rustls::sign::SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = self.0.schemes().iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(TlsSigner { key: Arc::clone(&self.0), scheme: *scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.spki.as_slice()))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.0.algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => rustls::SignatureAlgorithm::RSA,
            _ => rustls::SignatureAlgorithm::ECDSA,
        }
    }
}

#[derive(Debug)]
struct TlsSigner {
    key: Arc<TokenKey>,
    scheme: SignatureScheme,
}

impl rustls::sign::Signer for TlsSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = match self.scheme {
            SignatureScheme::RSA_PSS_SHA256 => self.key.pss(message),
            _ => self.key.sign(message),
        };
        signature.map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Whether anything is to be written to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Reading,
    Writing,
}

/// The modules of this process, each initialised once; they stay as long as it does.
static MODULES: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);

/// Held while a module is used, and alone while one is begun anew, when no call may run.
static USE: RwLock<()> = RwLock::new(());
/// How often modules were begun anew.
static BEGINNINGS: AtomicU64 = AtomicU64::new(0);
/// When one was begun anew last.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

fn using() -> RwLockReadGuard<'static, ()> {
    USE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a module, so that the next use begins it anew; not more often than once a second.
fn begin_anew(path: &Path) -> bool {
    let _alone = USE.write().unwrap_or_else(PoisonError::into_inner);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < PAUSE) {
        return false;
    }
    *last = Some(Instant::now());
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(module) = modules.as_mut().and_then(|modules| modules.remove(path)) else {
        return false;
    };
    BEGINNINGS.fetch_add(1, Ordering::AcqRel);
    if let Err(error) = module.finalize() {
        tracing::warn!(module = %path.display(), %error, "the PKCS#11 module does not end");
    }
    true
}

fn module(path: &Path) -> Result<Pkcs11, TokenError> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_default();
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let failed = |source| TokenError::Module { module: path.to_owned(), source };
    let module = Pkcs11::new(path).map_err(failed)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(source) => return Err(failed(source)),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// Gives a key, and its public key, the label of another URI.
///
/// # Errors
/// [`TokenError`].
pub(super) fn rename(from: &TokenUri, to: &TokenUri) -> Result<(), TokenError> {
    let _using = using();
    let session = login(from, Access::Writing)?;
    let label = label_of(to.object.as_deref().unwrap_or_default());
    let failed = |source| TokenError::Failed { token: from.token.clone(), source };
    for class in [ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY] {
        let object = find(&session, from, class)?;
        session.update_attributes(object, std::slice::from_ref(&label)).map_err(failed)?;
    }
    Ok(())
}

/// How a token makes a key of a kind, and what it is told of it.
fn generation(kind: KeyType) -> (Mechanism<'static>, Vec<Attribute>) {
    let on_curve =
        |curve: &[u8]| (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(curve.to_vec())]);
    match kind {
        KeyType::EcP256 => on_curve(P256),
        KeyType::EcP384 => on_curve(P384),
        KeyType::Rsa2048 => {
            let bits = Attribute::ModulusBits(2048.into());
            // 65537, most significant octet first.
            (Mechanism::RsaPkcsKeyPairGen, vec![bits, Attribute::PublicExponent(vec![1, 0, 1])])
        }
    }
}

/// A session in which the user is logged in.
fn login(uri: &TokenUri, access: Access) -> Result<Session, TokenError> {
    let module = module(&uri.module)?;
    let slot = slot(&module, uri)?;
    let token = || uri.token.clone();
    let session = match access {
        Access::Reading => module.open_ro_session(slot),
        Access::Writing => module.open_rw_session(slot),
    };
    let session = session.map_err(|source| TokenError::Failed { token: token(), source })?;
    let pin = read_pin(&uri.pin)?;
    match session.login(UserType::User, Some(&pin)) {
        // All sessions of a process are logged in with one of them.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(TokenError::WrongPin { token: token(), pin: uri.pin.clone() }),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked { token: token() }),
        Err(source) => Err(TokenError::Failed { token: token(), source }),
    }
}

fn slot(module: &Pkcs11, uri: &TokenUri) -> Result<Slot, TokenError> {
    let failed = |source| TokenError::Failed { token: uri.token.clone(), source };
    let mut known = Vec::new();
    for slot in module.get_slots_with_token().map_err(failed)? {
        // One that is just being taken away is none.
        let Ok(token) = module.get_token_info(slot) else {
            continue;
        };
        let label = token.label().trim_end().to_owned();
        if label == uri.token {
            return Ok(slot);
        }
        known.push(format!("{label:?}"));
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(TokenError::NoToken { token: uri.token.clone(), module: uri.module.clone(), known })
}

fn read_pin(path: &Path) -> Result<AuthPin, TokenError> {
    let wrong = |error| TokenError::PinFile(Box::new(error));
    check_mode(path).map_err(wrong)?;
    let unreadable = |source| wrong(IdentityError::Read { path: path.to_owned(), source });
    let content = |reason: &str| {
        wrong(IdentityError::Content { path: path.to_owned(), reason: reason.to_owned() })
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > PIN_OCTETS {
        return Err(content("is too long for a PIN"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let pin = text.trim_end_matches(['\r', '\n']);
    match pin.is_empty() {
        true => Err(content("holds no PIN")),
        false => Ok(AuthPin::from(pin.to_owned())),
    }
}

fn find(session: &Session, uri: &TokenUri, class: ObjectClass) -> Result<ObjectHandle, TokenError> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_deref().map(label_of));
    template.extend(uri.id.clone().map(Attribute::Id));
    let failed = |source| TokenError::Failed { token: uri.token.clone(), source };
    let found = session.find_objects(&template).map_err(failed)?;
    let (token, object) = (uri.token.clone(), wanted(uri));
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(TokenError::NoObject { token, object }),
        _ => Err(TokenError::Ambiguous { token, object }),
    }
}

/// The public key beside the private one, and what is signed with it.
fn public_key(
    session: &Session,
    uri: &TokenUri,
) -> Result<(Vec<u8>, SignatureAlgorithm), TokenError> {
    let kind = || TokenError::Kind { object: wanted(uri) };
    let object = find(session, uri, ObjectClass::PUBLIC_KEY).map_err(|_| kind())?;
    let wanted = [
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let (mut curve, mut point, mut modulus, mut exponent) = (None, None, None, None);
    for attribute in wanted {
        // A key of one kind has no attributes of the other.
        for given in session.get_attributes(object, &[attribute]).unwrap_or_default() {
            match given {
                Attribute::EcParams(octets) => curve = Some(octets),
                Attribute::EcPoint(octets) => point = Some(octets),
                Attribute::Modulus(octets) => modulus = Some(octets),
                Attribute::PublicExponent(octets) => exponent = Some(octets),
                _ => {}
            }
        }
    }
    match (curve, point, modulus, exponent) {
        (Some(curve), Some(point), ..) => {
            let algorithm = match curve.as_slice() {
                P256 => SignatureAlgorithm::EcdsaSha256,
                P384 => SignatureAlgorithm::EcdsaSha384,
                _ => return Err(kind()),
            };
            Ok((public::elliptic(&curve, &point).ok_or_else(kind)?, algorithm))
        }
        (_, _, Some(modulus), Some(exponent)) => {
            Ok((public::rsa(&modulus, &exponent), SignatureAlgorithm::RsaPkcs1Sha256))
        }
        _ => Err(kind()),
    }
}

fn label_of(label: &str) -> Attribute {
    Attribute::Label(label.as_bytes().to_vec())
}

/// The object in words.
fn wanted(uri: &TokenUri) -> String {
    match (&uri.object, &uri.id) {
        (Some(object), _) => format!("{object:?}"),
        (None, Some(id)) => format!("with the identifier {}", crate::store::model::hex(id)),
        (None, None) => "of any name".to_owned(),
    }
}

//! Certificates as the CA makes them, right or wrong.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;
use time::{Duration, OffsetDateTime};

use super::lie::CaLie;
use crate::pki;

/// How long a certificate of an honest CA lasts.
const LIFE: Duration = Duration::days(90);
/// One too many for any chain.
const MANY: usize = 13;
/// How long a chain is that no chain needs to be, in octets.
const LONG_CHAIN: usize = 200 * 1024;

type Root = CertifiedIssuer<'static, KeyPair>;

/// The CA's roots, the one that is told of and another one, and what issues: an intermediate under both of them, the
/// same for all certificates, as CAs have it.
pub(super) struct Roots {
    known: Root,
    middle: CertificateParams,
    key: KeyPair,
    under_known: String,
    under_unknown: String,
}

/// A chain, and another one of the same certificate, which leads to the root that is told of.
pub(super) struct Chains {
    pub(super) first: String,
    pub(super) second: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "LAB ONLY");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn root(name: &str) -> Result<Root, rcgen::Error> {
    Root::self_signed(authority(name), KeyPair::generate()?)
}

impl Roots {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let (known, unknown) = (root("ACME root, LAB ONLY")?, root("another ACME root, LAB ONLY")?);
        let (middle, key) = (authority("ACME intermediate, LAB ONLY"), KeyPair::generate()?);
        let under =
            |root: &Root| Ok::<_, rcgen::Error>(middle.clone().signed_by(&key, root)?.pem());
        let (under_known, under_unknown) = (under(&known)?, under(&unknown)?);
        Ok(Self { known, middle, key, under_known, under_unknown })
    }

    /// The root that is told of, PEM.
    pub(super) fn pem(&self) -> String {
        self.known.pem()
    }

    fn leaf(&self, csr: &[u8], lie: CaLie) -> Result<String, rcgen::Error> {
        leaf(csr, lie, &Issuer::new(self.middle.clone(), &self.key))
    }

    /// Issues for a CSR, and gives the chain; the root is left out, as CAs do.
    pub(super) fn chain(&self, csr: &[u8], lie: CaLie) -> Result<String, rcgen::Error> {
        let (leaf, above) = (self.leaf(csr, lie)?, &self.under_known);
        Ok(match lie {
            CaLie::UnknownRoot => format!("{leaf}{}", self.under_unknown),
            CaLie::LeafOnly => leaf,
            CaLie::Loop => format!("{leaf}{}", in_a_loop(&self.middle, &self.key)?),
            CaLie::PrivateKey => {
                let secret = pki::pem("PRIVATE KEY", KeyPair::generate()?.serialized_der());
                format!("{leaf}{above}{secret}")
            }
            CaLie::TooMany => format!("{leaf}{}", above.repeat(MANY - 1)),
            CaLie::LongChain => format!("{}\n{leaf}{above}", "#".repeat(LONG_CHAIN)),
            CaLie::GarbageChain => "this is no chain\n".to_owned(),
            _ => format!("{leaf}{above}"),
        })
    }

    /// Issues for a CSR, and gives two chains, of which the first leads to a root that nobody was told of.
    pub(super) fn two_chains(&self, csr: &[u8]) -> Result<Chains, rcgen::Error> {
        let leaf = self.leaf(csr, CaLie::None)?;
        Ok(Chains {
            first: format!("{leaf}{}", self.under_unknown),
            second: format!("{leaf}{}", self.under_known),
        })
    }
}

/// Two CAs of which each is issued by the other.
fn in_a_loop(middle: &CertificateParams, key: &KeyPair) -> Result<String, rcgen::Error> {
    let (other, other_key) = (authority("ACME loop, LAB ONLY"), KeyPair::generate()?);
    let by_other = middle.clone().signed_by(key, &Issuer::new(other.clone(), &other_key))?;
    let by_middle = other.signed_by(&other_key, &Issuer::new(middle.clone(), key))?;
    Ok(format!("{}{}", by_other.pem(), by_middle.pem()))
}

/// The certificate itself, PEM.
fn leaf(csr: &[u8], lie: CaLie, issuer: &Issuer<'_, &KeyPair>) -> Result<String, rcgen::Error> {
    let csr = CertificateSigningRequestDer::from(csr);
    let CertificateSigningRequestParams { params: asked, public_key } =
        CertificateSigningRequestParams::from_der(&csr)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.subject_alt_names = names(asked.subject_alt_names, lie)?;
    parameters.serial_number = Some(serial()?);
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.is_ca = match lie {
        CaLie::AsCa => IsCa::Ca(BasicConstraints::Unconstrained),
        _ => IsCa::ExplicitNoCa,
    };
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if lie != CaLie::NoClientUsage {
        parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    (parameters.not_before, parameters.not_after) = validity(lie);
    let other = KeyPair::generate()?;
    let signed = |key: &dyn Key| key.sign(parameters.clone(), issuer);
    let mut der = match lie {
        CaLie::OtherKey => signed(&other)?,
        _ => signed(&public_key)?,
    };
    if let (CaLie::Forged, Some(last)) = (lie, der.last_mut()) {
        *last ^= 1;
    }
    Ok(pki::pem("CERTIFICATE", &der))
}

/// Whatever has a public key that can be certified.
trait Key {
    fn sign(
        &self,
        parameters: CertificateParams,
        issuer: &Issuer<'_, &KeyPair>,
    ) -> Result<Vec<u8>, rcgen::Error>;
}

impl<K: PublicKeyData> Key for K {
    fn sign(
        &self,
        parameters: CertificateParams,
        issuer: &Issuer<'_, &KeyPair>,
    ) -> Result<Vec<u8>, rcgen::Error> {
        Ok(parameters.signed_by(self, issuer)?.der().to_vec())
    }
}

fn names(asked: Vec<SanType>, lie: CaLie) -> Result<Vec<SanType>, rcgen::Error> {
    let other = || Ok::<_, rcgen::Error>(SanType::DnsName("other.lab.example".try_into()?));
    let mut names = asked;
    match lie {
        CaLie::NoName => names.clear(),
        CaLie::OtherName => names = vec![other()?],
        CaLie::SecondName => names.push(other()?),
        CaLie::Address => names.push(SanType::IpAddress([192, 0, 2, 7].into())),
        _ => {}
    }
    Ok(names)
}

fn validity(lie: CaLie) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    let begin = now - Duration::hours(1);
    match lie {
        CaLie::Expired => (begin - LIFE, now - Duration::minutes(1)),
        CaLie::Early => (now + Duration::days(7), now + LIFE),
        CaLie::Eternal => (begin, now + Duration::days(36_500)),
        _ => (begin, now + LIFE),
    }
}

fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and as long as it is.
    octets[0] = octets[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}

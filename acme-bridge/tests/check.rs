//! What a CA sends is handed out if it is what was asked for, and refused by name if it is not.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use acme_bridge::Csr;
use acme_bridge::check::{self, ChainRefusal, Expectation};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, PublicKeyData as _, SanType,
};
use rustls_pki_types::CertificateDer;

const NAME: &str = "dev-1.iot.example.org";
/// November 2026, in Unix milliseconds.
const NOW: i64 = 1_795_000_000_000;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

struct Case {
    root: Authority,
    key: KeyPair,
    csr: Csr,
    require_eku: Vec<String>,
}

impl Case {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let root = Authority::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let spki = key.subject_public_key_info();
        let csr = Csr { der: b"csr".to_vec(), names: vec![NAME.into()], spki };
        Self { root, key, csr, require_eku: Vec::new() }
    }

    fn leaf() -> CertificateParams {
        let mut leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        leaf.not_before = rcgen::date_time_ymd(2026, 11, 1);
        leaf.not_after = rcgen::date_time_ymd(2027, 1, 1);
        leaf
    }

    fn pem(&self, leaf: CertificateParams) -> String {
        leaf.signed_by(&self.key, &self.root).unwrap().pem()
    }

    fn judge(&self, pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
        self.judge_at(pem, NOW)
    }

    fn judge_at(&self, pem: &str, now: i64) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
        let roots = [self.root.der().clone()];
        let (csr, require_eku) = (&self.csr, &*self.require_eku);
        check::chain(pem, &Expectation { csr, require_eku, roots: &roots, now })
    }

    fn refusal(&self, pem: &str) -> ChainRefusal {
        self.judge(pem).unwrap_err()
    }
}

#[test]
fn a_chain_is_given_back_from_leaf_to_root_without_what_leads_nowhere() {
    let case = Case::new();
    let middle_key = KeyPair::generate().unwrap();
    let middle = authority("middle").signed_by(&middle_key, &case.root).unwrap();
    let issuer = Issuer::new(authority("middle"), &middle_key);
    let leaf = Case::leaf().signed_by(&case.key, &issuer).unwrap();
    let stray = authority("stray").self_signed(&KeyPair::generate().unwrap()).unwrap();
    let pem = format!("{}{}{}{}", leaf.pem(), stray.pem(), middle.pem(), case.root.pem());
    let chain = case.judge(&pem).unwrap();
    assert_eq!(chain, [leaf.der().clone(), middle.der().clone(), case.root.der().clone()]);
}

#[test]
fn another_key_other_names_and_foreign_roots_are_refused() {
    let case = Case::new();
    let pem = case.pem(Case::leaf());
    case.judge(&pem).unwrap();
    let other = Case::new();
    assert_eq!(case.refusal(&other.pem(Case::leaf())), ChainRefusal::Key);
    let foreign = Case::leaf().signed_by(&case.key, &other.root).unwrap().pem();
    assert!(case.refusal(&foreign).is_about_the_path());
    let mut names = Case::leaf();
    names.subject_alt_names = vec![SanType::DnsName("dev-2.iot.example.org".try_into().unwrap())];
    assert!(matches!(case.refusal(&case.pem(names)), ChainRefusal::Names { .. }));
}

#[test]
fn a_name_of_another_kind_beside_the_right_one_is_refused() {
    let case = Case::new();
    for extra in [
        SanType::Rfc822Name("a@example.org".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 1].into()),
        SanType::URI("https://example.org/".try_into().unwrap()),
        SanType::DnsName("*.iot.example.org".try_into().unwrap()),
    ] {
        let mut leaf = Case::leaf();
        leaf.subject_alt_names.push(extra.clone());
        let refusal = case.refusal(&case.pem(leaf));
        assert!(matches!(refusal, ChainRefusal::Names { .. }), "{extra:?}: {refusal}");
    }
    let mut none = Case::leaf();
    none.subject_alt_names.clear();
    assert!(matches!(case.refusal(&case.pem(none)), ChainRefusal::Names { .. }));
}

#[test]
fn usages_that_the_caller_requires_are_there_or_the_certificate_is_refused() {
    let mut case = Case::new();
    case.require_eku = vec!["1.3.6.1.5.5.7.3.1".into(), "1.3.6.1.5.5.7.3.2".into()];
    let with = |usages: &[ExtendedKeyUsagePurpose]| {
        let mut leaf = Case::leaf();
        leaf.extended_key_usages = usages.to_vec();
        case.judge(&case.pem(leaf))
    };
    let (server, client) =
        (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    with(&[server.clone(), client.clone()]).unwrap();
    // Without the extension every usage is allowed.
    with(&[]).unwrap();
    with(&[ExtendedKeyUsagePurpose::Any]).unwrap();
    let refusal = with(&[server]).unwrap_err();
    let ChainRefusal::Usage { certificate, required } = refusal else { panic!("{refusal}") };
    assert_eq!(
        (&*certificate, &*required),
        (&["1.3.6.1.5.5.7.3.1".into()][..], "1.3.6.1.5.5.7.3.2")
    );
    assert!(with(&[client]).is_err());
    assert!(with(&[ExtendedKeyUsagePurpose::Other(vec![1, 2, 3])]).is_err());
}

#[test]
fn a_validity_that_makes_no_sense_is_refused() {
    let case = Case::new();
    let pem = case.pem(Case::leaf());
    let begin = 1_793_491_200_000;
    // The CA's clock may be a little ahead of ours.
    case.judge_at(&pem, begin - 3_000_000).unwrap();
    for now in [begin - 3_700_000, begin + 61 * 24 * 3_600_000, i64::MAX, i64::MIN, 0] {
        let refusal = case.judge_at(&pem, now).unwrap_err();
        assert!(matches!(refusal, ChainRefusal::Validity { .. }), "{now}: {refusal}");
    }
    let mut long = Case::leaf();
    long.not_after = rcgen::date_time_ymd(2126, 1, 1);
    assert!(matches!(case.refusal(&case.pem(long)), ChainRefusal::Validity { .. }));
}

#[test]
fn a_ca_certificate_for_a_device_is_refused() {
    let case = Case::new();
    let mut leaf = Case::leaf();
    leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(matches!(case.refusal(&case.pem(leaf)), ChainRefusal::Path(_)));
}

#[test]
fn what_is_no_chain_is_refused_by_its_name() {
    let case = Case::new();
    let pem = case.pem(Case::leaf());
    assert_eq!(case.refusal(""), ChainRefusal::Unreadable);
    assert_eq!(case.refusal("no PEM at all"), ChainRefusal::Unreadable);
    let label = ["PRIVATE", "KEY"].join(" ");
    let with_key = format!("{pem}-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    assert_eq!(case.refusal(&with_key), ChainRefusal::ForeignBlock { label });
    assert_eq!(case.refusal(&pem.repeat(13)), ChainRefusal::TooMany { certificates: 13 });
    assert!(matches!(case.refusal(&pem.repeat(300)), ChainRefusal::TooLong { .. }));
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(case.judge(broken).is_err());
}

#[test]
fn a_chain_in_a_loop_ends() {
    let case = Case::new();
    let (key_a, key_b) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (a, b) = (Issuer::new(authority("a"), &key_a), Issuer::new(authority("b"), &key_b));
    let a_by_b = authority("a").signed_by(&key_a, &b).unwrap();
    let b_by_a = authority("b").signed_by(&key_b, &a).unwrap();
    let leaf = Case::leaf().signed_by(&case.key, &a).unwrap();
    let pem = format!("{}{}", leaf.pem(), format!("{}{}", a_by_b.pem(), b_by_a.pem()).repeat(5));
    assert!(matches!(case.refusal(&pem), ChainRefusal::Path(_)));
}

/// RFC 9773 §4.1; the serial number is the one of its example.
#[test]
fn the_identifier_of_a_certificate_is_its_authoritys_key_and_its_serial_number() {
    let case = Case::new();
    let mut leaf = Case::leaf();
    leaf.use_authority_key_identifier_extension = true;
    leaf.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
    let certificate = leaf.signed_by(&case.key, &case.root).unwrap();
    let identifier = check::renewal_identifier(certificate.der()).unwrap();
    let (authority, serial) = identifier.split_once('.').unwrap();
    // With the zero octet that keeps it positive, as in the RFC.
    assert_eq!(serial, "AIdlQyE");
    assert!(authority.len() >= 26);
    let mut without = Case::leaf();
    without.use_authority_key_identifier_extension = false;
    let certificate = without.signed_by(&case.key, &case.root).unwrap();
    assert_eq!(check::renewal_identifier(certificate.der()), None);
}

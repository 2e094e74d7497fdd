//! Every kind of device key × TLS 1.2 and 1.3 × each encoding that can carry it × each database, one registrar for
//! each database.

use std::os::unix::fs::PermissionsExt as _;

use brski_lab::pki::Credential;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::pledge::tls::TlsVersions;
use brski_tests::postgres::Cluster;
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::encoding::Encoding;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use tokio::task::JoinSet;

const KEYS: [&str; 4] = ["P256", "P384", "RSA2048", "ED25519"];

fn key(kind: &str) -> anyhow::Result<KeyPair> {
    Ok(match kind {
        "P256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        "P384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        "RSA2048" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        "ED25519" => KeyPair::generate_for(&PKCS_ED25519)?,
        other => anyhow::bail!("{other}"),
    })
}

/// The name of an encoding in a serial number.
const ENCODINGS: [(&str, Encoding); 3] =
    [("CMS", Encoding::Cms), ("JWS", Encoding::Jws), ("COSE", Encoding::Cose)];

/// The name of a TLS version in a serial number, and what the pledge speaks.
const VERSIONS: [(&str, TlsVersions); 2] =
    [("TLS12", TlsVersions::Tls12), ("TLS13", TlsVersions::Tls13)];

fn idevid(site: &TestSite, serial: &str, kind: &str) -> anyhow::Result<Credential> {
    let authority = &site.lab.manufacturer.authority;
    Ok(authority.idevid_for(serial, &site.lab.masa.url(), &key(kind)?)?)
}

/// Takes one pledge of each kind through everything, all at once.
async fn all_of_them(site: &TestSite) -> anyhow::Result<()> {
    let registrar = site.lab.registrar.address();
    let mut journeys = JoinSet::new();
    for kind in KEYS {
        // COSE of vouchers has no RSA (draft-ietf-anima-constrained-voucher).
        let fits = |encoding| kind != "RSA2048" || encoding != Encoding::Cose;
        let encodings = ENCODINGS.into_iter().filter(|(_, encoding)| fits(*encoding));
        for ((name, versions), (word, encoding)) in
            VERSIONS.into_iter().flat_map(|tls| encodings.clone().map(move |each| (tls, each)))
        {
            let serial = format!("{kind}-{name}-{word}");
            let idevid = idevid(site, &serial, kind)?;
            let maker = &site.lab.manufacturer;
            let pledge = Pledge::new(idevid, maker.authority.certificate())?
                .knowing(&maker.voucher_signer.certificate)?
                .speaking(versions)
                .writing(encoding);
            journeys.spawn(async move {
                let enrolled = journey::run(&pledge, registrar, &Label::default()).await;
                (serial, enrolled)
            });
        }
    }
    let expected = journeys.len();
    let mut enrolled = 0;
    while let Some(joined) = journeys.join_next().await {
        let (serial, outcome) = joined?;
        let device = outcome.map_err(|error| anyhow::anyhow!("{serial}: {error}"))?;
        let name = format!("{}.iot.lab.example", serial.to_ascii_lowercase());
        assert_eq!(device.certificate.dns_names(), [name]);
        enrolled += 1;
    }
    assert_eq!(enrolled, expected);
    for kind in ["voucher-accepted", "enrollment-confirmed"] {
        let events = json(site.site(), "event list", &["--kind", kind]).await?;
        assert_eq!(events.as_array().map(Vec::len), Some(expected), "{kind}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_device_joins_by_each_tls_on_sqlite() -> anyhow::Result<()> {
    let site = site::local().await?;
    all_of_them(&site).await?;
    site.lab.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_device_joins_by_each_tls_on_postgresql() -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start()? else {
        return Ok(());
    };
    let url = cluster.database()?;
    let site = site::prepared(|folder| {
        let file = folder.join("postgres.url");
        std::fs::write(&file, url)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let store = "url_file = \"postgres.url\"\nnode = \"matrix\"";
        edit(folder, "path = \"registrar.db\"", store)?;
        Ok(Vec::new())
    })
    .await?;
    all_of_them(&site).await?;
    site.lab.stop().await;
    Ok(())
}

//! `/cacerts`: everything that any profile's certificates need, and nothing that none needs any more.

use brski_lab::http::Connection;
use brski_lab::pledge::journey::{self, Label};
use brski_registrar::store::model::Sha256;
use brski_tests::est::{ZONE, connect};
use brski_tests::site::{self, TestSite};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::CertificateDer;

/// How many characters of base64 every client reads.
const CHARACTERS: usize = 12 * 1024;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> anyhow::Result<Ca> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?)
}

/// The certificates that the registrar serves.
async fn served(
    connection: &mut Connection,
    path: &str,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let answer = connection.get(&format!("/.well-known/est/{path}")).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.content_type, "application/pkcs7-mime");
    assert!(answer.body.len() <= CHARACTERS, "{} characters", answer.body.len());
    Ok(brski_est::certs_only::decode(&brski_est::transfer::decode(&answer.body)?)?)
}

fn first(site: &TestSite, file: &str) -> anyhow::Result<CertificateDer<'static>> {
    let path = site.site().folder().join(file);
    Ok(brski_registrar::identity::read_certificates(&path)?[0].der().clone())
}

#[tokio::test]
async fn without_authentication_it_is_the_union_over_all_profiles() -> anyhow::Result<()> {
    let second = ca("second device CA")?;
    let site = site::prepared(|folder| {
        std::fs::write(folder.join("second.pem"), second.pem())?;
        let key = folder.join("second.key");
        std::fs::write(&key, second.key().serialize_pem())?;
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        let sections = format!(
            "[issuer.second]\nkind = \"local\"\ncertificate = \"second.pem\"\n\
             key = \"second.key\"\n\n\
             [profile.other]\nissuer = \"second\"\nzone = \"{ZONE}\"\n\n[policy]"
        );
        site::edit(folder, "[policy]", &sections)?;
        Ok(Vec::new())
    })
    .await?;
    let mut nobody = connect(&site, None).await?;
    let domain = first(&site, "domain-ca.pem")?;
    let wanted = [first(&site, "device-ca.pem")?, second.der().clone()];
    for path in ["cacerts", "default/cacerts", "other/cacerts"] {
        let served = served(&mut nobody, path).await?;
        assert_eq!(served[0], domain, "{path}: the registrar's own root is the first");
        assert_eq!(served.len(), 3, "{path}");
        assert!(wanted.iter().all(|each| served.contains(each)), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_certificate_in_use_needs_is_left_out() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("CHAIN-1")?;
    let enrolled = journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    let database = rusqlite::Connection::open(site.site().folder().join("registrar.db"))?;
    // Forty intermediates of a CA that rotates them, more than any client reads.
    let seen = (0..40).map(|number| ca(&format!("R{number}"))).collect::<Result<Vec<Ca>, _>>()?;
    for ca in &seen {
        let sql = "INSERT INTO chain_certificates (fingerprint, issuer, certificate) \
                   VALUES (?1, 'elsewhere', ?2)";
        database.execute(sql, (Sha256::of(ca.der()).0.to_vec(), ca.der().to_vec()))?;
    }
    let mut nobody = connect(&site, None).await?;
    let is_served = async |connection: &mut Connection, place: usize| {
        let served = served(connection, "cacerts").await?;
        anyhow::Ok(served.contains(seen[place].der()))
    };
    assert!(!is_served(&mut nobody, 7).await?);
    // A certificate in use came from the seventh.
    let own = enrolled.certificate.fingerprint().to_vec();
    let issued_by = |set: &str| format!("UPDATE certificates SET {set} WHERE fingerprint = ?1");
    let authority = Sha256::of(seen[7].der()).0.to_vec();
    database.execute(&issued_by("authority = ?2"), (&own, &authority))?;
    assert!(is_served(&mut nobody, 7).await?);
    assert!(!is_served(&mut nobody, 8).await?);
    // It ends.
    database.execute(&issued_by("not_after = 1"), (&own,))?;
    assert!(!is_served(&mut nobody, 7).await?);
    Ok(())
}

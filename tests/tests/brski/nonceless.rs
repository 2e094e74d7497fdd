//! Vouchers without a nonce: fetched ahead, renewed, and given when the MASA is away.

use std::time::Duration;

use brski_lab::masa::{MasaOptions, Misbehaviour};
use brski_lab::pledge::Pledge;
use brski_lab::process;
use brski_tests::est::{Key, post};
use brski_tests::site::{MASA_URL, TestSite, event_kinds, json};
use brski_voucher::artefact::{RegistrarRequest, Voucher};
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::pledge;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::Unverified;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::desk::{ask, assert_refused, plan, start, state};

/// A site whose MASA sold a device of this serial number to its domain, which expects it.
///
/// The IDevID was not seen, so the operator says where the MASA is.
async fn site(serial: &str, masa: MasaOptions, edits: &[(&str, &str)]) -> anyhow::Result<TestSite> {
    let site = start(plan(masa, &["--masa-url", MASA_URL]), edits).await?;
    let domain = site.site().folder().join("domain-ca.pem");
    site.lab.masa.sell_to(CertificateDer::from_pem_file(domain)?);
    site.site().command("device allow", &[serial, "--manufacturer", "lab-devices"]).await?;
    Ok(site)
}

/// What a pledge makes of a voucher that it did not ask for with this nonce.
fn verify(
    site: &TestSite,
    pledge: &Pledge,
    octets: &[u8],
    encoding: Encoding,
) -> anyhow::Result<()> {
    let time = ValidityTime::At(brski_lab::masa::now());
    let authority = site.lab.manufacturer.authority.certificate();
    let anchors = Anchors::new(std::slice::from_ref(authority))?;
    let signer = &site.lab.manufacturer.voucher_signer.certificate;
    let others = [brski_voucher::certificate::Certificate::from_der(signer)?];
    let voucher = Unverified::<Voucher>::parse_as(octets, encoding, Strictness::Standard)?
        .verify_by_anchors_among(&anchors, &others, time)?;
    pledge::check_nonceless_voucher(&voucher, pledge.serial(), pledge.idevid(), time)?;
    Ok(())
}

#[tokio::test]
async fn one_fetched_ahead_is_given_while_the_masa_is_away() -> anyhow::Result<()> {
    for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
        let word = encoding.as_str();
        let serial = format!("AHEAD-{word}");
        let site = site(&serial, MasaOptions::default(), &[]).await?;
        let told = site.site().command("voucher prefetch", &[&serial, "--encoding", word]).await?;
        assert!(told.contains(&format!("{serial}: fetched, until ")), "{told}");
        let listed = json(site.site(), "voucher list", &[]).await?;
        assert_eq!((&listed[0]["is_here"], &listed[0]["problem"]), (&true.into(), &().into()));
        let pledge = site.lab.pledge(&serial)?.writing(encoding);
        site.lab.masa.behave(Misbehaviour::Unavailable);
        let (answer, mut visit) = ask(&site, &pledge).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        verify(&site, &pledge, &answer.body, encoding)?;
        let kinds = event_kinds(site.site()).await?;
        assert!(kinds.contains(&"voucher-from-store".to_owned()), "{kinds:?}");
        assert_eq!(state(&site, &serial).await?, "vouchered");
        let csr = Key::new()?.csr(&serial.to_lowercase())?;
        assert_eq!(post(&mut visit.connection, "simpleenroll", &csr, None).await?.status, 200);
        // Another encoding is another voucher, which is not here.
        let other = if encoding == Encoding::Cms { Encoding::Jws } else { Encoding::Cms };
        let (answer, _) = ask(&site, &pledge.writing(other)).await?;
        assert_refused(&site, &answer, 503, "cannot be reached", "masa-unavailable").await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_is_renewed_before_it_ends_and_not_given_after() -> anyhow::Result<()> {
    let masa = MasaOptions { lifetime: Duration::from_secs(6), ..MasaOptions::default() };
    let site = site("RENEWS", masa, &[]).await?;
    site.site().command("voucher prefetch", &["RENEWS"]).await?;
    let first = json(site.site(), "voucher list", &[]).await?;
    let renewed = process::until(Duration::from_secs(20), async || {
        let now = json(site.site(), "voucher list", &[]).await.ok()?;
        (now[0]["expires_at"] != first[0]["expires_at"]).then_some(())
    });
    assert!(renewed.await.is_some(), "it was not renewed");
    site.lab.masa.behave(Misbehaviour::Refuses);
    let failed = process::until(Duration::from_secs(20), async || {
        let now = json(site.site(), "voucher list", &[]).await.ok()?;
        now[0]["problem"].as_str().map(str::to_owned)
    });
    let failed = failed.await.unwrap_or_default();
    assert!(failed.contains("sold to somebody else"), "{failed}");
    site.lab.masa.behave(Misbehaviour::Unavailable);
    let pledge = site.lab.pledge("RENEWS")?;
    let over = process::until(Duration::from_secs(20), async || {
        let (answer, _) = ask(&site, &pledge).await.ok()?;
        (answer.status == 503).then_some(())
    });
    assert!(over.await.is_some(), "one that has ended is given");
    Ok(())
}

/// The registrar's last request for the only voucher that was fetched ahead, and the voucher.
fn stored(site: &TestSite) -> anyhow::Result<(Unverified<RegistrarRequest>, Vec<u8>)> {
    let database = rusqlite::Connection::open(site.site().folder().join("registrar.db"))?;
    let sql = "SELECT registrar_request, voucher FROM nonceless_vouchers";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
    let (request, voucher) = database.query_row(sql, [], read)?;
    let request = Unverified::parse_as(&request, Encoding::Cms, Strictness::Standard)?;
    Ok((request, voucher))
}

/// Waits until the voucher is another one, and gives the request that it answers.
async fn renewed(site: &TestSite, old: &[u8]) -> Unverified<RegistrarRequest> {
    let renewed = process::until(Duration::from_secs(20), async || {
        let (request, voucher) = stored(site).ok()?;
        (voucher != old).then_some(request)
    });
    renewed.await.expect("it is renewed")
}

#[tokio::test]
async fn a_renewal_carries_the_voucher_that_it_renews() -> anyhow::Result<()> {
    let masa = MasaOptions { lifetime: Duration::from_secs(9), ..MasaOptions::default() };
    let site = site("CARRIES", masa, &[]).await?;
    site.site().command("voucher prefetch", &["CARRIES"]).await?;
    let (first, voucher) = stored(&site)?;
    assert_eq!(first.content().prior_signed_voucher_request(), None);
    let request = renewed(&site, &voucher).await;
    let (before, content) = (first.content(), request.content());
    assert_eq!(content.prior_signed_voucher_request(), Some(voucher.as_slice()), "as received");
    assert_eq!(content.nonce(), None);
    assert_eq!(content.serial_number(), before.serial_number());
    assert_eq!(content.idevid_issuer(), before.idevid_issuer());
    assert_ne!(content.created_on(), before.created_on(), "it is a new request");
    Ok(())
}

#[tokio::test]
async fn a_masa_that_takes_no_old_voucher_is_asked_without_one() -> anyhow::Result<()> {
    let masa = MasaOptions { lifetime: Duration::from_secs(6), ..MasaOptions::default() };
    let site = site("PLAIN", masa, &[]).await?;
    site.site().command("voucher prefetch", &["PLAIN"]).await?;
    let (_, voucher) = stored(&site)?;
    site.lab.masa.behave(Misbehaviour::NoRenewal);
    let request = renewed(&site, &voucher).await;
    assert_eq!(request.content().prior_signed_voucher_request(), None);
    assert!(site.lab.masa.requests() >= 3, "{}", site.lab.masa.requests());
    let kinds = event_kinds(site.site()).await?;
    assert!(!kinds.contains(&"voucher-not-fetched".to_owned()), "{kinds:?}");
    // One that says no to all is not asked without end.
    site.lab.masa.behave(Misbehaviour::Refuses);
    let failed = process::until(Duration::from_secs(20), async || {
        let kinds = event_kinds(site.site()).await.ok()?;
        kinds.contains(&"voucher-not-fetched".to_owned()).then_some(())
    });
    assert!(failed.await.is_some(), "it is told");
    Ok(())
}

#[tokio::test]
async fn none_is_kept_of_a_device_that_was_barred() -> anyhow::Result<()> {
    let masa = MasaOptions { lifetime: Duration::from_secs(6), ..MasaOptions::default() };
    let site = site("BARRED", masa, &[]).await?;
    site.site().command("voucher prefetch", &["BARRED"]).await?;
    site.site().command("device block", &["BARRED"]).await?;
    let gone = process::until(Duration::from_secs(20), async || {
        let listed = json(site.site(), "voucher list", &[]).await.ok()?;
        listed.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    assert!(gone.await.is_some(), "it is renewed for nobody");
    let error = site.site().command("voucher prefetch", &["BARRED"]).await.unwrap_err();
    assert!(error.to_string().contains("blocked"), "{error}");
    Ok(())
}

#[tokio::test]
async fn one_is_asked_for_again_where_the_masa_did_not_give_it() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    site.site().command("device allow", &["UNSOLD", "--manufacturer", "lab-devices"]).await?;
    // The IDevID was not seen, and the operator did not say where the MASA is.
    let error = site.site().command("voucher prefetch", &["UNSOLD"]).await.unwrap_err();
    assert!(error.to_string().contains("names no MASA"), "{error}");
    // This one is known, but the MASA does not know the domain.
    ask(&site, &site.lab.pledge("KNOWN")?).await?;
    let error = site.site().command("voucher prefetch", &["KNOWN"]).await.unwrap_err();
    assert!(error.to_string().contains("no registrar of a known domain"), "{error}");
    assert!(error.to_string().contains("asks again by itself"), "{error}");
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("voucher-not-fetched"), "{kinds:?}");
    let error = site.site().command("voucher prefetch", &["NOBODY"]).await.unwrap_err();
    assert!(error.to_string().contains("no device has"), "{error}");
    Ok(())
}

#[tokio::test]
async fn none_is_fetched_where_it_could_not_be_used() -> anyhow::Result<()> {
    for (from, to, words) in [
        ("pin = \"root\"", "pin = \"ee\"", "identity.pin"),
        ("nonceless = \"accept\"\n", "nonceless = \"refuse\"\n", "policy.nonceless"),
    ] {
        let site = site("UNUSED", MasaOptions::default(), &[(from, to)]).await?;
        let error = site.site().command("voucher prefetch", &["UNUSED"]).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(site.lab.masa.requests(), 0, "the MASA was not asked");
    }
    Ok(())
}

#[tokio::test]
async fn one_for_another_device_or_domain_is_not_kept() -> anyhow::Result<()> {
    let site = site("CHECKED", MasaOptions::default(), &[]).await?;
    for (misbehaviour, words) in [
        (Misbehaviour::WrongSerial, "another device"),
        (Misbehaviour::WrongNonce, "nonce"),
        (Misbehaviour::WrongPin, "pinned-domain-cert"),
        (Misbehaviour::WrongSigner, "voucher is refused"),
        (Misbehaviour::Huge, "longer than"),
        (Misbehaviour::WrongType, "text/html"),
    ] {
        site.lab.masa.behave(misbehaviour);
        let error = site.site().command("voucher prefetch", &["CHECKED"]).await.unwrap_err();
        assert!(error.to_string().contains(words), "{misbehaviour:?}: {error}");
        let listed = json(site.site(), "voucher list", &[]).await?;
        assert_eq!(listed[0]["is_here"], false, "{misbehaviour:?}");
    }
    Ok(())
}

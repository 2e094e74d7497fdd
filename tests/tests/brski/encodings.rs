//! The three encodings on one listener: what comes in JWS or COSE goes to the MASA and comes back in the same.

use brski_lab::http::Connection;
use brski_lab::masa::{MasaOptions, Pinning};
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_tests::site::{self, Plan, TestSite, edit};
use brski_voucher::artefact::{Directions, RegistrarRequest, Voucher};
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::verify::Unverified;
use brski_voucher::{media_type, path};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use hyper::Request;

use crate::desk::{Visit, ask, assert_refused, plan, start};

const ALL: [Encoding; 3] = [Encoding::Cms, Encoding::Jws, Encoding::Cose];

/// A device that writes in this encoding.
fn pledge(site: &TestSite, encoding: Encoding) -> anyhow::Result<Pledge> {
    let pledge = site.lab.pledge(&format!("IN-{}", encoding.as_str()))?.writing(encoding);
    Ok(pledge.knowing(&site.lab.manufacturer.voucher_signer.certificate)?)
}

/// What the registrar sent to the MASA for this pledge request.
fn sent(site: &TestSite, encoding: Encoding) -> anyhow::Result<Vec<u8>> {
    let database = rusqlite::Connection::open(site.site().folder().join("registrar.db"))?;
    let sql = "SELECT registrar_request FROM voucher_exchanges WHERE encoding = ?1";
    Ok(database.query_row(sql, [encoding.as_str()], |row| row.get(0))?)
}

#[tokio::test]
async fn each_encoding_takes_a_pledge_through() -> anyhow::Result<()> {
    let site = site::local().await?;
    for encoding in ALL {
        let pledge = pledge(&site, encoding)?;
        let enrolled =
            journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
        let name = format!("in-{}.iot.lab.example", encoding.as_str());
        assert_eq!(enrolled.certificate.dns_names(), [name]);
        // The registrar's request is in the pledge's encoding.
        let request = sent(&site, encoding)?;
        Unverified::<RegistrarRequest>::parse_as(&request, encoding, Strictness::Standard)?;
    }
    assert_eq!(site.lab.masa.issued(), 3);
    Ok(())
}

#[tokio::test]
async fn a_voucher_is_forwarded_as_it_came_but_for_the_certificates_beside_cose()
-> anyhow::Result<()> {
    let site = site::local().await?;
    let database = site.site().folder().join("registrar.db");
    for encoding in ALL {
        let pledge = pledge(&site, encoding)?;
        let (answer, visit) = ask(&site, &pledge).await?;
        assert_eq!((answer.status, &*answer.content_type), (200, encoding.media_type()));
        let sql = "SELECT voucher FROM voucher_exchanges WHERE encoding = ?1";
        let stored: Vec<u8> =
            rusqlite::Connection::open(&database)?
                .query_row(sql, [encoding.as_str()], |row| row.get(0))?;
        let stored = Unverified::<Voucher>::parse_as(&stored, encoding, Strictness::Standard)?;
        assert!(!stored.certificates().is_empty(), "it is kept as it came");
        let received =
            Unverified::<Voucher>::parse_as(&answer.body, encoding, Strictness::Standard)?;
        assert_eq!(answer.body, stored.for_pledge());
        assert_eq!(received.certificates().is_empty(), encoding == Encoding::Cose);
        assert_eq!(received.payload(), stored.payload());
        pledge.verify_voucher(&answer.body, &visit.nonce, &visit.chain)?;
    }
    Ok(())
}

/// Sends a request with these headers.
async fn post(
    connection: &mut Connection,
    content_type: &str,
    accept: Option<&str>,
    body: &[u8],
) -> anyhow::Result<brski_lab::http::Answer> {
    let mut request = Request::post(path::REQUEST_VOUCHER).header(CONTENT_TYPE, content_type);
    if let Some(accept) = accept {
        request = request.header(ACCEPT, accept);
    }
    Ok(connection.request(request.body(Bytes::copy_from_slice(body))?).await?)
}

#[tokio::test]
async fn the_media_type_decides_and_the_answer_has_the_same() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = pledge(&site, Encoding::Cose)?;
    let mut visit = Visit::begin(&site, &pledge).await?;
    let (new, old) = (media_type::VOUCHER_COSE, media_type::VOUCHER_COSE_OLD);
    for (sent, accept, expected) in [
        (new, None, new),
        (old, None, old),
        (old, Some("application/voucher+cose;q=1"), new),
        ("Application/Voucher+COSE; charset=x", Some("text/html, */*;q=0.1"), new),
    ] {
        let answer = post(&mut visit.connection, sent, accept, &visit.body).await?;
        assert_eq!((answer.status, &*answer.content_type), (200, expected), "{}", answer.text());
    }
    assert_eq!(site.lab.masa.requests(), 1, "they were retries");
    Ok(())
}

#[tokio::test]
async fn refuses_what_is_not_in_the_declared_encoding_or_not_accepted() -> anyhow::Result<()> {
    let site = site::local().await?;
    for encoding in ALL {
        let pledge = pledge(&site, encoding)?;
        let visit = &mut Visit::begin(&site, &pledge).await?;
        let unknown = post(&mut visit.connection, "application/voucher+xml", None, &visit.body);
        let answer = unknown.await?;
        assert_refused(&site, &answer, 415, "voucher-cms+json", "media-type-unknown").await?;
        for other in ALL.into_iter().filter(|other| *other != encoding) {
            let sent = other.media_type();
            let answer = post(&mut visit.connection, sent, None, &visit.body).await?;
            assert_refused(&site, &answer, 406, "cannot be read", "voucher-request-unreadable")
                .await?;
            let own = pledge.media_type();
            let answer = post(&mut visit.connection, own, Some(sent), &visit.body).await?;
            assert_refused(&site, &answer, 406, "the answer is", "not-acceptable").await?;
        }
        // One changed octet of what is signed, in each encoding.
        let mut changed = visit.body.clone();
        *changed.last_mut().expect("it is not empty") ^= 1;
        let answer = post(&mut visit.connection, pledge.media_type(), None, &changed).await?;
        assert!([403, 406].contains(&answer.status), "{}: {}", answer.status, answer.text());
    }
    assert_eq!(site.lab.masa.requests(), 0, "the MASA was not asked");
    Ok(())
}

#[tokio::test]
async fn what_is_shown_of_the_chain_is_what_shall_be_pinned() -> anyhow::Result<()> {
    for (pin, certificates) in [("root", 2), ("issuing-ca", 2), ("ee", 1)] {
        let site = site::brski(Plan::default(), |folder| {
            edit(folder, "pin = \"root\"", &format!("pin = \"{pin}\""))?;
            Ok(Vec::new())
        })
        .await?;
        let cms = pledge(&site, Encoding::Cms)?;
        let (_, pinned) = journey::bootstrap(&cms, site.lab.registrar.address()).await?;
        assert_eq!(pinned.is_ca(), pin != "ee", "{pin}");
        let request = sent(&site, Encoding::Cms)?;
        let request = Unverified::<RegistrarRequest>::parse(&request)?;
        assert_eq!(request.certificates().len(), certificates, "{pin}");
        journey::run(
            &pledge(&site, Encoding::Jws)?,
            site.lab.registrar.address(),
            &Label::default(),
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn where_a_voucher_sends_the_pledge_is_passed_through() -> anyhow::Result<()> {
    let url = "https://config.example.com/7?a=b".to_owned();
    let directions = Directions {
        est_domain: Some("est.example.com".to_owned()),
        additional_configuration_url: Some(url.clone()),
    };
    let masa = MasaOptions { directions, ..MasaOptions::default() };
    let site = start(plan(masa, &[]), &[]).await?;
    for encoding in ALL {
        let (answer, _) = ask(&site, &pledge(&site, encoding)?).await?;
        let voucher =
            Unverified::<Voucher>::parse_as(&answer.body, encoding, Strictness::Standard)?;
        assert_eq!(voucher.content().est_domain(), Some("est.example.com"));
        assert_eq!(voucher.content().additional_configuration_url(), Some(url.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn a_masa_may_pin_less_than_the_top() -> anyhow::Result<()> {
    let masa = MasaOptions { pinning: Pinning::Own, ..MasaOptions::default() };
    let site = start(plan(masa, &[]), &[]).await?;
    let pledge = pledge(&site, Encoding::Cms)?;
    let (_, pinned) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    assert!(!pinned.is_ca());
    Ok(())
}

#[tokio::test]
async fn older_names_and_forms_are_for_manufacturers_that_need_them() -> anyhow::Result<()> {
    let arguments = ["--lenient", "--cms-id-data", "--cose-old-name"];
    let site = start(plan(MasaOptions::default(), &arguments), &[]).await?;
    let cms = pledge(&site, Encoding::Cms)?;
    let mut visit = Visit::begin(&site, &cms).await?;
    let alias = "application/pkcs7-mime; smime-type=voucher-request";
    let answer = post(&mut visit.connection, alias, None, &visit.body).await?;
    assert_eq!((answer.status, &*answer.content_type), (200, media_type::VOUCHER_CMS));
    // id-data, 1.2.840.113549.1.7.1, around what is signed.
    let id_data: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    let request = sent(&site, Encoding::Cms)?;
    assert!(request.windows(id_data.len()).any(|window| window == id_data));
    let cose = pledge(&site, Encoding::Cose)?;
    journey::bootstrap(&cose, site.lab.registrar.address()).await?;
    let listed = brski_tests::site::json(site.site(), "manufacturer list", &[]).await?;
    for flag in ["lenient", "id_data", "old_cose_name"] {
        assert_eq!(listed[0]["masa"][flag], true, "{flag}");
    }
    Ok(())
}

//! Metrics of a whole run, read by other hands; hostile clients make none.

use std::process::Command;

use anyhow::{Context as _, ensure};
use brski_lab::masa::Misbehaviour;
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::{Pledge, journey};
use brski_tests::programs::{python, workspace};
use brski_tests::site::{self, edit};
use brski_voucher::{media_type, path};

use super::shown::{again, await_sample, get, samples, show, showing};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_in_the_metrics() -> anyhow::Result<()> {
    let site = showing(|_| Ok(Vec::new())).await?;
    let address = site.lab.registrar.address();
    journey::run(&site.lab.pledge("METRIC-1")?, address, &journey::Label::default()).await?;
    site.lab.masa.behave(Misbehaviour::Refuses);
    let refused = site.lab.pledge("METRIC-2")?;
    journey::bootstrap(&refused, address).await.err().context("the MASA refuses")?;
    let site = site.site();
    await_sample(site, "registrar_certificates{days_left=\"ge_90\"}", 1.0).await?;
    await_sample(site, "registrar_events_total{kind=\"masa-refused\"}", 1.0).await?;
    let samples = samples(site).await?;
    for (series, value) in [
        ("registrar_http_requests_total{endpoint=\"requestvoucher\",class=\"2xx\"}", 1.0),
        ("registrar_http_requests_total{endpoint=\"requestvoucher\",class=\"4xx\"}", 1.0),
        ("registrar_http_requests_total{endpoint=\"simpleenroll\",class=\"2xx\"}", 1.0),
        ("registrar_phases_total{phase=\"voucher\",outcome=\"done\"}", 1.0),
        ("registrar_phases_total{phase=\"masa\",outcome=\"done\"}", 2.0),
        ("registrar_phases_total{phase=\"cacerts\",outcome=\"done\"}", 2.0),
        ("registrar_phases_total{phase=\"csrattrs\",outcome=\"done\"}", 1.0),
        ("registrar_phases_total{phase=\"enroll\",outcome=\"done\"}", 1.0),
        ("registrar_phases_total{phase=\"local_issue\",outcome=\"done\"}", 1.0),
        ("registrar_phases_total{phase=\"status\",outcome=\"done\"}", 2.0),
        ("registrar_phase_errors_total{phase=\"voucher\",fault=\"masa\"}", 1.0),
        ("registrar_phase_errors_total{phase=\"masa\",fault=\"masa\"}", 1.0),
        ("registrar_phase_duration_seconds_count{phase=\"masa\"}", 3.0),
        ("registrar_events_total{kind=\"manufacturer-added\"}", 1.0),
        ("registrar_events_total{kind=\"certificate-issued\"}", 1.0),
        ("registrar_events_total{kind=\"enrollment-confirmed\"}", 1.0),
        ("registrar_events_total{kind=\"other\"}", 0.0),
        ("registrar_approvals_waiting", 0.0),
        ("registrar_enrollments_approved", 0.0),
        ("registrar_store_failures_total{operation=\"write\"}", 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    let events: f64 = samples
        .iter()
        .filter(|(series, _)| series.starts_with("registrar_events_total"))
        .map(|(_, value)| value)
        .sum();
    assert!(events > 8.0, "{events}");
    assert!(samples["registrar_store_commit_duration_seconds_count"] > 8.0);
    assert!(samples["registrar_tls_handshakes_total{listener=\"est\",session=\"full\"}"] >= 2.0);
    assert!(samples["registrar_survey_timestamp_seconds{survey=\"queues\"}"] > 1.7e9);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_an_acme_ca_shows_in_the_metrics() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    let site = again(site, |folder| {
        edit(folder, "# limits = { account", "limits = { account")?;
        show(folder)
    })
    .await?;
    let address = site.lab.registrar.address();
    journey::run(&site.lab.pledge("ORDER-1")?, address, &journey::Label::default()).await?;
    let site = site.site();
    await_sample(site, "registrar_phases_total{phase=\"acme_order\",outcome=\"done\"}", 1.0)
        .await?;
    let samples = samples(site).await?;
    let took = samples["registrar_phase_duration_seconds_sum{phase=\"acme_order\"}"];
    assert!((0.001..60.0).contains(&took), "{took}");
    assert!(samples["registrar_dns_queries_total"] >= 1.0);
    assert!(samples["registrar_dns_answers_total"] >= 1.0);
    let left = "registrar_ca_limit_left_orders{issuer=\"acme\",limit=\"account\"}";
    await_sample(site, left, 299.0).await?;
    assert_eq!(samples["registrar_ca_limit_orders{issuer=\"acme\",limit=\"account\"}"], 300.0);
    assert_eq!(samples["registrar_ca_down_seconds{issuer=\"acme\"}"], 0.0);
    assert_eq!(samples["registrar_ca_lost_orders_total{issuer=\"acme\"}"], 0.0);
    for state in ["waiting", "in_flight"] {
        let series = format!("registrar_orders{{issuer=\"acme\",state=\"{state}\"}}");
        assert!(samples.contains_key(&series), "{series}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_make_no_series() -> anyhow::Result<()> {
    let site = showing(|_| Ok(Vec::new())).await?;
    let before: Vec<String> = samples(site.site()).await?.into_keys().collect();
    let address = site.lab.registrar.address();
    let stranger = Manufacturer::new("somebody else")?;
    for number in 0..20 {
        let serial = format!("S{number}\",kind=\"x");
        let idevid = stranger.authority.idevid(&serial, "masa.example")?;
        let pledge = Pledge::new(idevid, stranger.authority.certificate())?;
        let (mut connection, chain) = pledge.connect(address).await?;
        let own = chain.own().context("a server has a certificate")?;
        let body = pledge.voucher_request(own)?.der;
        let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
        assert_eq!(answer.status, 403, "{}", answer.text());
        for path in [
            format!("/.well-known/est/label-{number}/cacerts"),
            format!("/.well-known/est/{number}"),
            format!("/{number}%22%7D%201?a=b"),
            format!("/.well-known/brski/{number}"),
        ] {
            assert_eq!(connection.get(&path).await?.status, 404, "{path}");
        }
    }
    let kind = "registrar_events_total{kind=\"unknown-manufacturer\"}";
    await_sample(site.site(), kind, 20.0).await?;
    let after = samples(site.site()).await?;
    assert_eq!(after.keys().cloned().collect::<Vec<_>>(), before);
    let other = "registrar_http_requests_total{endpoint=\"other\",class=\"4xx\"}";
    assert_eq!(after[other], 60.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_reader_of_openmetrics_understands_every_line() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let site = showing(|_| Ok(Vec::new())).await?;
    let (status, of, text) = get(site.site(), "/metrics").await?;
    assert_eq!(
        (status, of.as_str()),
        (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let file = site.folder.path().join("metrics.txt");
    std::fs::write(&file, &text)?;
    let script = workspace().join("tests/oracles/openmetrics.py");
    let output = Command::new(python).arg(script).arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let understood: usize = String::from_utf8(output.stdout)?.trim().parse()?;
    assert_eq!(understood, text.lines().filter(|line| !line.starts_with('#')).count());
    Ok(())
}

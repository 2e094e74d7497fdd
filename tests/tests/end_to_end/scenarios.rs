//! Every scenario of docs/scenarios, small and fast, as a person runs it.

use brski_lab::scenario::Scenario;
use brski_lab::scenario::words::IssuerKind;
use brski_tests::programs;
use serde_json::Value;

use crate::lab::{samples, up, written};

/// Runs a sample; gives its report, which is as the sample expects.
async fn sample(name: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let file = samples().join(name);
    let file = file.to_string_lossy();
    let arguments: Vec<&str> =
        ["--scenario", &file, "--json"].into_iter().chain(arguments.iter().copied()).collect();
    let came = up(&arguments).await?;
    let report = came.report()?;
    assert_eq!(came.code, Some(0), "{}: {report:#}", came.said);
    assert_eq!(report["as_expected"], true, "{report:#}");
    assert_eq!(report["ended"], "done");
    Ok(report)
}

fn fleet<'a>(report: &'a Value, name: &str) -> &'a Value {
    let fleets = report["fleets"].as_array().map(Vec::as_slice).unwrap_or_default();
    fleets.iter().find(|fleet| fleet["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn the_first_sample_is_what_up_does_without_a_file() -> anyhow::Result<()> {
    let sample = Scenario::load(&samples().join("first-try.toml"))?;
    assert_eq!(sample, Scenario::usual(3, 16, IssuerKind::Pebble));
    Ok(())
}

#[test]
fn every_sample_is_run_by_a_test() -> anyhow::Result<()> {
    let source = include_str!("scenarios.rs");
    for entry in std::fs::read_dir(samples())? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Scenario::load(&file)?;
        assert!(source.contains(&format!("sample({name:?}")), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_first_try_succeeds() -> anyhow::Result<()> {
    let Some(_) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let report = sample("first-try.toml", &[]).await?;
    assert_eq!((&report["enrolled"], &report["issuer"]), (&3.into(), &"acme".into()));
    assert!(report["dns_queries_answered"].as_u64() >= Some(3), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_campus_comes_up_after_a_power_cut() -> anyhow::Result<()> {
    let report = sample("campus-burst.toml", &["--scale", "0.02"]).await?;
    let sizes = ["lamps", "locks", "annex"].map(|name| fleet(&report, name)["onboarded"].as_u64());
    assert_eq!(sizes, [Some(32), Some(6), Some(2)]);
    // The locks' MASA is far away, and every voucher waits for it.
    assert!(fleet(&report, "locks")["voucher_ms"]["p50"].as_u64() >= Some(150), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn honest_devices_join_in_a_hostile_hour() -> anyhow::Result<()> {
    let report = sample("hostile-hour.toml", &["--at-most", "3", "--speed", "20"]).await?;
    for name in ["liars", "victims"] {
        let fleet = fleet(&report, name);
        assert_eq!(fleet["refused_as_expected"], 3, "{fleet:#}");
        assert_eq!(fleet["onboarded"], 0);
    }
    assert_eq!(fleet(&report, "visitors")["onboarded"], 3);
    Ok(())
}

#[tokio::test]
async fn what_a_lying_ca_certifies_wrong_reaches_nobody() -> anyhow::Result<()> {
    let report = sample("lying-ca.toml", &["--at-most", "3", "--speed", "20"]).await?;
    assert_eq!(report["issuer"], "lying");
    let (victims, others) = (fleet(&report, "victims"), fleet(&report, "bystanders"));
    assert_eq!((&victims["refused_as_expected"], &victims["onboarded"]), (&3.into(), &0.into()));
    // The lies stop while they order: nobody else's are hurt.
    assert_eq!((&others["onboarded"], &others["failed"]), (&3.into(), &0.into()));
    Ok(())
}

#[tokio::test]
async fn everybody_may_lie_at_once_beside_everybody_else() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let lies = ["chain-in-a-loop", "voucher-garbage", "certificate-for-another-key", "csr-garbage"];
    let text = format!(
        "[issuer]\nkind = \"lying\"\n[[manufacturer]]\nname = \"m\"\n[[fleet]]\nname = \"f\"\n\
         label = \"there\"\ncount = 8\nfaults = {lies:?}\n"
    );
    let file = written(folder.path(), &text)?;
    let came = up(&["--scenario", &file.to_string_lossy(), "--json"]).await?;
    let report = came.report()?;
    assert_eq!(came.code, Some(0), "{report:#}");
    assert_eq!(fleet(&report, "f")["refused_as_expected"], 8, "{report:#}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_lost_at_a_slow_ca() -> anyhow::Result<()> {
    let Some(_) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let report = sample("slow-ca.toml", &["--at-most", "4", "--speed", "20"]).await?;
    assert_eq!(fleet(&report, "meters")["onboarded"], 4);
    Ok(())
}

#[tokio::test]
async fn devices_come_back_together_to_renew() -> anyhow::Result<()> {
    let report = sample("renewal-wave.toml", &["--at-most", "4", "--speed", "60"]).await?;
    let sensors = fleet(&report, "sensors");
    assert_eq!((&sensors["onboarded"], &sensors["renewed"]), (&4.into(), &12.into()));
    assert_eq!(sensors["renewal_ms"]["count"], 12);
    Ok(())
}

#[tokio::test]
async fn manufacturers_of_twenty_years_join_side_by_side() -> anyhow::Result<()> {
    let report = sample("mixed-manufacturers.toml", &["--at-most", "3", "--speed", "20"]).await?;
    for name in ["modern", "old", "odd", "flaky"] {
        assert_eq!(fleet(&report, name)["onboarded"], 3, "{name}");
    }
    // Every third request fails, and is asked again.
    let masas = report["masas"].as_array().map(Vec::as_slice).unwrap_or_default();
    let flaky = masas.iter().find(|masa| masa["manufacturer"] == "flaky");
    let flaky = flaky.expect("it has a MASA");
    assert_eq!(flaky["vouchers"], 3);
    assert!(flaky["requests"].as_u64() > Some(3), "{flaky}");
    Ok(())
}

#[tokio::test]
async fn a_run_that_differs_from_what_is_expected_fails_and_says_how() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "[[manufacturer]]\nname = \"m\"\n[[fleet]]\nname = \"f\"\ncount = 2\n\
                expect = { outcome = \"refused\", status = 403 }\n";
    let file = written(folder.path(), text)?;
    let kept = folder.path().join("site");
    let (file, kept) = (file.to_string_lossy(), kept.to_string_lossy());
    let came = up(&["--scenario", &file, "--dir", &kept]).await?;
    assert_eq!(came.code, Some(1), "{}", came.said);
    assert!(came.stdout.contains("NOT AS EXPECTED"), "{}", came.stdout);
    Ok(())
}

#[tokio::test]
async fn a_refusal_may_be_what_is_expected() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "[[manufacturer]]\nname = \"m\"\nmasa = { policy = \"refuse\" }\n\
                [[fleet]]\nname = \"f\"\ncount = 2\nexpect = { outcome = \"refused\", status = 403 }\n";
    let file = written(folder.path(), text)?;
    let came = up(&["--scenario", &file.to_string_lossy(), "--json"]).await?;
    let report = came.report()?;
    assert_eq!(came.code, Some(0), "{report:#}");
    assert_eq!(fleet(&report, "f")["refused_as_expected"], 2);
    Ok(())
}

#[tokio::test]
async fn who_finds_no_room_comes_again_and_joins() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "[registrar]\nconnections = 10\n[[manufacturer]]\nname = \"m\"\n\
                [[fleet]]\nname = \"f\"\ncount = 40\n";
    let file = written(folder.path(), text)?;
    let came = up(&["--scenario", &file.to_string_lossy(), "--json"]).await?;
    let report = came.report()?;
    assert_eq!(came.code, Some(0), "{report:#}");
    let crowd = fleet(&report, "f");
    assert_eq!(crowd["onboarded"], 40);
    // Ten have a place and five wait; the others are sent away at once.
    assert!(crowd["begun_again"].as_u64() >= Some(10), "{crowd:#}");
    assert_eq!(crowd["again_reasons"].as_array().map(Vec::is_empty), Some(false), "{crowd:#}");
    Ok(())
}

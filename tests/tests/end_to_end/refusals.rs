//! Scenarios that cannot be: refused by name, before anything starts; and runs that end early, with what they measured.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use brski_lab::fault::{Fault, Liar};
use brski_lab::load::ProcessTime;
use brski_lab::process;
use brski_lab::scenario::Scenario;
use tokio::process::Command;

use crate::lab::{Running, up, written};

const MAKER: &str = "[[manufacturer]]\nname = \"m\"\n";

/// What is said of a scenario.
fn said(text: &str) -> String {
    match Scenario::parse(Path::new("a.toml"), text) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one_and_its_line() {
    let text = said(&format!("{MAKER}[[fleet]]\nname = \"f\"\nconut = 3\n"));
    for part in ["a.toml: ", "line 5", "conut = 3", "did you mean 'count'?"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for (wrong, right) in [
        ("titel = \"x\"\n", "title"),
        ("[isuer]\n", "issuer"),
        ("[issuer]\nvalidation_sec = 1\n", "validation_secs"),
        ("[registrar]\nhold = 1\n", "hold_secs"),
        ("[[manufacturer]]\nname = \"m\"\nmasa_ur = \"x\"\n", "masa_url"),
        ("[[manufacturer]]\nname = \"m\"\n[manufacturer.masa]\nlatency = 1\n", "latency_ms"),
        ("[[fleet]]\nname = \"f\"\narrival = { per_secnd = 1 }\n", "per_second"),
        ("[[fleet]]\nname = \"f\"\nexpect = { outcom = \"refused\" }\n", "outcome"),
    ] {
        let text = said(wrong);
        assert!(text.contains(&format!("did you mean '{right}'?")), "{right}: {text}");
    }
}

/// A file with these lines in its fleet.
fn fleet(more: &str) -> String {
    format!("{MAKER}[[fleet]]\nname = \"f\"\n{more}\n")
}

/// A file with these lines in its manufacturer.
fn maker(more: &str) -> String {
    format!("{MAKER}{more}\n[[fleet]]\nname = \"f\"\n")
}

/// Each file is refused with these words, and says which file it is.
fn are_refused(cases: &[(String, &str)]) {
    for (text, expected) in cases {
        let said = said(text);
        assert!(said.contains(expected) && said.contains("a.toml: "), "{text}\n{said}");
    }
}

#[test]
fn every_wrong_value_of_a_fleet_is_named_with_its_key_and_what_is_allowed() {
    are_refused(&[
        (fleet("count = 0"), "fleet.f.count = 0: 1 to 1000000 is allowed"),
        (fleet("count = -5"), "fleet.f.count = -5: 1 to 1000000"),
        (fleet("count = 1000001"), "fleet.f.count = 1000001: 1 to 1000000"),
        (
            fleet("encoding = \"cmss\""),
            "fleet.f.encoding = \"cmss\": use \"cms\", \"jws\", \"cose\"; did you mean \"cms\"?",
        ),
        (fleet("tls = \"1.1\""), "fleet.f.tls = \"1.1\": use \"any\", \"1.2\", \"1.3\""),
        (fleet("label = \"cacerts\""), "fleet.f.label = \"cacerts\": "),
        (fleet("addresses = \"none\""), "fleet.f.addresses = \"none\": use \"own\", \"shared\""),
        (fleet("manufacturer = \"n\""), "fleet.f.manufacturer = \"n\": use \"m\""),
        (fleet("faults = [\"no-client-certificat\"]"), "did you mean \"no-client-certificate\"?"),
        (fleet("faults = []"), "fleet.f.faults = []: name at least one"),
        (fleet("renewals = 2"), "fleet.f.renewals = 2: only with renew_after_secs"),
        (fleet("renew_after_secs = -1"), "fleet.f.renew_after_secs = -1: 0 to 86400 is allowed"),
        (
            fleet("faults = [\"all\"]\nrenew_after_secs = 1"),
            "fleet.f.renew_after_secs = 1: devices that lie do not renew",
        ),
        (fleet("[[fleet]]\nname = \"f\""), "fleet.f.name = \"f\": another one has this name"),
        (fleet("[[fleet]]\nname = \"-f\""), "fleet.-f.name = \"-f\": 1 to 32 of a-z"),
        (fleet("[[fleet]]\nname = \"F 1\""), "1 to 32 of a-z, 0-9 and '-' are allowed"),
        (
            fleet("faults = [\"masa\"]\n[[fleet]]\nname = \"g\""),
            "fleet.f.manufacturer = \"m\": a MASA that lies does so to all",
        ),
        (fleet("count = \"many\""), "count = \"many\""),
        (fleet("count = 99999999999999999999"), "integer `99999999999999999999`"),
        (
            fleet("[[fleet]]\nname = \"\\u001b[2J\""),
            "fleet.\\u{1b}[2J.name = \"\\u{1b}[2J\": 1 to 32",
        ),
    ]);
}

#[test]
fn lies_of_a_ca_are_told_where_the_ca_lies_alone() -> anyhow::Result<()> {
    let only = "a CA lies only with [issuer] kind = \"lying\"";
    let with = |kind: &str, faults: &str| {
        format!("[issuer]\nkind = {kind:?}\n{}", fleet(&format!("faults = [{faults}]")))
    };
    are_refused(&[
        (with("local", "\"ca\""), only),
        (with("pebble", "\"ca\""), only),
        (fleet("faults = [\"chain-in-a-loop\"]"), only),
        (fleet("faults = [\"pledge\", \"ca\"]"), "fleet.f.faults = \"ca\": a CA lies only"),
        (with("lying", "\"chain-in-loop\""), "did you mean \"chain-in-a-loop\"?"),
        (with("lying", "\"cas\""), "did you mean \"ca\"?"),
        (fleet("faults = [\"pleged\"]"), "did you mean \"pledge\"?"),
    ]);
    let told = |text: &str| {
        let faults = Scenario::parse(Path::new("a.toml"), text)?.fleets.remove(0).faults;
        anyhow::Ok(faults)
    };
    let of_cas = |faults: &[Fault]| faults.iter().filter(|it| it.card().liar == Liar::Ca).count();
    let cas = told(&with("lying", "\"ca\""))?;
    assert_eq!((of_cas(&cas), cas.len()), (cas.len(), of_cas(Fault::ALL)));
    assert_eq!(told(&with("lying", "\"chain-in-a-loop\""))?, [Fault::CaLoop]);
    assert_eq!(told(&with("lying", "\"all\""))?, Fault::ALL);
    // All that can be told where the CA is honest.
    let all = told(&with("local", "\"all\""))?;
    assert_eq!((of_cas(&all), all.len()), (0, Fault::ALL.len() - cas.len()));
    Ok(())
}

#[test]
fn an_arrival_or_an_expectation_that_makes_no_sense_is_named() {
    are_refused(&[
        (
            fleet("arrival = { kind = \"drip\" }"),
            "fleet.f.arrival.kind = \"drip\": use \"burst\", \"rate\", \"ramp\"",
        ),
        (
            fleet("arrival = { kind = \"rate\" }"),
            "fleet.f.arrival.per_second: kind = \"rate\" needs it",
        ),
        (
            fleet("arrival = { kind = \"rate\", per_second = 0 }"),
            "fleet.f.arrival.per_second = 0: ",
        ),
        (
            fleet("arrival = { per_second = 1 }"),
            "fleet.f.arrival.per_second = 1: kind = \"burst\" has within_secs instead",
        ),
        (fleet("arrival = { within_secs = inf }"), "fleet.f.arrival.within_secs = inf: "),
        (fleet("arrival = { within_secs = nan }"), "fleet.f.arrival.within_secs = NaN: "),
        (
            fleet("expect = { outcome = \"refused\" }"),
            "fleet.f.expect.status: outcome = \"refused\" needs it",
        ),
        (
            fleet("expect = { outcome = \"refused\", status = 200 }"),
            "fleet.f.expect.status = 200: 400 to 599 is allowed",
        ),
        (fleet("expect = { status = 403 }"), "fleet.f.expect.status = 403: only with outcome"),
        (
            fleet("expect = { at_least_percent = 101 }"),
            "fleet.f.expect.at_least_percent = 101: 0 to 100",
        ),
        (
            fleet("faults = [\"all\"]\nexpect = { outcome = \"onboarded\" }"),
            "a lie is expected to be refused",
        ),
    ]);
}

#[test]
fn every_wrong_value_of_a_manufacturer_is_named() {
    are_refused(&[
        (maker("key = \"rsa\""), "manufacturer.m.key = \"rsa\": use "),
        (
            maker("key = \"rsa-2048\"").replace("\"f\"", "\"f\"\nencoding = \"cose\""),
            "COSE has no signature of an RSA key",
        ),
        (maker("serial = \"x\""), "manufacturer.m.serial = \"x\": use "),
        (maker("masa_url = \"x\""), "manufacturer.m.masa_url = \"x\": use "),
        (maker("lifetime_days = 0"), "manufacturer.m.lifetime_days = 0: 1 to 36500"),
        (maker("odd = [\"utf-serial\"]"), "manufacturer.m.odd = \"utf-serial\": use "),
        (
            maker("masa = { failure_percent = 101 }"),
            "manufacturer.m.masa.failure_percent = 101: 0 to 100",
        ),
        (maker("masa = { latency_ms = -1 }"), "manufacturer.m.masa.latency_ms = -1: 0 to 60000"),
        (maker("masa = { policy = \"x\" }"), "manufacturer.m.masa.policy = \"x\": use "),
    ]);
}

#[test]
fn what_is_wrong_with_the_whole_is_named() {
    are_refused(&[
        (format!("at_once = 0\n{}", fleet("")), "at_once = 0: 1 to "),
        (format!("limit_secs = 0\n{}", fleet("")), "limit_secs = 0: 1 to 86400"),
        (
            format!("[registrar]\nconnections = 1\n{}", fleet("")),
            "registrar.connections = 1: 10 to 100000",
        ),
        (
            format!("[issuer]\nvalidation_secs = 1\n{}", fleet("")),
            "issuer.validation_secs = 1: only with kind = \"pebble\"",
        ),
        (
            format!("[issuer]\nkind = \"acme\"\n{}", fleet("")),
            "issuer.kind = \"acme\": use \"local\", \"pebble\", \"lying\"",
        ),
        (format!("[issuer]\nkind = \"liying\"\n{}", fleet("")), "did you mean \"lying\"?"),
        (
            format!("[issuer]\norders_in_flight = 1\n{}", fleet("")),
            "issuer.orders_in_flight = 1: only with kind = \"pebble\" or \"lying\"",
        ),
        (
            format!("[issuer]\nkind = \"lying\"\nvalidation_secs = 1\n{}", fleet("")),
            "issuer.validation_secs = 1: only with kind = \"pebble\"",
        ),
        (MAKER.to_owned(), "fleet: at least one [[fleet]] is needed"),
        (
            "[[fleet]]\nname = \"f\"\n".to_owned(),
            "manufacturer: at least one [[manufacturer]] is needed",
        ),
        (
            format!("{MAKER}[[manufacturer]]\nname = \"n\"\n[[fleet]]\nname = \"f\"\n"),
            "fleet.f.manufacturer: there are several; use \"m\", \"n\"",
        ),
        ("][".to_owned(), "a.toml: TOML parse error"),
    ]);
}

#[test]
fn a_file_that_is_none_is_refused_by_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing.toml");
    let said = |file: &Path| {
        Scenario::load(file).map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert!(said(&missing).contains("missing.toml: cannot be read"), "{}", said(&missing));
    let long = written(folder.path(), &" ".repeat(1024 * 1024 + 1))?;
    assert!(said(folder.path()).contains("cannot be read"), "{}", said(folder.path()));
    // It never ends, and does not say how long it is.
    let endless = said(Path::new("/dev/zero"));
    assert!(endless.contains("longer than 1048576 octets"), "{endless}");
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"\xff\xfe")?;
    assert!(said(&binary).contains("valid UTF-8"), "{}", said(&binary));
    assert!(said(&long).contains("longer than 1048576 octets"), "{}", said(&long));
    Ok(())
}

#[tokio::test]
async fn a_wrong_file_ends_the_run_before_anything_starts() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), &format!("{MAKER}[[fleet]]\nname = \"f\"\ncount = 0\n"))?;
    let site = folder.path().join("site");
    let came =
        up(&["--scenario", &file.to_string_lossy(), "--dir", &site.to_string_lossy()]).await?;
    assert_eq!(came.code, Some(2));
    assert!(came.said.contains("fleet.f.count = 0"), "{}", came.said);
    assert!(!site.exists());
    Ok(())
}

#[tokio::test]
async fn more_pledges_than_the_machine_bears_are_refused_before_anything_starts()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fleets: String =
        (1..=9).map(|n| format!("[[fleet]]\nname = \"f{n}\"\ncount = 1000000\n")).collect();
    let file = written(folder.path(), &format!("{MAKER}{fleets}"))?;
    let site = folder.path().join("site");
    let came =
        up(&["--scenario", &file.to_string_lossy(), "--dir", &site.to_string_lossy()]).await?;
    assert_eq!(came.code, Some(1));
    for words in ["9000000 pledges, 9000000 of them at once", "--at-most"] {
        assert!(came.said.contains(words), "{words}: {}", came.said);
    }
    assert!(!site.exists());
    Ok(())
}

#[tokio::test]
async fn options_that_exclude_each_other_are_refused() -> anyhow::Result<()> {
    for arguments in [
        &["--scenario", "x.toml", "--pledges", "3"][..],
        &["--at-most", "1", "--scale", "0.5"],
        &["--scale", "0"],
        &["--scale", "1.5"],
        &["--speed", "0"],
        &["--at-most", "0"],
        &["--pledges", "0"],
        &["--pledges", "4294967295"],
        &["--concurrency", "0"],
    ] {
        let came = up(arguments).await?;
        assert_eq!(came.code, Some(2), "{arguments:?}: {}", came.said);
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_holds_something_is_nobody_s_new_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("thesis.tex"), "")?;
    let came = up(&["--issuer", "local", "--dir", &folder.path().to_string_lossy()]).await?;
    assert_eq!(came.code, Some(1));
    assert!(came.said.contains("is not empty; --dir takes a new folder"), "{}", came.said);
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
    let under = folder.path().join("thesis.tex/site");
    let came = up(&["--issuer", "local", "--dir", &under.to_string_lossy()]).await?;
    assert_eq!(came.code, Some(1));
    assert!(came.said.contains("thesis.tex/site: cannot be made"), "{}", came.said);
    Ok(())
}

#[tokio::test]
async fn a_component_that_does_not_start_ends_the_run_at_once() -> anyhow::Result<()> {
    let missing = up(&["--issuer", "local", "--registrar", "/nowhere/registrar"]).await?;
    assert_eq!(missing.code, Some(1));
    assert!(missing.said.contains("/nowhere/registrar is not there"), "{}", missing.said);
    let silent = up(&["--issuer", "local", "--registrar", "/bin/false"]).await?;
    assert!(silent.said.contains("exit status: 1, without a word"), "{}", silent.said);
    let idle = up(&["--issuer", "local", "--registrar", "/bin/true"]).await?;
    assert!(idle.said.contains("'registrar init' failed: it left no /"), "{}", idle.said);
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let site = folder.path().join("site");
    // A program that says something and ends.
    let pebble = folder.path().join("pebble");
    std::fs::write(&pebble, "#!/bin/sh\necho the CA has no time today\nexit 1\n")?;
    std::fs::set_permissions(&pebble, std::fs::Permissions::from_mode(0o755))?;
    let (pebble, site) = (pebble.to_string_lossy(), site.to_string_lossy());
    let came = up(&["--pebble", &pebble, "--dir", &site]).await?;
    assert_eq!(came.code, Some(1));
    for words in ["Pebble does not answer", "pebble.log", "the CA has no time today"] {
        assert!(came.said.contains(words), "{words}: {}", came.said);
    }
    assert!(began.elapsed().as_secs() < 15, "it does not wait for what has ended");
    Ok(())
}

/// A scenario whose devices come for an hour.
pub(crate) const HOUR: &str = "[[manufacturer]]\nname = \"m\"\n[[fleet]]\nname = \"f\"\ncount = 3600\n\
                    arrival = { kind = \"rate\", per_second = 1 }\n";

/// The process of the registrar of a folder, as soon as there is one that serves.
async fn registrar(folder: &Path) -> anyhow::Result<String> {
    let config = folder.join("registrar/registrar.toml");
    let log = folder.join("registrar/registrar.log");
    let found = process::until(Duration::from_secs(60), async || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("listening on https").then_some(())?;
        let all = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mine = |entry: &std::fs::DirEntry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("\0serve\0") && line.contains(&*config.to_string_lossy())
        };
        let entry = all.into_iter().find(mine)?;
        Some(entry.file_name().to_string_lossy().into_owned())
    });
    found.await.ok_or_else(|| anyhow::anyhow!("no registrar serves"))
}

/// Waits until devices have joined.
pub(crate) async fn joined(folder: &Path) -> anyhow::Result<()> {
    let log = folder.join("registrar/registrar.log");
    let found = process::until(Duration::from_secs(60), async || {
        std::fs::read_to_string(&log).ok()?.contains("enrollment-confirmed").then_some(())
    });
    found.await.ok_or_else(|| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        anyhow::anyhow!("nobody joins: {text}")
    })
}

#[tokio::test]
async fn a_registrar_that_dies_ends_the_run_at_once_with_its_last_words() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), HOUR)?;
    let site = folder.path().join("site");
    let (file, dir) = (file.to_string_lossy(), site.to_string_lossy());
    let arguments = ["--scenario", &*file, "--json", "--dir", &*dir];
    let run = up(&arguments);
    let murder = async {
        let pid = registrar(&site).await?;
        joined(&site).await?;
        let began = Instant::now();
        Command::new("kill").args(["-KILL", &pid]).status().await?;
        anyhow::Ok(began)
    };
    let (came, began) = tokio::join!(run, murder);
    let (came, began) = (came?, began?);
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    assert_eq!(came.code, Some(1));
    let report = came.report()?;
    assert_eq!(report["ended"], "component-failed", "{report:#}");
    let reason = report["reason"].as_str().unwrap_or_default();
    for words in ["the registrar ended by itself", "signal: 9", "registrar.log", "listening on"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert!(report["enrolled"].as_u64() >= Some(1), "what was measured is there: {report:#}");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_stops_everything_and_tells_what_was_measured() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), HOUR)?;
    let site = folder.path().join("site");
    let (file, dir) = (file.to_string_lossy(), site.to_string_lossy());
    let lab = Running::start(&["--scenario", &file, "--json", "--dir", &dir])?;
    let pid = registrar(&site).await?;
    joined(&site).await?;
    let came = lab.interrupt().await?;
    assert_eq!(came.code, Some(1), "{}", came.said);
    let report = came.report()?;
    assert_eq!(report["ended"], "interrupted");
    assert!(report["enrolled"].as_u64() >= Some(1), "{report:#}");
    assert!(report["fleets"][0]["unfinished"].as_u64() > Some(3000), "{report:#}");
    assert!(!Path::new("/proc").join(pid).exists(), "the registrar was stopped, too");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_is_heard_while_devices_are_made() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "[[manufacturer]]\nname = \"m\"\nkey = \"rsa-2048\"\n\
                [[fleet]]\nname = \"f\"\ncount = 5000\n";
    let file = written(folder.path(), text)?;
    let site = folder.path().join("site");
    let (file, dir) = (file.to_string_lossy(), site.to_string_lossy());
    let lab = Running::start(&["--scenario", &file, "--json", "--dir", &dir])?;
    // Whatever else it does, nothing takes so long as these keys.
    let took = ProcessTime::of(lab.process()?)?;
    let keys = process::until(Duration::from_secs(60), async || {
        (took.until_now().ok()? > Duration::from_secs(2)).then_some(())
    });
    anyhow::ensure!(keys.await.is_some(), "it makes no keys");
    let began = Instant::now();
    let came = lab.interrupt().await?;
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let report = came.report()?;
    assert_eq!((came.code, &report["ended"]), (Some(1), &"interrupted".into()), "{report:#}");
    assert_eq!(report["fleets"][0]["unfinished"], 5000, "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_run_has_an_end() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), &format!("limit_secs = 2\n{HOUR}"))?;
    let came = up(&["--scenario", &file.to_string_lossy(), "--json"]).await?;
    let report = came.report()?;
    assert_eq!((came.code, &report["ended"]), (Some(1), &"time-limit".into()), "{report:#}");
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("limit_secs = 2")));
    Ok(())
}

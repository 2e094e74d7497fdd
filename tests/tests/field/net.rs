//! `brski-lab net`: an onboarding across namespaces with bad links, and nothing that is left of it, however it ends.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use brski_lab::process;
use brski_tests::{listeners, programs};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How many namespaces were made to see whether they can be.
static PROBES: AtomicU32 = AtomicU32::new(0);
const LIMIT: Duration = Duration::from_secs(60);
/// A cut that nobody waits for the end of.
const FOR_EVER: [&str; 2] = ["--link", "site:cut_secs=0-600"];

/// A run of the lab, and what it tells.
struct Run {
    child: Child,
    process: u32,
    told: PathBuf,
    result: PathBuf,
}

impl Run {
    fn start(folder: &TempDir, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let file = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        let (told, result) = (file("told"), file("result"));
        let mut command = Command::new(programs::ours("brski-lab")?);
        command.args(["net", "--json", "--registrar"]).arg(programs::ours("registrar")?);
        command.args(arguments).kill_on_drop(true);
        command.stderr(std::fs::File::create(&told)?).stdout(std::fs::File::create(&result)?);
        let child = command.spawn()?;
        let process = child.id().context("it ended at once")?;
        Ok(Self { child, process, told, result })
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.told).unwrap_or_default()
    }

    async fn until_told(&mut self, words: &str) -> anyhow::Result<()> {
        let told = process::until(LIMIT, async || {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            (has_ended || self.told().contains(words)).then_some(())
        });
        told.await;
        ensure!(self.told().contains(words), "{words}: {}", self.told());
        Ok(())
    }

    /// Waits for its end; gives its exit code, if no signal was it.
    async fn end(&mut self) -> anyhow::Result<Option<i32>> {
        let status = timeout(LIMIT, self.child.wait()).await.with_context(|| self.told())??;
        Ok(status.code())
    }

    fn result(&self) -> anyhow::Result<Value> {
        let text = std::fs::read_to_string(&self.result)?;
        serde_json::from_str(&text).with_context(|| format!("{text}{}", self.told()))
    }

    /// The namespaces of this run that are there.
    fn namespaces(&self) -> Vec<String> {
        let prefix = format!("brski-lab-{}-", self.process);
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
        names.sort();
        names
    }
}

async fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().await?;
    ensure!(sent.success(), "kill -s {name} {process}");
    Ok(())
}

/// The registrar of a run.
async fn registrar(ip: &Path, run: &Run) -> anyhow::Result<u32> {
    let namespace = format!("brski-lab-{}-registrar", run.process);
    let Output { stdout, .. } =
        Command::new(ip).args(["netns", "pids", &namespace]).output().await?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    text.trim().parse().with_context(|| format!("one process, not {text:?}"))
}

/// `ip`, where namespaces can be made; else says why they cannot.
async fn ip() -> anyhow::Result<Option<PathBuf>> {
    let Some(ip) = programs::outside("ip", "iproute2") else {
        return Ok(None);
    };
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!("brski-test-{}-probe-{number}", std::process::id());
    let made = Command::new(&ip).args(["netns", "add", &name]).output().await?;
    if !made.status.success() {
        let reason = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        programs::skipped(&format!("no network namespaces without root: {reason}"));
        return Ok(None);
    }
    Command::new(&ip).args(["netns", "delete", &name]).status().await?;
    Ok(Some(ip))
}

#[tokio::test]
async fn pledges_join_across_links_that_are_late_lose_frames_and_are_cut() -> anyhow::Result<()> {
    let (Some(_), Some(pebble)) = (ip().await?, programs::outside("pebble", "pebble")) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let pebble = pebble.to_str().context("a path")?;
    // They set out to look for a second, so that the link is cut when they come.
    let mut run = Run::start(
        &folder,
        "bad",
        &[
            "--pledges",
            "4",
            "--pebble",
            pebble,
            "--discover-secs",
            "1",
            "--link",
            "pledges:delay_ms=15,loss_percent=5,rate_kbit=2000",
            "--link",
            "site:delay_ms=10,cut_secs=0.5-2.5",
            "--link",
            "ca:delay_ms=5",
        ],
    )?;
    let code = run.end().await?;
    assert_eq!(code, Some(0), "{}", run.told());
    let result = run.result()?;
    assert_eq!((&result["enrolled"], &result["failed"]), (&json!(4), &json!(0)), "{result}");
    assert_ne!(result["dns_queries_answered"], json!(0), "the CA asked across its link: {result}");
    let joined = result["joined"].as_array().context("a list")?;
    for join in joined {
        // Found by mDNS across the pledges' link: nobody was told this address.
        assert_eq!(join["address"], "10.77.1.2:8443", "{result}");
        assert_eq!(join["at"], "join proxy, LAB ONLY._brski-proxy._tcp.local.");
    }
    for device in result["devices"].as_array().context("a list")? {
        let enroll = device["phases_ms"]["enroll"].as_u64().context("a number")?;
        // Two requests, each to the registrar and back, and what the CA is asked.
        assert!(enroll >= 100, "faster than the links: {result}");
    }
    if result["shaper"] == "relay" {
        assert!(run.told().contains("the lab's own relay spoils the links"), "{}", run.told());
        let links = result["links"].as_array().context("a list")?;
        let frames = |name: &str, what: &str| {
            let link = links.iter().find(|link| link["name"] == name);
            link.and_then(|link| link["frames"][what].as_u64()).unwrap_or_default()
        };
        assert!(frames("pledges", "lost") > 0 && frames("site", "lost") == 0, "{result}");
        assert!(frames("site", "cut") > 0 && frames("pledges", "cut") == 0, "{result}");
        assert!(frames("ca", "carried") > 0 && frames("masa", "carried") > 0, "{result}");
    }
    for words in ["link site is cut", "link site is mended"] {
        assert!(run.told().contains(words), "{}", run.told());
    }
    assert_eq!(run.namespaces(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_scenario_of_several_manufacturers_comes_across_the_links() -> anyhow::Result<()> {
    if ip().await?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios");
    let sample = samples.join("mixed-manufacturers.toml");
    let sample = sample.to_str().context("a path")?;
    let arguments = [
        &["--scenario", sample, "--at-most", "1", "--speed", "20", "--discover-secs", "1"][..],
        &["--link", "pledges:delay_ms=10", "--link", "masa:delay_ms=30"],
    ];
    let mut run = Run::start(&folder, "scenario", &arguments.concat())?;
    assert_eq!(run.end().await?, Some(0), "{}", run.told());
    assert!(run.told().contains("of fleet modern, old, odd, flaky becomes"), "{}", run.told());
    let result = run.result()?;
    assert_eq!(
        (&result["as_expected"], &result["ended"], &result["enrolled"]),
        (&json!(true), &json!("done"), &json!(4)),
        "{result}"
    );
    for fleet in result["fleets"].as_array().context("a list")? {
        let millis = |what: &str| fleet[what]["p50"].as_u64().unwrap_or_default();
        // A request across the pledges' link, and one across the MASA's, each there and back.
        assert!(millis("voucher_ms") >= 80, "faster than the links: {fleet}");
        // Each had looked for a second before that: nobody was told where the join proxy is.
        assert!(millis("latency_ms") >= 1000 + millis("voucher_ms"), "{fleet}");
    }
    let masas = result["masas"].as_array().context("a list")?;
    assert!(masas.len() == 4 && masas.iter().all(|masa| masa["vouchers"] == 1), "{result}");
    let links = result["links"].as_array().context("a list")?;
    let names: Vec<&str> = links.iter().filter_map(|link| link["name"].as_str()).collect();
    assert_eq!(names, ["pledges", "site", "masa"], "the local issuer has no CA: {result}");
    assert_eq!(links.first().map(|link| &link["delay_ms"]), Some(&json!(10)), "{result}");
    assert_eq!(run.namespaces(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_scenario_that_is_interrupted_says_what_it_has_and_leaves_nothing() -> anyhow::Result<()>
{
    if ip().await?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.toml");
    let text = "[[manufacturer]]\nname = \"m\"\n[[fleet]]\nname = \"f\"\ncount = 2\n";
    std::fs::write(&file, text)?;
    let file = file.to_str().context("a path")?;
    let mut run = Run::start(&folder, "stopped", &[&["--scenario", file], &FOR_EVER[..]].concat())?;
    run.until_told("link site is cut").await?;
    signal("TERM", run.process).await?;
    assert_eq!(run.end().await?, Some(1), "{}", run.told());
    assert_eq!(run.namespaces(), [""; 0], "{}", run.told());
    let result = run.result()?;
    assert_eq!((&result["ended"], &result["pledges"]), (&json!("interrupted"), &json!(2)));
    assert_eq!(result["fleets"][0]["unfinished"], 2, "{result}");
    let kept = run.told();
    let kept = kept.lines().find_map(|line| line.strip_prefix("brski-lab: the logs are kept in "));
    std::fs::remove_dir_all(kept.with_context(|| run.told())?)?;
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_interrupted_says_what_it_has_and_leaves_nothing() -> anyhow::Result<()> {
    if ip().await?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    for (name, word) in [("INT", "SIGINT"), ("TERM", "SIGTERM"), ("HUP", "SIGHUP")] {
        let arguments = [&["--issuer", "local", "--pledges", "2"], &FOR_EVER[..]].concat();
        let mut run = Run::start(&folder, name, &arguments)?;
        run.until_told("link site is cut").await?;
        let roles: Vec<String> = run
            .namespaces()
            .iter()
            .filter_map(|name| Some(name.rsplit_once('-')?.1.to_owned()))
            .collect();
        assert_eq!(roles, ["masa", "pledges", "proxy", "registrar"]);
        signal(name, run.process).await?;
        assert_eq!(run.end().await?, Some(1), "{}", run.told());
        assert_eq!(run.namespaces(), [""; 0], "{}", run.told());
        let result = run.result()?;
        assert_eq!(result["interrupted_by"], word, "{result}");
        assert_eq!((&result["enrolled"], &result["pledges"]), (&json!(0), &json!(2)), "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_killed_run_left_is_removed_by_the_next_one() -> anyhow::Result<()> {
    let Some(ip) = ip().await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let logs = folder.path().join("site");
    let logs = logs.to_str().context("a path")?;
    let arguments = [&["--issuer", "local", "--pledges", "1"], &FOR_EVER[..]].concat();
    let in_folder = [&arguments[..], &["--dir", logs]].concat();
    let mut killed = Run::start(&folder, "killed", &in_folder)?;
    killed.until_told("link site is cut").await?;
    let orphan = registrar(&ip, &killed).await?;
    signal("KILL", killed.process).await?;
    assert_eq!(killed.end().await?, None);
    assert_eq!(killed.namespaces().len(), 4);
    let mut next = Run::start(&folder, "next", &arguments)?;
    next.until_told("link site is cut").await?;
    assert_eq!(killed.namespaces(), [""; 0]);
    let removed = format!("removed brski-lab-{}-registrar, left by a run", killed.process);
    assert!(next.told().contains(&removed), "{}", next.told());
    assert!(!Path::new(&format!("/proc/{orphan}/exe")).exists(), "its registrar still runs");
    // And where a part of it ends, the whole does, and says what the part said last.
    signal("KILL", registrar(&ip, &next).await?).await?;
    assert_eq!(next.end().await?, Some(1));
    assert_eq!(next.namespaces(), [""; 0]);
    let told = next.told();
    for words in
        ["after 0 of 1 pledges had joined", "the registrar ended by itself", "listening on"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    let kept = told.lines().find_map(|line| line.strip_prefix("brski-lab: the logs are kept in "));
    std::fs::remove_dir_all(kept.with_context(|| told.clone())?)?;
    Ok(())
}

#[tokio::test]
async fn whatever_of_the_network_ends_by_itself_ends_the_run_at_once() -> anyhow::Result<()> {
    let Some(ip) = ip().await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, "[[manufacturer]]\nname = \"m\"\n[[fleet]]\nname = \"f\"\n")?;
    let file = file.to_str().context("a path")?;
    let usual: &[&str] = &["--issuer", "local", "--pledges", "1", "--shaper", "relay"];
    let scenario: &[&str] = &["--scenario", file, "--shaper", "relay"];
    let cases = [
        ("proxy", usual, "the join proxy at 10.77.1.2:8443 ended by itself: Invalid argument"),
        ("proxy", scenario, "the join proxy at 10.77.1.2:8443 ended by itself: Invalid argument"),
        ("masa", usual, "the MASA of lab-devices at 10.77.3.2:"),
        ("link", usual, "link pledges carries nothing any more: "),
        ("link", scenario, "link pledges carries nothing any more: "),
    ];
    for (number, (part, arguments, words)) in cases.into_iter().enumerate() {
        let logs = folder.path().join(format!("site-{number}"));
        let logs = ["--dir", logs.to_str().context("a path")?];
        let arguments = [arguments, &FOR_EVER[..], &logs].concat();
        let mut run = Run::start(&folder, &format!("{part}-{number}"), &arguments)?;
        run.until_told("link site is cut").await?;
        let is_shut = match part {
            "proxy" => {
                let proxy = "10.77.1.2:8443".parse()?;
                listeners::shut(run.process, |address| address == proxy)?
            }
            "masa" => {
                let masa: IpAddr = "10.77.3.2".parse()?;
                listeners::shut(run.process, |address| address.ip() == masa)?
            }
            _ => {
                let pledges = format!("brski-lab-{}-pledges", run.process);
                let delete = ["-n", &pledges, "link", "delete", "to-proxy"];
                ensure!(Command::new(&ip).args(delete).status().await?.success(), "no link");
                true
            }
        };
        if !is_shut {
            signal("TERM", run.process).await?;
            run.end().await?;
            continue;
        }
        assert_eq!(run.end().await?, Some(1), "{part}: {}", run.told());
        let told = [run.told(), std::fs::read_to_string(&run.result)?].concat();
        assert!(told.contains(words), "{part}: {told}");
        assert_eq!(run.namespaces(), [""; 0], "{part}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_network_that_cannot_be_is_refused_before_anything_is_made() -> anyhow::Result<()> {
    if ip().await?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let cases: [(&str, &[&str], i32, &str); 6] = [
        ("moon", &["--link", "moon:delay_ms=1"], 2, "the links are pledges, site, masa and ca"),
        ("twice", &["--link", "site:delay_ms=1", "--link", "site:delay_ms=2"], 1, "twice"),
        ("nowhere", &["--issuer", "local", "--link", "ca:delay_ms=1"], 1, "leads nowhere"),
        ("part", &["--at-most", "1"], 2, "are of a --scenario"),
        ("file", &["--scenario", "/nowhere.toml"], 2, "/nowhere.toml: cannot be read"),
        ("pebble", &["--pebble", "/nowhere/pebble"], 1, "sudo apt-get install pebble"),
    ];
    for (name, arguments, code, words) in cases {
        let mut run = Run::start(&folder, name, arguments)?;
        assert_eq!(run.end().await?, Some(code), "{name}");
        assert!(run.told().contains(words), "{name}: {}", run.told());
        assert_eq!(run.namespaces(), [""; 0], "{name}");
    }
    Ok(())
}

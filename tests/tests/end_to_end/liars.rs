//! `brski-lab faults` as a process: what it refuses, and what it has measured when it ends early.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use brski_tests::programs;
use brski_tests::site;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

fn faults(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::ours("brski-lab")?);
    command.arg("faults").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// What a run says on stderr that ends with this code, and what it prints.
async fn ended(arguments: &[&str], code: i32) -> anyhow::Result<(String, String)> {
    let output = timeout(LIMIT, faults(arguments)?.output()).await.context("it does not end")??;
    let (told, printed) = (String::from_utf8(output.stderr)?, String::from_utf8(output.stdout)?);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}{printed}");
    Ok((told, printed))
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_made() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let new = folder.path().join("new");
    let new = new.to_str().context("a path")?;
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--only", "csr-garbag"], 2, "did you mean \"csr-garbage\"?"),
        (&["--only", "chain-in-a-loop"], 1, "a lie of a CA needs --ca"),
        (&["--masa", "0.0.0.0:0"], 1, "--danger-bind"),
        (&["--ca", "0.0.0.0:0"], 1, "--danger-bind"),
        (&["--junit", "/nowhere/report.xml"], 1, "there is no folder /nowhere"),
        (&["--target", "http://127.0.0.1:1"], 2, "it is not https://HOST:PORT"),
        (&["--target", "https://127.0.0.1:99999"], 2, "it is not https://HOST:PORT"),
    ];
    for (arguments, code, words) in cases {
        let target = ["--target", "https://127.0.0.1:1"];
        let target = if arguments.contains(&"--target") { &[][..] } else { &target };
        let (told, printed) = ended(&[target, &["--dir", new], arguments].concat(), code).await?;
        assert!(told.contains(words), "{arguments:?}: {told}");
        assert_eq!(printed, "", "{arguments:?}");
    }
    assert!(!std::path::Path::new(new).exists());
    Ok(())
}

#[tokio::test]
async fn nobody_to_lie_to_ends_the_run_at_once_with_what_was_tried() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("liars");
    let dir = dir.to_str().context("a path")?;
    let target = "https://127.0.0.1:1";
    let arguments = ["--target", target, "--dir", dir, "--introduce", "echo"];
    let (told, printed) = ended(&arguments, 1).await?;
    let words = "https://127.0.0.1:1 cannot be reached; tried: cannot connect to 127.0.0.1:1: ";
    assert!(told.contains(words), "{told}");
    assert_eq!(printed, "");
    Ok(())
}

/// A run that lies to a registrar until it is told to end.
struct Lying {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Lying {
    /// Waits until this is said.
    async fn says(&mut self, words: &str) -> anyhow::Result<()> {
        let said = async {
            while let Some(line) = self.stderr.next_line().await? {
                if line.contains(words) {
                    return Ok(());
                }
            }
            anyhow::bail!("it ended without {words:?}")
        };
        timeout(LIMIT, said).await.context("it never says so")?
    }

    async fn interrupt(&self) -> anyhow::Result<()> {
        let pid = self.child.id().context("it has ended")?.to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().await?.success());
        Ok(())
    }

    /// Waits for its end; gives what it prints, after it said this.
    async fn ends(mut self, words: &str) -> anyhow::Result<String> {
        self.says(words).await?;
        let mut printed = String::new();
        let mut stdout = self.child.stdout.take().context("stdout is piped")?;
        timeout(LIMIT, stdout.read_to_string(&mut printed)).await??;
        assert_eq!(timeout(LIMIT, self.child.wait()).await??.code(), Some(1));
        Ok(printed)
    }
}

#[tokio::test]
async fn a_run_that_ends_early_tells_what_was_measured() -> anyhow::Result<()> {
    let site = site::local().await?;
    let target = format!("https://{}", site.lab.registrar.address());
    let start = |name: &str, program: &[&str]| {
        let dir = site.folder.path().join(name);
        let dir = dir.to_str().context("a path")?;
        let fixed = ["--target", &target, "--dir", dir, "--json"];
        let mut child = faults(&[&fixed[..], program].concat())?.spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        anyhow::Ok(Lying { child, stderr: BufReader::new(stderr).lines() })
    };
    // Nobody presses Enter, and somebody presses Ctrl-C.
    let mut waits = start("waits", &[])?;
    waits.says("then press Enter").await?;
    waits.interrupt().await?;
    assert_eq!(waits.ends("SIGINT before any lie was told").await?, "");
    // The registrar is told of nobody, and refuses all of them.
    let told = ["--introduce", "echo"];
    let count = |printed: &str| {
        let findings: Vec<Value> = serde_json::from_str(printed).context(printed.to_owned())?;
        anyhow::Ok(findings.len())
    };
    let mut interrupted = start("interrupted", &told)?;
    interrupted.says("brski-lab: idevid-of-a-stranger").await?;
    interrupted.interrupt().await?;
    assert!((1..107).contains(&count(&interrupted.ends("stopped by SIGINT").await?)?));
    let mut bereft = start("bereft", &told)?;
    bereft.says("brski-lab: idevid-of-a-stranger").await?;
    let began = Instant::now();
    let _stopped = site.lab.registrar.kill().await;
    let printed = bereft.ends("lies were told: https://127.0.0.1:").await?;
    assert!((1..107).contains(&count(&printed)?), "{printed}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn an_output_that_takes_nothing_is_an_error() -> anyhow::Result<()> {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let mut command = faults(&["--list", "--json"])?;
    let run = command.stdout(full).spawn()?;
    let output = timeout(LIMIT, run.wait_with_output()).await??;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("standard output takes nothing more: No space left"), "{told}");
    Ok(())
}

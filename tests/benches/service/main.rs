//! What the service costs: the real release registrar, with the local issuer on SQLite with full durability, beside what
//! the same requests cost a server that does the cryptography and stores nothing, and the cryptography alone.
//!
//! Processor time of the server's process is the measure, since it does not depend on who else uses the machine's
//! processors; server and floor take turns, and of all turns the median counts. `BENCH_QUICK=1` makes it short and rough.
//! `-- console`, `-- large-store` and `-- memory` measure that part alone.
//! `-- --write FILE --include DIR` keeps the table in the document and adds what other benchmarks printed.

// A benchmark that cannot go on says so and ends.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::as_conversions, clippy::cast_precision_loss)]

mod acme;
mod console;
mod crypto;
mod document;
mod enrollment;
mod floor;
mod generator;
mod large_store;
mod memory;
mod onboarding;
mod turns;

use std::path::{Path, PathBuf};

use brski_lab::up::{Issuer, Lab, SiteOptions};
use brski_tests::programs;
use tempfile::TempDir;

use self::document::Row;
use self::turns::Size;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.first().map(String::as_str) {
        Some("floor") => runtime.block_on(floor::serve(&PathBuf::from(&arguments[1]))),
        // One part alone, while it is being worked on.
        Some("console") => runtime.block_on(alone(console::measure(Size::chosen()))),
        Some("large-store") => runtime.block_on(alone(large_store::measure(Size::chosen()))),
        Some("memory") => runtime.block_on(alone(memory::measure(Size::chosen()))),
        Some("requests") => {
            runtime.block_on(alone(async { Ok(requests(Size::chosen(), None).await?.0) }))
        }
        _ => runtime.block_on(all(&arguments)),
    }
}

/// Prints the rows of one part.
async fn alone(part: impl Future<Output = anyhow::Result<Vec<Row>>>) -> anyhow::Result<()> {
    println!("{}", document::table(&part.await?));
    Ok(())
}

/// The value behind a word of the command line.
fn option(arguments: &[String], word: &str) -> Option<PathBuf> {
    let mut words = arguments.iter().skip_while(|each| *each != word).skip(1);
    words.next().map(PathBuf::from)
}

async fn all(arguments: &[String]) -> anyhow::Result<()> {
    let size = Size::chosen();
    let write = option(arguments, "--write");
    let pictures =
        write.as_ref().and_then(|file| file.parent()).map(|docs| docs.join("benchmarks"));
    let (mut rows, micros) = requests(size, pictures.as_deref()).await?;
    rows.extend(acme::measure(micros, size).await?);
    rows.extend(memory::measure(size).await?);
    rows.extend(generator::many_pledges(size).await?);
    rows.extend(large_store::measure(size).await?);
    rows.extend(console::measure(size).await?);
    let text = document::table(&rows);
    println!("{text}");
    if let Some(file) = write {
        document::keep(&file, &text, option(arguments, "--include").as_deref())?;
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.is_missed()).map(Row::name).collect();
    println!(
        "missed: {}",
        if missed.is_empty() { "nothing".to_owned() } else { missed.join("; ") }
    );
    Ok(())
}

/// What requests cost beside their floors, and the microseconds of an onboarding.
async fn requests(size: Size, pictures: Option<&Path>) -> anyhow::Result<(Vec<Row>, f64)> {
    let costs = crypto::measure();
    let mut rows = costs.rows();
    let (lab, folder) = site(Issuer::Local).await?;
    let floor = floor::Floor::start(&lab, folder.path()).await?;
    rows.extend(enrollment::measure(&lab, &floor, &costs, size, pictures).await?);
    let (onboarding, micros) = onboarding::measure(&lab, &floor, &costs, size, pictures).await?;
    rows.extend(onboarding);
    rows.extend(generator::measure(&floor, size).await?);
    drop(floor);
    lab.stop().await;
    Ok((rows, micros))
}

/// A site with the real registrar, in a folder of its own.
async fn site(issuer: Issuer) -> anyhow::Result<(Lab, TempDir)> {
    let folder = tempfile::tempdir()?;
    let options = SiteOptions {
        issuer,
        folder: folder.path().to_owned(),
        registrar: programs::ours("registrar")?,
        pebble: "pebble".into(),
    };
    Ok((Lab::start(&options).await?, folder))
}

//! Lists of expected devices: every wrong line is named, and nothing is half-imported.

use std::path::PathBuf;

use brski_lab::pledge::journey;
use brski_tests::site::{self, TestSite, json};

struct Import {
    site: TestSite,
    file: PathBuf,
}

impl Import {
    async fn of(csv: &str) -> anyhow::Result<Self> {
        let site = site::local().await?;
        let file = site.folder.path().join("devices.csv");
        std::fs::write(&file, csv)?;
        Ok(Self { site, file })
    }

    async fn run(&self, options: &[&str]) -> Result<String, String> {
        let file = self.file.display().to_string();
        let arguments: Vec<&str> =
            [file.as_str()].into_iter().chain(options.iter().copied()).collect();
        let output = self.site.site().command("device import", &arguments).await;
        output.map_err(|error| error.to_string())
    }

    async fn serials(&self) -> anyhow::Result<Vec<String>> {
        let devices = json(self.site.site(), "device list", &[]).await?;
        let rows = devices.as_array().unwrap();
        Ok(rows.iter().map(|row| row["serial"].as_str().unwrap().to_owned()).collect())
    }
}

#[tokio::test]
async fn devices_are_expected_with_name_profile_and_site() -> anyhow::Result<()> {
    let import = Import::of(
        "serial,manufacturer,name,profile,site\n\
         CSV-1,lab-devices,Pump-7,default,\"hall 3, row 2\"\n\
         CSV-2,lab-devices,,,\n",
    )
    .await?;
    assert_eq!(import.run(&[]).await.unwrap(), "imported 2 devices\n");
    let story = json(import.site.site(), "device show", &["CSV-1"]).await?;
    assert_eq!(story["device"]["name"], "pump-7.iot.lab.example");
    assert_eq!(story["device"]["site"], "hall 3, row 2");
    assert_eq!(story["device"]["state"], "expected");
    // It joins under the name that the list gives it.
    let pledge = import.site.lab.pledge("CSV-1")?;
    let label = journey::Label::default();
    let address = import.site.lab.registrar.address();
    let enrolled = journey::run(&pledge, address, &label).await?;
    assert_eq!(enrolled.certificate.dns_names(), ["pump-7.iot.lab.example"]);
    Ok(())
}

#[tokio::test]
async fn each_wrong_line_is_named_and_nothing_is_imported() -> anyhow::Result<()> {
    let import = Import::of(
        "serial,manufacturer,name,profile,site\n\
         RIGHT-1,lab-devices,,,\n\
         ,lab-devices,,,\n\
         WRONG-2,nobody,,,\n\
         WRONG-3,lab-devices,under_score,,\n\
         WRONG-4,lab-devices,a.example.com,,\n\
         WRONG-5,lab-devices,,missing,\n\
         RIGHT-1,lab-devices,,,\n\
         WRONG-6,lab-devices\n\
         \u{1b}[31m,lab-devices,twice,,\n\
         WRONG-7,lab-devices,TWICE,,\n",
    )
    .await?;
    let told = import.run(&[]).await.unwrap_err();
    let file = import.file.display();
    for (line, words) in [
        (3, "serial: it has 0 octets"),
        (4, "manufacturer: there is no manufacturer \"nobody\"; 'registrar manufacturer add'"),
        (5, "name: \"under_score\""),
        (6, "name: \"a.example.com\""),
        (7, "profile: the configuration has no profile \"missing\""),
        (8, "serial: \"RIGHT-1\" is on a line before"),
        (9, ": it has 2 fields, and the header 5"),
    ] {
        let line = format!("{file}: line {line}");
        let told = told.lines().find(|each| each.contains(&line));
        assert!(told.is_some_and(|told| told.contains(words)), "{line} {words}: {told:?}");
    }
    assert!(told.contains("nothing was imported"), "{told}");
    assert!(told.contains("--partial"), "{told}");
    assert!(!told.contains('\u{1b}'), "{told:?}");
    assert_eq!(import.serials().await?, Vec::<String>::new());
    assert!(import.run(&["--partial"]).await.unwrap().starts_with("imported "));
    assert!(import.serials().await?.contains(&"RIGHT-1".to_owned()));
    // The second time everything is there already.
    let told = import.run(&[]).await.unwrap_err();
    assert!(told.contains("\"RIGHT-1\" is there already, and expected"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_header_that_is_none_is_refused() -> anyhow::Result<()> {
    for (csv, words) in [
        ("", "the column \"serial\" is missing"),
        ("serial,name\nA,b\n", "the column \"manufacturer\" is missing"),
        ("serial,manufacturer,nmae\nA,lab-devices,b\n", "did you mean \"name\"?"),
    ] {
        let import = Import::of(csv).await?;
        let told = import.run(&["--partial"]).await.unwrap_err();
        assert!(told.contains(words), "{told}");
        assert!(told.contains("devices.csv: line 1"), "{told}");
        assert_eq!(import.serials().await?, Vec::<String>::new());
    }
    Ok(())
}

//! What `registrar check` says of the contacts of ACME accounts: whether the CA was told of them, and what it said
//! (RFC 8555 §7.3).

use acme_bridge::AccountRecord;

use super::table::clean;
use crate::config::{AcmeConfig, Config, IssuerConfig};
use crate::store;

/// A line about the contacts of each issuer that has some; those that a CA refused are warned of.
pub(super) async fn tell(config: &Config) {
    let issuers = config.issuers.iter().filter_map(|(name, issuer)| match issuer {
        IssuerConfig::Acme(acme) if !acme.contacts.urls().is_empty() => Some((name, &**acme)),
        _ => None,
    });
    let reached: Vec<(&String, &AcmeConfig)> = issuers.collect();
    if reached.is_empty() {
        return;
    }
    // Where the store cannot be asked, that was told already.
    let accounts = store::accounts(&config.store).await.unwrap_or_default();
    for (name, acme) in reached {
        let known = accounts.iter().find(|(issuer, _)| issuer == name).map(|(_, account)| account);
        eprintln!(
            "{}",
            line(&format!("{}: issuer.{name}.contact", config.file.display()), acme, known)
        );
    }
}

fn line(key: &str, acme: &AcmeConfig, known: Option<&AccountRecord>) -> String {
    let urls = acme.contacts.urls();
    let told = known
        .filter(|account| account.directory == acme.directory && !account.is_ended)
        .map(|account| &account.contacts)
        .filter(|told| told.urls == urls);
    let shown = urls.join(", ");
    match told.map(|told| told.refusal.as_deref()) {
        None => {
            format!("{key}: the CA is told of {shown} at the next start, or with the first order")
        }
        Some(None) => format!("{key}: the CA was told of {shown}"),
        Some(Some(refusal)) => format!(
            "warning: {key}: the CA refused {shown}: {}; orders go on, and it reaches nobody there",
            clean(refusal)
        ),
    }
}

#[cfg(test)]
mod tests {
    use acme_bridge::ContactsTold;

    use super::*;
    use crate::config::sample::{AcmeChoices, Choices, Keys, file};

    const DIRECTORY: &str = "https://ca.example/dir";

    fn configured() -> Config {
        let acme = AcmeChoices { directory: DIRECTORY.into(), directory_ca: None, root: None };
        let text = file(&Choices {
            listen: "127.0.0.1:0".into(),
            dns: Some("127.0.0.1:0".into()),
            domain: "iot.example.org".into(),
            keys: Keys::default(),
            acme: Some(acme),
        });
        let text = text.replace("# contact = ", "contact = ");
        Config::parse("registrar.toml".as_ref(), &text).unwrap()
    }

    #[test]
    fn a_contact_is_told_refused_or_still_to_be_told() {
        let config = configured();
        let IssuerConfig::Acme(acme) = &config.issuers["acme"] else { panic!("an ACME issuer") };
        assert_eq!(acme.contacts.urls(), ["mailto:pki@example.org"]);
        let told = |urls: &[&str], refusal: Option<&str>| AccountRecord {
            url: "https://ca.example/account/1".into(),
            directory: DIRECTORY.into(),
            thumbprint: String::new(),
            is_ended: false,
            contacts: ContactsTold {
                urls: urls.iter().map(|url| (*url).to_owned()).collect(),
                refusal: refusal.map(str::to_owned),
            },
        };
        let say = |account: Option<&AccountRecord>| line("key", acme, account);
        let good = told(&["mailto:pki@example.org"], None);
        assert_eq!(say(Some(&good)), "key: the CA was told of mailto:pki@example.org");
        let elsewhere =
            AccountRecord { directory: "https://other.example/dir".into(), ..good.clone() };
        let ended = AccountRecord { is_ended: true, ..good };
        let before = told(&["mailto:old@example.org"], None);
        for due in [None, Some(&elsewhere), Some(&ended), Some(&before)] {
            assert!(say(due).starts_with("key: the CA is told of mailto:pki@"), "{}", say(due));
        }
        let refused = told(&["mailto:pki@example.org"], Some("invalidContact: \u{1b}no"));
        let said = say(Some(&refused));
        assert!(said.starts_with("warning: key: the CA refused mailto:pki@"), "{said}");
        assert!(said.contains("invalidContact: \\u{1b}no"), "{said}");
    }
}

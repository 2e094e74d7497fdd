//! Looks where a manufacturer's MASA should be.

use brski_voucher::idevid::MasaUrl;

use super::{Service, no_daemon};
use crate::admin::actor::Actor;
use crate::admin::api::masa::{MasaTest, MasaTestView};
use crate::admin::problem::{FieldProblem, Kind, Problem};

impl Service {
    /// Looks at the MASA of the manufacturer of this name; no voucher is asked for.
    ///
    /// # Errors
    /// If there is no such manufacturer, no address, or no daemon.
    pub async fn test_masa(
        &self,
        actor: &Actor,
        name: &str,
        test: MasaTest,
    ) -> Result<MasaTestView, Problem> {
        let rows = self.store.manufacturers().await?;
        let row = rows.into_iter().find(|row| row.name == name).ok_or_else(|| {
            let hint = "'registrar manufacturer list' shows all of them";
            Problem::new(Kind::NotFound, format!("there is no manufacturer {name:?}"), hint)
        })?;
        let text = test.url.or_else(|| row.masa_url.clone()).ok_or_else(|| {
            unusable(
                format!("the IDevIDs of {name:?} say where its MASA is, not the manufacturer"),
                "is needed: an address as such an IDevID has it",
            )
        })?;
        let url = MasaUrl::parse(&text).map_err(|error| {
            unusable(error.to_string(), "is host, host:port or https://host/path")
        })?;
        tracing::info!(actor = %actor.name.escape_debug(), manufacturer = name, "a MASA is tested");
        let found = self.observer.test_masa(&url, &row).await.ok_or_else(no_daemon)?;
        Ok(MasaTestView::new(text, &found))
    }
}

fn unusable(detail: String, reason: &str) -> Problem {
    let mut problem = Problem::invalid(detail, "give the address of its MASA (--url)");
    problem.errors.push(FieldProblem { field: "url".to_owned(), reason: reason.to_owned() });
    problem
}

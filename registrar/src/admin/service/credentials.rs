//! Credentials of devices without an IDevID.

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::credential::{CredentialView, MadeCredential, NewCredential};
use crate::admin::problem::{Kind, Problem};
use crate::config::DEFAULT_PROFILE;
use crate::entropy::random_bytes;
use crate::policy::name::device_name;
use crate::store::Change;
use crate::store::model::{Credential, Sha256, hex};

/// How many enrollments a credential may be good for.
const MOST_USES: u32 = 1_000_000;
/// RFC 7030's clause about clients with a user name and a password.
const CLAUSE: &str = "RFC 7030 §3.2.3";

impl Service {
    /// Makes a credential. Its secret of 128 random bits is in the answer alone; the store keeps its SHA-256.
    ///
    /// # Errors
    /// A problem that names what is wrong with it.
    pub async fn add_credential(
        &self,
        actor: &Actor,
        new: NewCredential,
    ) -> Result<MadeCredential, Problem> {
        let profile = new.profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let zone = self.profile(&profile)?.zone;
        let name = new.name.to_ascii_lowercase();
        device_name(&name, &zone)
            .map_err(|error| Problem::invalid(error.to_string(), "choose another name"))?;
        if name.contains('.') {
            let detail = format!("{:?} has a dot", new.name);
            return Err(Problem::invalid(detail, "give the first label of the name alone"));
        }
        let uses = new.uses.unwrap_or(1);
        if !(1..=MOST_USES).contains(&uses) {
            let hint = format!("give a number from 1 to {MOST_USES}");
            return Err(Problem::invalid(format!("'uses' is {uses}"), hint));
        }
        if new.expires_in_secs == Some(0) {
            let hint = "leave it out for a credential that does not end";
            return Err(Problem::invalid("'expires_in_secs' is 0", hint));
        }
        let operator = actor.operator(self.now());
        let secret = hex(&random_bytes::<16>());
        let credential = Credential {
            name: name.clone(),
            secret: Sha256::of(secret.as_bytes()),
            profile,
            uses,
            used: 0,
            created_at: operator.now,
            expires_at: new
                .expires_in_secs
                .map(|secs| operator.now.plus(i64::from(secs).saturating_mul(1000))),
            revoked_at: None,
        };
        let detail = format!("credential {name} for {uses} enrollments");
        let event = operator.event("credential-added", CLAUSE, None, detail);
        self.store.commit(vec![Change::AddCredential(credential)], vec![event]).await?;
        Ok(MadeCredential { name, secret })
    }

    /// Lists the credentials.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn credentials(&self) -> Result<Vec<CredentialView>, Problem> {
        Ok(self.store.credentials().await?.iter().map(Into::into).collect())
    }

    /// Revokes a credential; the certificates that were got with it stay.
    ///
    /// # Errors
    /// If there is none of that name, or it is revoked already.
    pub async fn revoke_credential(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Result<CredentialView, Problem> {
        let name = name.to_ascii_lowercase();
        let credentials = self.store.credentials().await?;
        let mut credential =
            credentials.into_iter().find(|each| each.name == name).ok_or_else(|| {
                Problem::new(
                    Kind::NotFound,
                    format!("there is no credential {name:?}"),
                    "'registrar credential list' shows all of them",
                )
            })?;
        if credential.revoked_at.is_some() {
            return Err(Problem::new(
                Kind::Conflict,
                format!("credential {name:?} is revoked already"),
                "'registrar credential list' shows since when",
            ));
        }
        let operator = actor.operator(self.now());
        let detail = format!("credential {name}");
        let event = operator.event("credential-revoked", CLAUSE, None, detail);
        let change = Change::RevokeCredential { name, at: operator.now };
        self.store.commit(vec![change], vec![event]).await?;
        credential.revoked_at = Some(operator.now);
        Ok((&credential).into())
    }
}

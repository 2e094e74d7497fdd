//! Devices that wait for a person.

use super::{Service, limit};
use crate::admin::actor::Actor;
use crate::admin::api::approval::{Grant, WaitingView};
use crate::admin::api::device::{DeviceView, NewDevice};
use crate::admin::api::{Page, PageQuery};
use crate::admin::cursor;
use crate::admin::problem::{Kind, Problem};
use crate::flow::operator::DeviceFacts;
use crate::flow::operator::approval::{self, Terms};
use crate::policy::name::device_name;
use crate::store::model::{Approval, ApprovalState, Id, KnownDevice, Millis};

impl Service {
    /// A page of the questions that wait, the oldest first.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn approvals(&self, query: &PageQuery) -> Result<Page<WaitingView>, Problem> {
        let limit = limit(query.limit)?;
        let after: Option<(Millis, Id)> = query.after.as_deref().map(cursor::decode).transpose()?;
        let after = after.unwrap_or((Millis(i64::MIN), Id::from_stored(String::new())));
        let rows = self.store.approvals(ApprovalState::Waiting, after, limit).await?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|length| length == limit);
        let next = rows
            .last()
            .filter(|_| is_full)
            .map(|last| cursor::encode(&(last.created_at, last.id.clone())));
        let manufacturer = self.manufacturer_names().await?;
        let mut items = Vec::new();
        for row in &rows {
            if let Some(known) = self.store.device(&row.device).await? {
                items.push(WaitingView {
                    approval: row.into(),
                    manufacturer: manufacturer(&known.identity).unwrap_or_default(),
                    serial: known.identity.serial().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(Page { items, next })
    }

    /// Says yes.
    ///
    /// # Errors
    /// If there is no such question, it was answered before, or the name is none or taken.
    pub async fn grant(
        &self,
        actor: &Actor,
        id: &str,
        grant: Grant,
    ) -> Result<DeviceView, Problem> {
        let (approval, facts) = self.question(id).await?;
        let terms = self.terms(&facts.known, grant)?;
        let decision = approval::grant(&actor.operator(self.now()), &facts, &approval, terms)?;
        self.commit(decision).await?;
        self.device_view(&facts).await
    }

    /// Says no.
    ///
    /// # Errors
    /// If there is no such question, or it was answered before.
    pub async fn refuse(&self, actor: &Actor, id: &str) -> Result<DeviceView, Problem> {
        let (approval, facts) = self.question(id).await?;
        let decision = approval::refuse(&actor.operator(self.now()), &facts, &approval)?;
        self.commit(decision).await?;
        self.device_view(&facts).await
    }

    async fn question(&self, id: &str) -> Result<(Approval, DeviceFacts), Problem> {
        let unknown = || {
            Problem::new(
                Kind::NotFound,
                format!("there is no approval {id:?}"),
                "'registrar approval list' shows those that wait",
            )
        };
        let id = Id::from_stored(id.to_owned());
        let approval = self.store.approval(&id).await?.ok_or_else(unknown)?;
        let known = self.store.device(&approval.device).await?.ok_or_else(unknown)?;
        Ok((approval, self.facts(known).await?))
    }

    fn terms(&self, known: &KnownDevice, grant: Grant) -> Result<Terms, Problem> {
        let profile = grant.profile.as_deref().unwrap_or(&known.device.profile);
        let zone = self.profile(profile)?.zone;
        let name = grant.name.map(|name| device_name(&name, &zone)).transpose();
        let name =
            name.map_err(|error| Problem::invalid(error.to_string(), "choose another name"))?;
        Ok(Terms { name, profile: grant.profile })
    }

    async fn device_view(&self, facts: &DeviceFacts) -> Result<DeviceView, Problem> {
        let id = &facts.known.device.id;
        let known = self.store.device(id).await?.unwrap_or_else(|| facts.known.clone());
        let manufacturer = self.manufacturer_names().await?;
        Ok(DeviceView::new(&known, manufacturer(&known.identity)))
    }

    /// The question that waits about a device with this serial number.
    pub(super) async fn waiting(&self, new: &NewDevice) -> Result<Option<Approval>, Problem> {
        let manufacturers = self.store.manufacturers().await?;
        let Some(manufacturer) = manufacturers.iter().find(|row| row.name == new.manufacturer)
        else {
            return Ok(None);
        };
        let Some(known) = self.store.device_by_serial(&manufacturer.id, &new.serial).await? else {
            return Ok(None);
        };
        let approvals = self.store.approvals_of(&known.device.id).await?;
        Ok(approvals.into_iter().rfind(|each| each.state == ApprovalState::Waiting))
    }

    /// Says yes to a device that is named by its serial number.
    pub(super) async fn grant_device(
        &self,
        actor: &Actor,
        approval: Approval,
        new: NewDevice,
    ) -> Result<DeviceView, Problem> {
        let grant = Grant { name: new.name, profile: new.profile };
        self.grant(actor, approval.id.as_str(), grant).await
    }
}

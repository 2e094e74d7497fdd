//! Devices: see them, and change their lives.

use acme_bridge::OrderId;

use super::{Service, limit};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::device::{
    DeviceQuery, DeviceStory, DeviceView, EnrollmentView, NewDevice, Rename, Replace, Retire,
    voucher_word,
};
use crate::admin::cursor;
use crate::admin::problem::Problem;
use crate::flow::Decision;
use crate::flow::operator::DeviceFacts;
use crate::flow::operator::device::{self, Fate};
use crate::policy::name::device_name;
use crate::store::model::{
    DeviceFilter, DevicePlace, DeviceState, Enrollment, EventFilter, KnownDevice,
};

/// How many events a device's story shows.
const STORY_EVENTS: u32 = 50;

impl Service {
    /// A page of the devices.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn devices(&self, query: &DeviceQuery) -> Result<Page<DeviceView>, Problem> {
        let limit = limit(query.limit)?;
        let filter = self.filter(query).await?;
        let after: Option<DevicePlace> = query.after.as_deref().map(cursor::decode).transpose()?;
        let devices = self.store.devices(&filter, after.as_ref(), limit).await?;
        let is_full = u32::try_from(devices.len()).is_ok_and(|length| length == limit);
        let next = devices
            .last()
            .filter(|_| is_full)
            .map(|last| cursor::encode(&DevicePlace::of(last, &filter)));
        let manufacturer = self.manufacturer_names().await?;
        let view = |known: &KnownDevice| DeviceView::new(known, manufacturer(&known.identity));
        Ok(Page { items: devices.iter().map(view).collect(), next })
    }

    async fn filter(&self, query: &DeviceQuery) -> Result<DeviceFilter, Problem> {
        let state = match query.state.as_deref() {
            None => None,
            Some(word) => Some(DeviceState::parse(word).ok_or_else(|| {
                Problem::invalid(
                    format!("there is no state {word:?}"),
                    "states: expected, pending, admitted, vouchered, enrolled, retired, blocked",
                )
            })?),
        };
        let manufacturer = match query.manufacturer.as_deref() {
            None => None,
            Some(name) => {
                let rows = self.store.manufacturers().await?;
                let found = rows.into_iter().find(|row| row.name == name);
                Some(found.map(|row| row.id).ok_or_else(|| {
                    Problem::invalid(
                        format!("there is no manufacturer {name:?}"),
                        "'registrar manufacturer list' shows all of them",
                    )
                })?)
            }
        };
        Ok(DeviceFilter { state, manufacturer, text: query.text.clone() })
    }

    /// The story of the device whose identifier, name or serial number is `text`.
    ///
    /// # Errors
    /// If none or several fit.
    pub async fn device(&self, text: &str) -> Result<DeviceStory, Problem> {
        let known = self.find(text).await?;
        let facts = self.facts(known).await?;
        let id = &facts.known.device.id;
        let exchange = self.store.latest_voucher_exchange(id).await?;
        let mut enrollments = Vec::new();
        for enrollment in &facts.enrollments {
            enrollments.push(self.enrollment(enrollment.clone()).await?);
        }
        let filter = EventFilter { device: Some(id.clone()), ..EventFilter::default() };
        let events = self.store.events(&filter, None, STORY_EVENTS).await?;
        Ok(DeviceStory {
            device: self.view(&facts.known).await?,
            voucher: exchange.as_ref().map(|exchange| voucher_word(exchange).to_owned()),
            approvals: facts.approvals.iter().map(Into::into).collect(),
            enrollments,
            certificates: facts.certificates.iter().map(Into::into).collect(),
            events: events.into_iter().map(Into::into).collect(),
        })
    }

    async fn enrollment(&self, enrollment: Enrollment) -> Result<EnrollmentView, Problem> {
        let id = OrderId::new(enrollment.id.as_str());
        let order = self.store.order(&id).await?;
        let steps = self.store.order_steps(&id).await?;
        let state = order.map(|order| order.state.name().to_owned());
        Ok(EnrollmentView::new(enrollment, state, steps))
    }

    async fn view(&self, known: &KnownDevice) -> Result<DeviceView, Problem> {
        let manufacturer = self.manufacturer_names().await?;
        Ok(DeviceView::new(known, manufacturer(&known.identity)))
    }

    /// Lets one device join, whether it came already or will come: expects it, or says yes if it waits.
    ///
    /// # Errors
    /// What is wrong with it; if it is there and does not wait.
    pub async fn allow(&self, actor: &Actor, new: NewDevice) -> Result<DeviceView, Problem> {
        if let Some(waiting) = self.waiting(&new).await? {
            return self.grant_device(actor, waiting, new).await;
        }
        let row = self.expected_device(&new).await?;
        let operator = actor.operator(self.now());
        let expected = row.expect(&operator);
        let known = expected.known.clone();
        self.commit(expected.decision).await?;
        self.view(&known).await
    }

    /// Takes a device out of service for good.
    ///
    /// # Errors
    /// If none or several fit, or it is retired already.
    pub async fn retire(
        &self,
        actor: &Actor,
        text: &str,
        how: Retire,
    ) -> Result<DeviceView, Problem> {
        let operator = actor.operator(self.now());
        let fate = if how.free_name { Fate::Free } else { Fate::Keep };
        let facts = self.facts(self.find(text).await?).await?;
        let decision = device::retire(&operator, &facts, fate)?;
        self.change(facts, decision).await
    }

    /// Bars a device until it is restored.
    ///
    /// # Errors
    /// If none or several fit, or it is out of service already.
    pub async fn block(&self, actor: &Actor, text: &str) -> Result<DeviceView, Problem> {
        let operator = actor.operator(self.now());
        let facts = self.facts(self.find(text).await?).await?;
        let decision = device::block(&operator, &facts)?;
        self.change(facts, decision).await
    }

    /// Lets a retired or blocked device back in.
    ///
    /// # Errors
    /// If none or several fit, or it is neither.
    pub async fn restore(&self, actor: &Actor, text: &str) -> Result<DeviceView, Problem> {
        let operator = actor.operator(self.now());
        let facts = self.facts(self.find(text).await?).await?;
        let exchange = self.store.latest_voucher_exchange(&facts.known.device.id).await?;
        let decision = device::restore(&operator, &facts, exchange.as_ref())?;
        self.change(facts, decision).await
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// If none or several fit, or the name is none or taken.
    pub async fn rename(
        &self,
        actor: &Actor,
        text: &str,
        to: &Rename,
    ) -> Result<DeviceView, Problem> {
        let operator = actor.operator(self.now());
        let facts = self.facts(self.find(text).await?).await?;
        let zone = self.profile(&facts.known.device.profile)?.zone;
        let name = device_name(&to.name, &zone)
            .map_err(|error| Problem::invalid(error.to_string(), "choose another name"))?;
        let decision = device::rename(&operator, &facts, name);
        self.change(facts, decision).await
    }

    /// Puts a device in the place of another one.
    ///
    /// # Errors
    /// If none or several fit, or one of the two is in no state for it.
    pub async fn replace(
        &self,
        actor: &Actor,
        text: &str,
        replace: &Replace,
    ) -> Result<DeviceView, Problem> {
        let operator = actor.operator(self.now());
        let old = self.facts(self.find(text).await?).await?;
        let new = self.facts(self.find(&replace.by).await?).await?;
        let decision = device::replace(&operator, &old, &new)?;
        self.change(new, decision).await
    }

    /// Commits a decision about a device and shows the device as it is then.
    async fn change(&self, facts: DeviceFacts, decision: Decision) -> Result<DeviceView, Problem> {
        self.commit(decision).await?;
        let id = facts.known.device.id.clone();
        let known = self.store.device(&id).await?.unwrap_or(facts.known);
        self.view(&known).await
    }
}

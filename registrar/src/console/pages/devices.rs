//! Devices: search and filter; what to do with several at once.

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::Page;
use crate::admin::api::device::{DeviceQuery, DeviceView};
use crate::console::form::given;
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, badge, moment, next, page, token};
use crate::console::search::{self, Allowed};

/// How many devices a page has.
const ROWS: u32 = 50;

/// All states, in the order of a device's life.
const STATES: [&str; 7] =
    ["expected", "pending", "admitted", "vouchered", "enrolled", "retired", "blocked"];

/// What the fields of the search take.
const FIELDS: [Allowed; 2] = [
    ("no state", "State", "One of the states that the field offers."),
    ("no manufacturer", "Manufacturer", "One of the manufacturers that the field offers."),
];

/// What is looked for; an empty text is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Search {
    text: String,
    state: String,
    manufacturer: String,
    after: String,
}

impl Search {
    fn query(&self) -> DeviceQuery {
        DeviceQuery {
            limit: Some(ROWS),
            after: given(self.after.clone()),
            state: given(self.state.clone()),
            manufacturer: given(self.manufacturer.clone()),
            text: given(self.text.clone()),
        }
    }

    fn pairs(&self) -> [(&str, &str); 3] {
        [
            ("text", self.text.as_str()),
            ("state", self.state.as_str()),
            ("manufacturer", self.manufacturer.as_str()),
        ]
    }
}

/// `GET /console/devices`.
pub(in crate::console) async fn list(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(search): Query<Search>,
) -> Answer {
    let found = match console.service.devices(&search.query()).await {
        Ok(found) => html! {
            (table(&visitor, &found))
            (next("/console/devices", &search.pairs(), found.next.as_deref()))
        },
        Err(problem) => search::wrong(problem, &FIELDS)?,
    };
    let manufacturers = console.service.manufacturers().await?;
    let names: Vec<&str> = manufacturers.iter().map(|each| each.name.as_str()).collect();
    let query = serde_urlencoded::to_string(search.pairs()).unwrap_or_default();
    let content = html! {
        (filter(&search, &names))
        p {
            a href={ "/console/devices.csv?" (query) } { "As CSV" }
            @if visitor.actor.role >= Role::Operator {
                " · " a href="/console/devices/import" { "Import a list" }
            }
        }
        #found { (found) }
    };
    Ok(page(&visitor, "devices", "Devices", &content))
}

fn filter(search: &Search, manufacturers: &[&str]) -> Markup {
    html! {
        form.filter method="get" action="/console/devices" role="search"
            hx-get="/console/devices" hx-trigger="input changed delay:300ms from:#text, change"
            hx-select="#found" hx-target="#found" hx-swap="outerHTML" hx-push-url="true" {
            div {
                label for="text" { "Name or serial number begins with" }
                input #text name="text" type="search" value=(search.text) maxlength="256";
            }
            (search::choice("state", "State", &STATES, &search.state))
            (search::choice("manufacturer", "Manufacturer", manufacturers, &search.manufacturer))
            button { "Search" }
        }
    }
}

fn table(visitor: &Visitor, found: &Page<DeviceView>) -> Markup {
    if found.items.is_empty() {
        return html! { p { "No device fits." } };
    }
    let may_act = visitor.actor.role >= Role::Operator;
    html! {
        form method="post" action="/console/devices" {
            (token(visitor))
            div.wide tabindex="0" role="region" aria-label="Table of devices" {
                table {
                    thead {
                        tr {
                            @if may_act { th { span.unseen { "Choose" } } }
                            th { "Name" } th { "Serial number" } th { "Manufacturer" } th { "State" }
                            th { "Profile" } th { "Site" } th { "Changed" }
                        }
                    }
                    tbody { @for device in &found.items { (row(device, may_act)) } }
                }
            }
            @if may_act {
                fieldset.actions {
                    legend { "With the chosen devices" }
                    button name="action" value="block" { "Block" }
                    button name="action" value="restore" { "Restore" }
                    button.danger name="action" value="retire" data-confirm="Retire the chosen devices? Their certificates are revoked." {
                        "Retire"
                    }
                }
            }
        }
    }
}

fn row(device: &DeviceView, may_act: bool) -> Markup {
    let proves = device.serial.as_deref().or(device.credential.as_deref()).unwrap_or("–");
    let name = device.name.as_deref().unwrap_or("no name yet");
    html! {
        tr {
            @if may_act {
                td { input type="checkbox" name="device" value=(device.id) aria-label={ "Choose " (proves) }; }
            }
            td { a href={ "/console/devices/" (device.id) } { (name) } }
            td { (proves) }
            td { (device.manufacturer.as_deref().unwrap_or("–")) }
            td { (badge(&device.state)) }
            td { (device.profile) }
            td { (device.site.as_deref().unwrap_or("–")) }
            td { (moment(&device.updated_at)) }
        }
    }
}

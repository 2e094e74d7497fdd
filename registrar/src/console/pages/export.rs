//! Devices as a CSV file, read from the store as it is sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use tokio::sync::mpsc::{Sender, channel};

use super::Shared;
use crate::admin::api::MOST;
use crate::admin::api::device::{DeviceQuery, DeviceView};
use crate::console::Console;
use crate::console::form::given;
use crate::console::layout::Trouble;
use crate::console::live::Stream;

/// The first line: what an import takes, then what is known beside it.
const HEADER: [&str; 7] = ["serial", "manufacturer", "name", "profile", "site", "state", "changed"];

/// Which devices; an empty text is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Which {
    text: String,
    state: String,
    manufacturer: String,
}

/// `GET /console/devices.csv`.
pub(in crate::console) async fn csv(
    State(console): Shared,
    Query(which): Query<Which>,
) -> Result<Response, Trouble> {
    let query = DeviceQuery {
        limit: Some(MOST),
        after: None,
        state: given(which.state),
        manufacturer: given(which.manufacturer),
        text: given(which.text),
    };
    // The first page is read before anything is answered, so that a wrong query is an answer of its own.
    let first = console.service.devices(&query).await?;
    let (sender, receiver) = channel(2);
    tokio::spawn(async move {
        let mut text = line(HEADER.map(str::to_owned));
        text.extend(first.items.iter().flat_map(|device| line(columns(device))));
        if sender.send(Bytes::from(text)).await.is_ok() {
            rest(&console, query, first.next, &sender).await;
        }
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"devices.csv\"")),
    ];
    Ok((headers, Body::new(Stream(receiver))).into_response())
}

async fn rest(
    console: &Arc<Console>,
    mut query: DeviceQuery,
    mut next: Option<String>,
    sender: &Sender<Bytes>,
) {
    while let Some(after) = next {
        query.after = Some(after);
        // A store that fails in between ends the file early, and the line that says so is no device.
        let Ok(found) = console.service.devices(&query).await else {
            let last = b"# the database failed; this list is not whole\n";
            let _ = sender.send(Bytes::from_static(last)).await;
            return;
        };
        let text: Vec<u8> = found.items.iter().flat_map(|device| line(columns(device))).collect();
        next = found.next;
        if sender.send(Bytes::from(text)).await.is_err() {
            return;
        }
    }
}

fn columns(device: &DeviceView) -> [String; 7] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        device.serial.clone().or_else(|| device.credential.clone()).unwrap_or_default(),
        text(&device.manufacturer),
        text(&device.name),
        device.profile.clone(),
        text(&device.site),
        device.state.clone(),
        device.updated_at.clone(),
    ]
}

/// One line; what a spreadsheet would take for a formula is made a text.
fn line(columns: [String; 7]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(columns.map(|text| {
        match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            true => format!("'{text}"),
            false => text,
        }
    }));
    // Writing to memory fails for nobody; a record always has seven fields.
    written.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_and_separators_are_text() {
        let columns = ["=1+1", "a,b", "q\"q", "-x", "", "enrolled", "now"].map(str::to_owned);
        let text = String::from_utf8(line(columns)).unwrap();
        assert_eq!(text, "'=1+1,\"a,b\",\"q\"\"q\",'-x,,enrolled,now\n");
    }
}

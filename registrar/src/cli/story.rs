//! A device's story as a person reads it.

use super::table::clean;
use crate::admin::api::device::DeviceStory;

pub(super) fn print_story(story: &DeviceStory) {
    let device = &story.device;
    println!("name          {}", clean(device.name.as_deref().unwrap_or("none yet")));
    println!("state         {}", device.state);
    if let Some(manufacturer) = &device.manufacturer {
        println!("manufacturer  {manufacturer}");
    }
    if let Some(serial) = &device.serial {
        println!("serial        {}", clean(serial));
    }
    if let Some(credential) = &device.credential {
        println!("credential    {credential}");
    }
    println!("profile       {}", device.profile);
    if let Some(site) = &device.site {
        println!("site          {}", clean(site));
    }
    println!("id            {}", device.id);
    println!("first seen    {}", device.created_at);
    println!("voucher       {}", story.voucher.as_deref().unwrap_or("none"));
    for approval in &story.approvals {
        let by = approval.decided_by.as_deref();
        let by = by.map_or(String::new(), |by| format!(" by {}", clean(by)));
        println!("approval      {} ({}): {}{by}", approval.id, approval.reason, approval.state);
    }
    for certificate in &story.certificates {
        let revoked =
            certificate.revoked_at.as_deref().map_or(String::new(), |at| format!(", revoked {at}"));
        println!(
            "certificate   {} by {}, {} to {}{revoked}",
            certificate.serial, certificate.issuer, certificate.not_before, certificate.not_after
        );
    }
    for enrollment in &story.enrollments {
        let reason = enrollment.reason.as_deref();
        let reason = reason.map_or(String::new(), |reason| format!(": {}", clean(reason)));
        println!("enrollment    {} at {}{reason}", enrollment.state, enrollment.issuer);
        for step in &enrollment.steps {
            println!("              {}", clean(step));
        }
    }
    println!("events");
    for event in &story.events {
        println!("  {}  {:<28} {}", event.time, event.kind, clean(&event.detail));
    }
}

//! Lies in status reports.

use brski_voucher::telemetry::Status;
use http::Method;

use super::Fault;
use super::Stage;
use super::workshop::{Device, FaultError, Shot, Workshop, expect, make};
use crate::pki::Manufacturer;

/// Turns an honest report into a lie.
pub(super) async fn distort(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    shot: &mut Shot,
) -> Result<(), FaultError> {
    match fault {
        Fault::StatusGarbage | Fault::EnrollStatusGarbage => {
            shot.body = b"{\"version\":1,".to_vec()
        }
        Fault::StatusVersionless => shot.body = b"{\"status\":true}".to_vec(),
        Fault::StatusText => shot.body = b"{\"version\":1,\"status\":\"true\"}".to_vec(),
        Fault::StatusTwice => {
            shot.body = b"{\"version\":1,\"status\":false,\"status\":true}".to_vec();
        }
        Fault::StatusType | Fault::EnrollStatusType => shot.content_type = Some("text/plain"),
        Fault::StatusNobody | Fault::EnrollStatusNobody => shot.credential = None,
        Fault::StatusStranger => {
            let stranger = Manufacturer::new("stranger")?;
            let masa = workshop.masa.url();
            shot.credential = Some(stranger.authority.idevid(&device.serial, &masa)?);
        }
        Fault::StatusUnasked | Fault::EnrollStatusUnknown => {
            let other = workshop.device(&format!("{}-SILENT", device.serial)).await?;
            shot.credential = Some(other.idevid);
        }
        Fault::StatusPut => shot.method = Method::PUT,
        Fault::RequestAfterRejection => {
            // The very request whose voucher it rejects.
            let request = workshop.honest(device, Stage::Voucher)?;
            expect(&workshop.send(&request).await?, "requestvoucher")?;
            let no = Shot { body: Status::failure("a lie").to_json(), ..shot.clone() };
            expect(&workshop.send(&no).await?, "voucher_status")?;
            *shot = request;
        }
        other => return Err(make(format!("nobody knows how {other:?} is told"))),
    }
    Ok(())
}

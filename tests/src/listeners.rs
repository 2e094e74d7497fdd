//! Listening sockets of another process, shut from outside: so a test sees what becomes of a program whose service ends.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::RawFd;

use anyhow::{Context as _, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::programs;

/// Shuts the listening sockets of a child of this process that are at a wanted address; where the system lets nobody
/// reach for them, as in some containers, says so and gives false.
///
/// # Errors
/// What the system says, or that there is none.
pub fn shut(child: u32, is_wanted: impl Fn(SocketAddr) -> bool) -> anyhow::Result<bool> {
    let number = Pid::from_raw(child.try_into()?).context("no process has this number")?;
    let process = pidfd_open(number, PidfdFlags::empty())?;
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{child}/fd"))? {
        let name = entry?.file_name();
        let descriptor: RawFd = name.to_string_lossy().parse()?;
        let same = match pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty()) {
            Ok(same) => same,
            // It was closed meanwhile.
            Err(Errno::BADF) => continue,
            Err(error @ (Errno::PERM | Errno::NOSYS)) => {
                programs::skipped(&format!("nobody may reach into another process: {error}"));
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        // Whatever it is: who asks for addresses of something else gets none.
        let same = TcpStream::from(same);
        let is_listening = same.peer_addr().is_err();
        if is_listening && same.local_addr().is_ok_and(&is_wanted) {
            same.shutdown(Shutdown::Both)?;
            count += 1;
        }
    }
    ensure!(count > 0, "process {child} listens nowhere");
    Ok(true)
}

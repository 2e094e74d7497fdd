//! Listening sockets of another process, shut from outside: so a test sees what becomes of a program whose service ends.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::RawFd;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Shuts the listening sockets of a child of this process that are at a wanted address.
///
/// # Errors
/// What the system says, or that there is none.
pub fn shut(child: u32, is_wanted: impl Fn(SocketAddr) -> bool) -> anyhow::Result<()> {
    let number = Pid::from_raw(child.try_into()?).context("no process has this number")?;
    let process = pidfd_open(number, PidfdFlags::empty())?;
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{child}/fd"))? {
        let name = entry?.file_name();
        let descriptor: RawFd = name.to_string_lossy().parse()?;
        // It may be closed meanwhile.
        let Ok(same) = pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty()) else {
            continue;
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
    Ok(())
}

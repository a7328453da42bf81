//! What the standard library does not have: TAP and TUN interfaces, other network namespaces, and waiting for files.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// Runs a function on a thread of its own in a namespace; what it opens there stays there, whoever uses it.
pub(crate) fn inside<T: Send>(space: &str, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(Path::new(NAMESPACES).join(space));
    let file = file.with_context(|| format!("cannot open the namespace {space}"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: setns changes this thread alone, which ends with the function.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                let error = io::Error::last_os_error();
                return Err(error).with_context(|| format!("cannot enter the namespace {space}"));
            }
            body()
        });
        thread.join().unwrap_or_else(|_| bail!("a thread in the namespace {space} ended early"))
    })
}

/// Makes a TAP interface in the namespace of this thread. It is gone when the file is closed.
pub(crate) fn tap(name: &str) -> Result<File> {
    device(name, libc::IFF_TAP)
}

/// Makes a TUN interface in the namespace of this thread. It is gone when the file is closed.
pub(crate) fn tun(name: &str) -> Result<File> {
    device(name, libc::IFF_TUN)
}

fn device(name: &str, kind: libc::c_int) -> Result<File> {
    let fits = !name.is_empty() && name.len() < libc::IFNAMSIZ && !name.contains(['/', '\0', '%']);
    ensure!(fits, "{name:?} is no interface name");
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open("/dev/net/tun").context("cannot open /dev/net/tun")?;
    // SAFETY: `ifreq` is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is of this frame.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("cannot make the interface {name}"));
    }
    Ok(file)
}

/// Plugs the cable of a TAP interface in or pulls it: the interface has a carrier or not, and its namespace is told.
pub(crate) fn set_carrier(tap: &File, is_plugged: bool) -> io::Result<()> {
    let carrier = libc::c_int::from(is_plugged);
    // SAFETY: TUNSETCARRIER reads one integer, which is of this frame.
    match unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETCARRIER, &raw const carrier) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a file has for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing yet.
    Quiet,
    /// Something to read.
    Readable,
    /// Nothing any more: its interface is gone.
    Gone,
}

/// Waits until one of some files can be read, for so long at most.
pub(crate) fn wait<const N: usize>(files: [&File; N], limit: Duration) -> io::Result<[State; N]> {
    let fds: [BorrowedFd<'_>; N] = files.map(|file| file.as_fd());
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let limit = libc::timespec {
        tv_sec: limit.as_secs().min(3600).cast_signed(),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    // SAFETY: the `pollfd`s, so many of them, and the time are of this frame, and no signal mask is given.
    let count =
        unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, &raw const limit, std::ptr::null()) };
    if count < 0 {
        let error = io::Error::last_os_error();
        let is_interrupted = error.kind() == io::ErrorKind::Interrupted;
        return if is_interrupted { Ok([State::Quiet; N]) } else { Err(error) };
    }
    Ok(polled.map(|polled| match polled.revents {
        0 => State::Quiet,
        events if events & libc::POLLIN != 0 => State::Readable,
        _ => State::Gone,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        for name in ["", "a/b", "tap%d", "sixteen-octets-x"] {
            assert!(format!("{:#}", tap(name).unwrap_err()).contains("no interface name"), "{name}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let error = inside("no-such-namespace", || Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-namespace"), "{error:#}");
    }
}

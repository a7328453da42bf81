//! The TUN device: the queue of packets between the kernel and the tunnel.
//!
//! Packets are bare IP packets (IFF_NO_PI). Its addresses, routes, MTU and state are the machine's to set.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::DriverError;

const DEVICE: &str = "/dev/net/tun";

/// A TUN interface; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Tun {
    file: File,
    name: String,
    index: u32,
}

impl Tun {
    /// Makes an interface of that name.
    pub(crate) fn open(name: &str) -> Result<Self, DriverError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(DEVICE)
            .map_err(|source| {
                let is_missing = source.kind() == io::ErrorKind::NotFound;
                let missing = "open /dev/net/tun (is the kernel module tun loaded?)";
                DriverError::io(if is_missing { missing } else { "open /dev/net/tun" }, source)
            })?;
        let name = attach(&file, name)?;
        let index =
            index_of(&name).map_err(|source| DriverError::io("ask for the TUN interface's index", source))?;
        Ok(Self { file, name, index })
    }

    /// Makes one of a pair of sockets, whose other end plays the kernel.
    #[cfg(test)]
    pub(crate) fn of(socket: std::os::unix::net::UnixDatagram) -> Self {
        socket.set_nonblocking(true).expect("a socket can be told not to wait");
        Self { file: File::from(std::os::fd::OwnedFd::from(socket)), name: "memory".to_owned(), index: 0 }
    }

    /// Returns the interface's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the interface's index.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Reads one packet, without waiting.
    pub(crate) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(room)
    }

    /// Writes one packet, without waiting.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(|_| ())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Tells whether an error says that the interface is no more.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADFD | libc::EFAULT | libc::ENODEV | libc::ENXIO))
}

fn attach(file: &File, name: &str) -> Result<String, DriverError> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['/', '\0']) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no interface name"));
        return Err(DriverError::Io { action: "make the TUN interface", source });
    }
    // SAFETY: `ifreq` is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is of this frame.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        let source = io::Error::last_os_error();
        let is_taken = match source.raw_os_error() {
            Some(libc::EBUSY) => true,
            // The name is another kind of interface's.
            Some(libc::EINVAL | libc::EEXIST) => index_of(name).is_ok(),
            Some(_) | None => false,
        };
        return Err(match is_taken {
            true => DriverError::TunBusy(name.to_owned()),
            false => DriverError::io("make the TUN interface", source),
        });
    }
    let octets = request.ifr_name.iter().map(|octet| octet.cast_unsigned()).take_while(|octet| *octet != 0);
    Ok(String::from_utf8_lossy(&octets.collect::<Vec<u8>>()).into_owned())
}

/// Returns the number of an interface.
pub(crate) fn index_of(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(io::Error::from)?;
    // SAFETY: the name ends with a zero octet.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        let file = File::open("/dev/null").unwrap();
        for name in ["", "a/b", "sixteen-octets-x"] {
            assert!(matches!(attach(&file, name), Err(DriverError::Io { .. })), "{name}");
        }
    }

    #[test]
    fn an_interface_of_another_kind_is_not_taken_over() {
        match Tun::open("lo") {
            Err(DriverError::TunBusy(name)) => assert_eq!(name, "lo"),
            Err(error) => eprintln!("skipped: {error}"),
            Ok(tun) => panic!("{tun:?}"),
        }
    }
}

//! Socket options that the standard library does not know.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::data_plane::limits;

/// Sets an option whose value is an `int`.
pub(crate) fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer is to an `int` of this frame, and the length is its own.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns an option whose value is an `int`.
pub(crate) fn get(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: both pointers are to values of this frame; the kernel writes no more than `len` octets.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Marks what a socket sends, so that routing knows it; zero marks nothing.
pub(crate) fn set_mark(socket: BorrowedFd<'_>, mark: u32) -> io::Result<()> {
    if mark == 0 { Ok(()) } else { set(socket, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed()) }
}

/// Makes a socket's queues large; returns how large the receiving one became, as the kernel counts.
pub(crate) fn enlarge(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let size = limits::SOCKET_BUFFER as i32;
    let pairs = [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)];
    for (forced, asked) in pairs {
        // Without CAP_NET_ADMIN the machine's own limit holds.
        if set(socket, libc::SOL_SOCKET, forced, size).is_err() {
            set(socket, libc::SOL_SOCKET, asked, size)?;
        }
    }
    get(socket, libc::SOL_SOCKET, libc::SO_RCVBUF)
}

/// Asks for the destination, the TOS and ICMP errors of what a socket receives, and for how much it lost;
/// and lets packets of any size leave: those that fit the path carry DF, larger ones are fragmented.
pub(crate) fn set_up(socket: BorrowedFd<'_>, v4: bool) -> io::Result<()> {
    let options = if v4 {
        [
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
            (libc::IPPROTO_IP, libc::IP_RECVTOS, 1),
            (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT),
        ]
    } else {
        [
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT),
        ]
    };
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    options.into_iter().try_for_each(|(level, name, value)| set(socket, level, name, value))
}

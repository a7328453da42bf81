//! Messages to and from a socket, many at a call (recvmmsg(2), sendmmsg(2), udp(7)).
#![allow(unsafe_code)]
// The header's lengths are of other types in other C libraries.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::ancillary::{Beside, Control, Name};
use crate::data_plane::limits;

/// Where a message goes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The address that it comes from; the unspecified one lets the kernel choose.
    pub(crate) source: IpAddr,
    /// The interface that it leaves by; zero lets the kernel choose.
    pub(crate) interface: u32,
    /// Where it goes.
    pub(crate) remote: SocketAddr,
    /// Its TOS or traffic class.
    pub(crate) tos: u8,
}

impl Envelope {
    /// Writes what goes beside a message; returns how many octets it takes.
    fn write(&self, control: &mut Control) -> usize {
        let mut end = 0;
        if !self.source.is_unspecified() || self.interface != 0 {
            end = control.write_source(end, self.source, self.interface);
        }
        if self.tos != 0 {
            end = control.write_tos(end, self.remote.is_ipv4(), self.tos);
        }
        end
    }
}

/// What was received into one room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Its length.
    pub(crate) len: usize,
    /// Whether it was longer than the room.
    pub(crate) is_truncated: bool,
    /// Where it came from, or of an error, where it went to.
    pub(crate) remote: Option<SocketAddr>,
    /// What is said beside it.
    pub(crate) beside: Beside,
}

/// Receives many messages at a call.
pub(crate) struct Receiving {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<Control>,
}

impl Receiving {
    /// Makes what receives up to `count` messages at once.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            headers: vec![no_header(); count],
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; count],
            names: vec![Name::empty(); count],
            controls: vec![Control::empty(); count],
        }
    }

    /// Receives messages into rooms, without waiting; returns how many there were.
    pub(crate) fn receive<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        rooms: impl Iterator<Item = &'a mut [u8]>,
        flags: i32,
    ) -> io::Result<usize> {
        let mut count = 0;
        let beside = self.vectors.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        for ((header, room), ((vector, name), control)) in self.headers.iter_mut().zip(rooms).zip(beside) {
            *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = Name::LEN as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = ptr::from_mut(control).cast();
            header.msg_hdr.msg_controllen = Control::LEN as _;
            count += 1;
        }
        let flags = (flags | libc::MSG_DONTWAIT) as _;
        // SAFETY: `count` headers were filled in above. Their rooms live as long as 'a, the rest as long as
        // `self`, and nothing else touches either during the call; every length is that of its buffer.
        let received = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, flags, ptr::null_mut())
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Returns what the last call received into the room at `index`.
    pub(crate) fn message(&self, index: usize) -> Received {
        let header = &self.headers[index];
        Received {
            len: header.msg_len as usize,
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            remote: self.names[index].read(header.msg_hdr.msg_namelen as usize),
            beside: self.controls[index].read(header.msg_hdr.msg_controllen as usize),
        }
    }
}

/// Sends many messages at a call.
pub(crate) struct Sending {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<Control>,
    merging: Merging,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How many packets.
    pub(crate) packets: usize,
    /// In how many messages.
    pub(crate) messages: usize,
}

/// The message that packets are added to.
#[derive(Clone, Copy, Debug, Default)]
struct Merging {
    segment: usize,
    segments: usize,
    octets: usize,
    is_closed: bool,
}

impl Sending {
    /// Makes what sends up to [`limits::SENDS`] messages at once.
    pub(crate) fn new() -> Self {
        Self {
            headers: Vec::with_capacity(limits::SENDS),
            vectors: Vec::with_capacity(limits::SEAL_SLOTS),
            names: vec![Name::empty(); limits::SENDS],
            controls: vec![Control::empty(); limits::SENDS],
            merging: Merging::default(),
        }
    }

    /// Sends packets in their order, without waiting; returns how many went, at least one. With
    /// `segmented`, neighbours of one envelope and length are one message that the kernel cuts.
    ///
    /// # Errors
    /// Why the first packet did not go.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        packets: impl Iterator<Item = (Envelope, &'a [u8])>,
        segmented: bool,
    ) -> io::Result<Sent> {
        self.headers.clear();
        self.vectors.clear();
        let mut last = None;
        for (envelope, octets) in packets {
            if self.vectors.len() == self.vectors.capacity() {
                break;
            }
            let joins = segmented && last == Some(envelope) && self.merging.admits(octets.len());
            if !joins && !self.begin(envelope) {
                break;
            }
            self.merging.add(octets.len());
            last = Some(envelope);
            self.vectors
                .push(libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() });
            if let Some(header) = self.headers.last_mut() {
                header.msg_hdr.msg_iovlen += 1;
                header.msg_len = self.merging.segment as u32;
            }
        }
        self.complete();
        // SAFETY: every header's name, ancillary data and vectors are of `self` and were completed above;
        // the vectors' octets live as long as 'a and are only read.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        let messages = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        let packets = self.headers[..messages].iter().map(|header| header.msg_hdr.msg_iovlen as usize).sum();
        Ok(Sent { packets, messages })
    }

    /// Tells how many packets the first message of the last call had.
    pub(crate) fn first_message(&self) -> usize {
        self.headers.first().map_or(0, |header| header.msg_hdr.msg_iovlen as usize)
    }

    /// Begins a message; tells whether there is room for one.
    fn begin(&mut self, envelope: Envelope) -> bool {
        let at = self.headers.len();
        let (Some(name), Some(control)) = (self.names.get_mut(at), self.controls.get_mut(at)) else {
            return false;
        };
        let mut header = no_header();
        header.msg_hdr.msg_namelen = name.write(envelope.remote) as libc::socklen_t;
        header.msg_hdr.msg_controllen = envelope.write(control) as _;
        self.headers.push(header);
        self.merging = Merging::default();
        true
    }

    /// Gives each message its pointers, now that nothing moves any more.
    fn complete(&mut self) {
        let mut from = 0;
        let rooms = self.names.iter_mut().zip(&mut self.controls);
        for (header, (name, control)) in self.headers.iter_mut().zip(rooms) {
            let message = &mut header.msg_hdr;
            let count = message.msg_iovlen as usize;
            if count > 1 {
                let segment = header.msg_len as u16;
                message.msg_controllen = control.write_segment(message.msg_controllen as usize, segment) as _;
            }
            message.msg_name = ptr::from_mut(name).cast();
            message.msg_control = ptr::from_mut(control).cast();
            message.msg_iov = self.vectors[from..].as_mut_ptr();
            from += count;
        }
    }
}

impl Merging {
    fn admits(&self, len: usize) -> bool {
        !self.is_closed
            && len <= self.segment
            && self.segments < limits::SEGMENTS
            && self.octets + len <= limits::SEGMENTS_OCTETS
    }

    fn add(&mut self, len: usize) {
        if self.segments == 0 {
            self.segment = len;
        }
        // Only the last segment may be shorter.
        self.is_closed = len != self.segment;
        self.segments += 1;
        self.octets += len;
    }
}

/// Sends one message of several parts, without waiting.
pub(crate) fn send_one(socket: BorrowedFd<'_>, envelope: Envelope, parts: [&[u8]; 2]) -> io::Result<()> {
    let (mut name, mut control) = (Name::empty(), Control::empty());
    let mut vectors =
        parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    let mut message = no_header().msg_hdr;
    message.msg_namelen = name.write(envelope.remote) as libc::socklen_t;
    message.msg_name = (&raw mut name).cast();
    let end = envelope.write(&mut control);
    if end > 0 {
        message.msg_controllen = end as _;
        message.msg_control = (&raw mut control).cast();
    }
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer is to a value of this frame or to `parts`, each with its own length.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn no_header() -> libc::mmsghdr {
    // SAFETY: integers and null pointers: no message, of no length.
    unsafe { std::mem::zeroed() }
}

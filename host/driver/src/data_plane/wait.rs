//! Waiting: for a descriptor, or for another thread (poll(2), eventfd(2)).
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Wakes a thread that waits.
#[derive(Debug)]
pub(crate) struct Wake(File);

impl Wake {
    /// Makes one that wakes nobody yet.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; a descriptor that is returned is ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// Wakes the thread, now or when it waits next.
    pub(crate) fn wake(&self) {
        // It fails only where the count is full, and then the thread wakes all the same.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Forgets what it was woken for.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Descriptors that are waited for together.
pub(crate) struct Waiting<'a> {
    polled: Vec<libc::pollfd>,
    /// They stay open for as long as they are waited for.
    _descriptors: std::marker::PhantomData<BorrowedFd<'a>>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Something to read.
    Input,
    /// Room to write.
    Room,
}

impl<'a> Waiting<'a> {
    /// Waits for these.
    pub(crate) fn new(descriptors: impl IntoIterator<Item = (BorrowedFd<'a>, For)>) -> Self {
        let events = |wanted| match wanted {
            For::Input => libc::POLLIN,
            For::Room => libc::POLLOUT,
        };
        let polled = descriptors.into_iter().map(|(descriptor, wanted)| libc::pollfd {
            fd: descriptor.as_raw_fd(),
            events: events(wanted),
            revents: 0,
        });
        Self { polled: polled.collect(), _descriptors: std::marker::PhantomData }
    }

    /// Waits until something is there, or the time is over.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        // Rounded up: who wakes too early waits again.
        let millis =
            limit.map_or(-1, |limit| i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        for polled in &mut self.polled {
            polled.revents = 0;
        }
        // SAFETY: the pointer and the count are of one vector.
        let ready =
            unsafe { libc::poll(self.polled.as_mut_ptr(), self.polled.len() as libc::nfds_t, millis) };
        if ready >= 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        }
    }

    /// Tells whether there is anything at all on the descriptor at `index`, be it an error.
    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.polled[index].revents != 0
    }

    /// Tells whether there is an error on the descriptor at `index`.
    pub(crate) fn has_error(&self, index: usize) -> bool {
        self.polled[index].revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_woken_before_it_waits_does_not_wait() {
        let wake = Wake::new().unwrap();
        let mut waiting = Waiting::new([(wake.as_fd(), For::Input)]);
        waiting.wait(Some(Duration::ZERO)).unwrap();
        assert!(!waiting.is_ready(0));
        wake.wake();
        wake.wake();
        waiting.wait(None).unwrap();
        assert!(waiting.is_ready(0) && !waiting.has_error(0));
        wake.clear();
        waiting.wait(Some(Duration::from_micros(1))).unwrap();
        assert!(!waiting.is_ready(0));
    }
}

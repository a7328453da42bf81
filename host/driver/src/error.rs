//! What can keep a host from running.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a host did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A UDP port is taken.
    #[error("UDP port {} on {} is in use; another IKE daemon may be running", .0.port(), .0.ip())]
    PortBusy(SocketAddr),
    /// A capability is missing.
    #[error("no permission to {action}: {capability} is needed")]
    Permission {
        /// What was tried.
        action: &'static str,
        /// What would permit it.
        capability: &'static str,
    },
    /// An interface of the TUN's name is there already and in use.
    #[error("interface {0} exists and is in use")]
    TunBusy(String),
    /// A file descriptor, a thread or a socket option could not be had.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{action}: {source}")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: rtnetlink::Error,
    },
    /// `nft` is not installed, and leak protection or masquerading needs it.
    #[error("the program nft is missing: install nftables, or set leak = \"allow\" and masquerade = false")]
    NftMissing,
    /// `nft` did not take the rules.
    #[error("nft refused the firewall rules: {0}")]
    Nft(String),
    /// A program of the machine failed.
    #[error("{program}: {message}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The first line of what it said.
        message: String,
    },
    /// Somebody else could change what is to survive a restart.
    #[error("{}: others can write there", .0.display())]
    StateExposed(PathBuf),
    /// Another daemon keeps there what is to survive its restart.
    #[error("{}: another daemon keeps its state there", .0.display())]
    StateBusy(PathBuf),
    /// What is to survive a restart could not be read or written.
    #[error("{action} {}: {source}", .path.display())]
    State {
        /// What was tried.
        action: &'static str,
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel did not answer in time.
    #[error("{0}: no answer in time")]
    Timeout(&'static str),
    /// A thread of the packet path ended.
    #[error("the packet path stopped: {0}")]
    DataPlane(String),
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}

impl DriverError {
    /// Makes an error of an I/O error: a missing permission is named by its capability.
    pub(crate) fn io(action: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Self::Permission { action, capability: "CAP_NET_ADMIN" };
        }
        Self::Io { action, source }
    }

    /// Makes an error of a refused netlink request.
    pub(crate) fn netlink(action: &'static str, source: rtnetlink::Error) -> Self {
        if let rtnetlink::Error::NetlinkError(message) = &source
            && message.to_io().kind() == io::ErrorKind::PermissionDenied
        {
            return Self::Permission { action, capability: "CAP_NET_ADMIN" };
        }
        Self::Netlink { action, source }
    }
}

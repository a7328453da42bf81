//! What becomes of packets outside of ESP: counted by cause, as inside.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares what is counted with its stable names.
macro_rules! tallies {
    ($($(#[$doc:meta])* $tally:ident = $name:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Tally { $($(#[$doc])* $tally,)* }

        impl Tally {
            /// Everything that is counted.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$tally,)*];

            /// Returns the name that `status` shows, which never changes.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$tally => $name,)* }
            }
        }
    };
}

tallies! {
    /// IKE datagrams that control was given.
    IkeIn = "ike_in";
    /// IKE datagrams and keepalives that were sent.
    IkeOut = "ike_out";
    /// NAT keepalives that came.
    Keepalive = "keepalives_in";
    /// ICMP errors about what was sent.
    IcmpIn = "icmp_errors_in";
    /// Times that a full socket was waited for.
    Wait = "send_waits";
    /// ESP packets that were larger than their path carries, and left to be cut.
    Cut = "esp_out_cut";
    /// Commands that the packet path refused.
    Refused = "commands_refused";
    /// IKE datagrams that control did not take in time.
    ControlFull = "drop_control_full";
    /// Datagrams for which the kernel had no room in a socket's queue.
    QueueFull = "drop_queue_full";
    /// Datagrams too short to be anything.
    Runt = "drop_runt";
    /// Datagrams larger than any that is taken.
    Oversize = "drop_oversize";
    /// Receiving failed; what the cause was is in the log.
    ReceiveFailed = "drop_receive_failed";
    /// The TUN took no packet: the interface is down.
    TunDown = "drop_tun_down";
    /// The TUN took no packet for another reason.
    TunFailed = "drop_tun_failed";
    /// No socket for the path's address.
    NoSocket = "drop_no_socket";
    /// No route to the peer.
    Unreachable = "drop_unreachable";
    /// The source address is not this machine's, or not any more.
    NoSource = "drop_no_source";
    /// The machine's own firewall forbids it.
    Forbidden = "drop_forbidden";
    /// The device's queue stayed full.
    Congested = "drop_congested";
    /// Larger than a datagram may be.
    SendTooBig = "drop_send_too_big";
    /// Sending failed for another reason.
    SendFailed = "drop_send_failed";
}

/// What was counted; any thread writes, everyone reads.
#[derive(Debug, Default)]
pub(crate) struct Tallies([AtomicU64; Tally::ALL.len()]);

impl Tallies {
    /// Counts.
    pub(crate) fn add(&self, tally: Tally, amount: usize) {
        self.0[tally as usize].fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Returns how many there were.
    pub(crate) fn count(&self, tally: Tally) -> u64 {
        self.0[tally as usize].load(Ordering::Relaxed)
    }

    /// Returns every counter with its name.
    pub(crate) fn snapshot(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        Tally::ALL.iter().map(|tally| (tally.name().to_owned(), self.count(*tally)))
    }
}

/// Returns what a failure to send is counted as.
pub(crate) fn of_send(error: &io::Error) -> Tally {
    match error.raw_os_error() {
        Some(
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::ECONNREFUSED,
        ) => Tally::Unreachable,
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENODEV) => Tally::NoSource,
        Some(libc::EPERM | libc::EACCES) => Tally::Forbidden,
        Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => Tally::Congested,
        Some(libc::EMSGSIZE) => Tally::SendTooBig,
        Some(_) | None => Tally::SendFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tally_has_a_counter_and_a_name_of_its_own() {
        let tallies = Tallies::default();
        for (index, tally) in Tally::ALL.iter().enumerate() {
            assert_eq!(*tally as usize, index);
            tallies.add(*tally, index);
            assert_eq!(tallies.count(*tally), index as u64);
        }
        let names = |mut names: Vec<String>| {
            names.sort();
            names.dedup();
            names.len()
        };
        let ours = tallies.snapshot().map(|(name, _)| name);
        let of_esp = vpnhost_ipsec::Counters::default().snapshot().into_iter().map(|(name, _)| name);
        let all: Vec<String> = ours.chain(of_esp).collect();
        assert_eq!(all.len(), names(all.clone()), "{all:?}");
    }
}

//! Liveness: an INFORMATIONAL without payloads, which whoever is there answers (RFC 7296 §1.4, §2.4), on the path in use
//! or on others.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{Now, Path};
use vpnhost_policy::PathCause;

use crate::exchange::{LocalExchange, PathExchange};
use crate::host::Host;
use crate::limits;
use crate::output::{Event, Hindrance};
use crate::sa::IkeSa;
use crate::sa::path_test::Aim;
use crate::sa::queue::{PathTask, Task};
use crate::wire::ExchangeType;

impl IkeSa {
    /// Has the peer asked whether it is there on the path between two addresses.
    pub(crate) fn order_test(&mut self, host: &mut Host, now: Now, ends: (IpAddr, IpAddr)) {
        match self.pair_between(ends) {
            Some(pair) => {
                let path = self.path_of(pair);
                self.order_liveness(host, now, Task::Path(PathTask::Test(path)));
            }
            None => self.tell_stays(host, "there is no such path"),
        }
    }

    /// Has the peer asked whether it is there, and who orders it told of the answer.
    pub(crate) fn order_liveness(&mut self, host: &mut Host, now: Now, task: Task) {
        if let Some(established) = self.established_mut() {
            established.tell_alive = true;
        }
        self.want(task);
        self.start_next(host, now);
    }

    /// Asks the peer whether it is there.
    ///
    /// Silence may have made a NAT forget this host. The peer does not follow a message that says nothing of addresses,
    /// so this one does (RFC 4555 §3.8). So it does, too, as long as no packet shows that the peer follows a move: its
    /// check of the address may have been lost.
    pub(crate) fn begin_liveness(&mut self, host: &mut Host, now: Now) {
        let ordered = self.established().is_some_and(|established| established.tell_alive);
        let unconfirmed = self.mobility().is_some_and(|mobility| mobility.unconfirmed);
        if (self.nat.local || unconfirmed) && !ordered && self.chooses_path() {
            return self.begin_update_addresses(host, now);
        }
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Liveness);
        }
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[]);
        self.settle(host, now, sent);
    }

    /// Asks the peer on a path that is not in use (RFC 4555 §3.10).
    pub(crate) fn begin_test_path(&mut self, host: &mut Host, now: Now, path: Path) {
        self.begin_test(host, now, PathExchange::Test(path), Aim::Other(path, limits::PATH_TEST_TRIES));
    }

    /// Asks the peer once on a path on which nothing depends.
    pub(crate) fn begin_introduction(&mut self, host: &mut Host, now: Now, path: Path) {
        self.begin_test(host, now, PathExchange::Introduce(path), Aim::Other(path, 1));
    }

    /// Notes how a path is that nobody needs yet.
    pub(crate) fn on_introduced(&mut self, now: Now, path: Path) {
        if self.test.is_answered(&path) {
            self.hope_for_introductions();
        } else {
            self.note_path_silence(now, &path);
            self.introduce_again(now, path.local.ip());
        }
    }

    /// Asks the peer on every path.
    pub(crate) fn begin_test_paths(&mut self, host: &mut Host, now: Now) {
        self.begin_test(host, now, PathExchange::TestAll, Aim::Everywhere);
    }

    fn begin_test(&mut self, host: &mut Host, now: Now, exchange: PathExchange, aim: Aim) {
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Path(Box::new(exchange)));
        }
        self.next_aim = aim;
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[]);
        self.settle(host, now, sent);
    }

    /// A path that is not in use was tested: it works if the answer came on it.
    pub(crate) fn on_path_tested(
        &mut self,
        host: &mut Host,
        now: Now,
        path: Path,
        round_trip: Option<Duration>,
    ) {
        let works = self.test.is_answered(&path);
        if !works {
            self.note_path_silence(now, &path);
        }
        let is_ordered = self.established_mut().is_some_and(|it| std::mem::take(&mut it.tell_alive));
        if is_ordered && works {
            host.event(Event::Alive { ike_sa: self.id, round_trip });
        } else if is_ordered {
            self.tell_hindrance(host, path, (Hindrance::Unanswered, ""));
        } else if !works {
            self.hinder(host, path, (Hindrance::Unanswered, ""));
        }
        self.consider_paths(host, now, PathCause::REVIEW);
    }

    /// The peer is there.
    pub(crate) fn on_liveness_response(&mut self, host: &mut Host, round_trip: Option<Duration>) {
        let ike_sa = self.id;
        let Some(established) = self.established_mut() else { return };
        tracing::debug!(%ike_sa, ?round_trip, "the peer is alive");
        if std::mem::take(&mut established.tell_alive) {
            host.event(Event::Alive { ike_sa, round_trip });
        }
    }
}

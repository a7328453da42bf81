//! How an IKE SA is kept alive and when it is rekeyed: numbers for the core's timers, never a tick.

use vpnhost_model::{Identity, LinkKind, Role};

use crate::{Attribute, Power};

/// Where an SA stands when the plan is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// The connection's name.
    pub connection: String,
    /// Why the question is asked.
    pub cause: SituationCause,
    /// This host's role in the IKE SA.
    pub role: Role,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// Whether this host is behind a NAT.
    pub local_behind_nat: bool,
    /// Whether the peer is behind a NAT.
    pub peer_behind_nat: bool,
    /// The labels of the peer's authorization.
    pub labels: Vec<Attribute>,
    /// The name of the interface in use; empty where it is not known.
    pub interface: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Whether traffic on it costs money.
    pub metered: bool,
    /// The round-trip time of the path in use, as far as it was measured.
    pub rtt_us: Option<u32>,
    /// The share of requests that were not answered there, in thousandths.
    pub loss_permille: Option<u16>,
    /// How often that path was gone or silent in the last hour.
    pub outages: u16,
    /// For how long of that hour.
    pub outage_ms: u32,
    /// What the machine runs on.
    pub power: Power,
    /// The longest silence after which an inbound packet still came through the NAT of this network.
    pub idle_proven_ms: Option<u32>,
    /// The shortest silence after which none did.
    pub idle_failed_ms: Option<u32>,
    /// What the configuration says.
    pub native: MaintenancePlan,
    /// What an answer must keep within.
    pub bounds: MaintenanceBounds,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// What made the host ask; a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SituationCause(pub u8);

impl SituationCause {
    /// A time that the last plan named, or an operator.
    pub const REVIEW: Self = Self(0);
    /// The SA was established.
    pub const ESTABLISHED: Self = Self(1);
    /// The IKE SA was rekeyed.
    pub const REKEYED: Self = Self(2);
    /// The SA moved to another path.
    pub const MOVED: Self = Self(3);
    /// What is known of the NAT changed.
    pub const MAPPING: Self = Self(4);
    /// The machine's addresses changed.
    pub const NETWORK: Self = Self(5);
    /// The round-trip time of the path in use is another than the last plan was made for.
    pub const MEASURED: Self = Self(6);
    /// The machine runs on something else.
    pub const POWER: Self = Self(7);

    /// Returns the cause's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::REVIEW => "review",
            Self::ESTABLISHED => "established",
            Self::REKEYED => "rekeyed",
            Self::MOVED => "moved",
            Self::MAPPING => "mapping",
            Self::NETWORK => "network",
            Self::MEASURED => "measured",
            Self::POWER => "power",
            _ => "other",
        }
    }
}

/// The numbers of the timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePlan {
    /// For how long what went out may stay unanswered until liveness is checked (RFC 7296 §2.4), and after how much
    /// silence a keepalive is such a check, then more and more rarely; 0 never. Who says nothing and hears nothing checks
    /// seldom.
    pub liveness_idle_ms: u32,
    /// Time between NAT keepalives (RFC 3948 §4); 0 none.
    pub keepalive_ms: u32,
    /// Outbound traffic and nothing inbound for so long: every path is probed; 0 never.
    pub suspect_ms: u32,
    /// Without any path for longer, the SA is not moved but negotiated anew.
    pub max_outage_secs: u32,
    /// Time to the first retransmission (RFC 7296 §2.1).
    pub retransmit_first_ms: u32,
    /// Growth from one retransmission to the next, in percent: 200 doubles.
    pub retransmit_factor_percent: u16,
    /// Retransmissions before the peer counts as dead.
    pub retransmit_tries: u16,
    /// Age at which the IKE SA is rekeyed; 0 never.
    pub rekey_ike_secs: u32,
    /// When the question is asked again; 0 never.
    pub review_after_secs: u32,
    /// The reason, for the operator.
    pub why: Option<String>,
}

/// What one number must keep within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// Whether zero, which switches the thing off, is allowed beside `min` to `max`.
    pub or_zero: bool,
}

impl Bounds {
    /// Returns the bounds from `min` to `max`.
    pub const fn new(min: u32, max: u32) -> Self {
        Self { min, max, or_zero: false }
    }

    /// Allows zero too.
    pub const fn or_zero(mut self) -> Self {
        self.or_zero = true;
        self
    }

    /// Tells whether a number is allowed.
    pub fn admit(&self, number: u32) -> bool {
        (self.min..=self.max).contains(&number) || (number == 0 && self.or_zero)
    }

    /// Returns the number that is allowed and nearest to another one.
    pub fn nearest(&self, number: u32) -> u32 {
        if self.admit(number) { number } else { number.max(self.min).min(self.max) }
    }

    /// Returns bounds that allow `number` too: what the operator configured is never off the menu.
    pub fn including(mut self, number: u32) -> Self {
        if number == 0 {
            self.or_zero = true;
        } else {
            self.min = self.min.min(number);
            self.max = self.max.max(number);
        }
        self
    }
}

/// What each number of a plan must keep within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceBounds {
    /// Of [`MaintenancePlan::liveness_idle_ms`].
    pub liveness_idle_ms: Bounds,
    /// Of [`MaintenancePlan::keepalive_ms`].
    pub keepalive_ms: Bounds,
    /// Of [`MaintenancePlan::suspect_ms`].
    pub suspect_ms: Bounds,
    /// Of [`MaintenancePlan::max_outage_secs`].
    pub max_outage_secs: Bounds,
    /// Of [`MaintenancePlan::retransmit_first_ms`].
    pub retransmit_first_ms: Bounds,
    /// Of [`MaintenancePlan::retransmit_factor_percent`].
    pub retransmit_factor_percent: Bounds,
    /// Of [`MaintenancePlan::retransmit_tries`].
    pub retransmit_tries: Bounds,
    /// Of [`MaintenancePlan::rekey_ike_secs`].
    pub rekey_ike_secs: Bounds,
    /// Of [`MaintenancePlan::review_after_secs`].
    pub review_after_secs: Bounds,
}

impl MaintenanceBounds {
    /// Bounds that harm neither the peer nor the SA. Rekeying may not be switched off; the host
    /// widens a bound with [`Bounds::including`] where the operator configured more.
    pub const SAFE: Self = Self {
        liveness_idle_ms: Bounds::new(2_000, 3_600_000).or_zero(),
        keepalive_ms: Bounds::new(5_000, 3_600_000).or_zero(),
        suspect_ms: Bounds::new(100, 60_000).or_zero(),
        max_outage_secs: Bounds::new(10, 604_800),
        retransmit_first_ms: Bounds::new(200, 10_000),
        retransmit_factor_percent: Bounds::new(100, 400),
        retransmit_tries: Bounds::new(1, 20),
        rekey_ike_secs: Bounds::new(300, 86_400),
        review_after_secs: Bounds::new(10, 86_400).or_zero(),
    };

    /// Returns these bounds, widened so that `native` lies within them.
    pub fn including(self, native: &MaintenancePlan) -> Self {
        Self {
            liveness_idle_ms: self.liveness_idle_ms.including(native.liveness_idle_ms),
            keepalive_ms: self.keepalive_ms.including(native.keepalive_ms),
            suspect_ms: self.suspect_ms.including(native.suspect_ms),
            max_outage_secs: self.max_outage_secs.including(native.max_outage_secs),
            retransmit_first_ms: self.retransmit_first_ms.including(native.retransmit_first_ms),
            retransmit_factor_percent: self
                .retransmit_factor_percent
                .including(native.retransmit_factor_percent.into()),
            retransmit_tries: self.retransmit_tries.including(native.retransmit_tries.into()),
            rekey_ike_secs: self.rekey_ike_secs.including(native.rekey_ike_secs),
            review_after_secs: self.review_after_secs.including(native.review_after_secs),
        }
    }
}

/// Tells whether every number of an answer lies within its bounds.
pub(crate) fn admits(bounds: &MaintenanceBounds, plan: &MaintenancePlan) -> bool {
    bounds.liveness_idle_ms.admit(plan.liveness_idle_ms)
        && bounds.keepalive_ms.admit(plan.keepalive_ms)
        && bounds.suspect_ms.admit(plan.suspect_ms)
        && bounds.max_outage_secs.admit(plan.max_outage_secs)
        && bounds.retransmit_first_ms.admit(plan.retransmit_first_ms)
        && bounds.retransmit_factor_percent.admit(plan.retransmit_factor_percent.into())
        && bounds.retransmit_tries.admit(plan.retransmit_tries.into())
        && bounds.rekey_ike_secs.admit(plan.rekey_ike_secs)
        && bounds.review_after_secs.admit(plan.review_after_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native() -> MaintenancePlan {
        MaintenancePlan {
            liveness_idle_ms: 30_000,
            keepalive_ms: 20_000,
            suspect_ms: 1_000,
            max_outage_secs: 28_800,
            retransmit_first_ms: 1_000,
            retransmit_factor_percent: 180,
            retransmit_tries: 6,
            rekey_ike_secs: 14_400,
            review_after_secs: 0,
            why: None,
        }
    }

    #[test]
    fn zero_is_allowed_only_where_the_bounds_say_so() {
        assert!(admits(&MaintenanceBounds::SAFE, &native()));
        assert!(admits(&MaintenanceBounds::SAFE, &MaintenancePlan { keepalive_ms: 0, ..native() }));
        assert!(!admits(&MaintenanceBounds::SAFE, &MaintenancePlan { keepalive_ms: 1, ..native() }));
        assert!(admits(&MaintenanceBounds::SAFE, &MaintenancePlan { suspect_ms: 0, ..native() }));
        assert!(!admits(&MaintenanceBounds::SAFE, &MaintenancePlan { suspect_ms: 99, ..native() }));
        assert!(!admits(&MaintenanceBounds::SAFE, &MaintenancePlan { max_outage_secs: 0, ..native() }));
        assert!(!admits(&MaintenanceBounds::SAFE, &MaintenancePlan { rekey_ike_secs: 0, ..native() }));
    }

    #[test]
    fn the_nearest_number_is_on_the_menu() {
        let bounds = Bounds::new(10, 20).or_zero();
        assert_eq!([0, 1, 10, 15, 99].map(|number| bounds.nearest(number)), [0, 10, 10, 15, 20]);
        assert_eq!(Bounds::new(10, 20).nearest(0), 10);
    }

    #[test]
    fn what_the_operator_configured_is_on_the_menu() {
        let odd = MaintenancePlan { rekey_ike_secs: 0, ..native() };
        assert!(!admits(&MaintenanceBounds::SAFE, &odd));
        assert!(admits(&MaintenanceBounds::SAFE.including(&odd), &odd));
    }
}

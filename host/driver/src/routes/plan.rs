//! What addresses, routes and rules there should be: a function of the settings and of what the tunnels need.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::TrafficSelector;

use super::{
    BLOCK_METRIC, BYPASS_PRIORITY, FULL_PRIORITY, Family, LOCAL_PRIORITY, METRIC, PROTECTED_PRIORITY, Place,
    Prefix, Purpose, Rule, Tables, Target, contains,
};
use crate::config::{ConnectionRouting, Leak};
use crate::machine::{MachineSettings, Protected};

const ESP: u8 = 50;
const UDP: u8 = 17;
/// The number of the kernel's main table.
const MAIN: u32 = 254;

/// What there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Virtual addresses, on the TUN.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Routes.
    pub(crate) routes: BTreeMap<Place, Target>,
    /// Rules.
    pub(crate) rules: BTreeSet<Rule>,
}

impl Plan {
    /// Makes the plan. `own` are the machine's addresses outside the TUN.
    pub(crate) fn new<'a>(
        settings: &MachineSettings,
        configured: impl Iterator<Item = &'a HostConfiguration>,
        own: &[IpAddr],
    ) -> Self {
        let mut draft = Draft {
            tables: Tables::of(&settings.tun_name),
            tun_index: settings.tun_index,
            plan: Self::default(),
            protects_v4: false,
        };
        for connection in &settings.connections {
            draft.connection(connection);
        }
        draft.pools(settings, own);
        for configuration in configured {
            draft.tunnel(configuration, settings, own);
        }
        for connection in &settings.connections {
            draft.exempt_local(connection);
        }
        draft.rules(settings.ports);
        draft.plan
    }

    /// Tells whether everything of a family is blocked or goes through a tunnel.
    pub(crate) fn is_full(&self) -> bool {
        self.routes.keys().any(|place| place.prefix.1 == 0)
    }

    /// Leaves out a family whose routes, or addresses and routes of the TUN, the kernel would not take.
    pub(crate) fn without(&mut self, family: Family, tun_only: bool) -> bool {
        let before = (self.addresses.len(), self.routes.len());
        self.addresses.retain(|address| Family::of(*address) != family);
        self.routes.retain(|place, target| {
            Family::of(place.prefix.0) != family || (tun_only && !matches!(target, Target::Interface { .. }))
        });
        if !tun_only {
            self.rules.retain(|rule| rule.family != family);
        }
        before != (self.addresses.len(), self.routes.len())
    }
}

impl MachineSettings {
    /// Returns what the operator wants of a connection's routing.
    pub(crate) fn routing(&self, connection: &str) -> ConnectionRouting {
        let found = self.connections.iter().find(|protected| protected.name == connection);
        found.map_or_else(ConnectionRouting::default, |protected| protected.routing)
    }

    /// Tells whether a prefix lies in a pool.
    pub(crate) fn is_pooled(&self, prefix: Prefix) -> bool {
        self.pools.iter().any(|pool| contains((pool.base, pool.prefix_len), prefix))
    }

    /// Tells whether any connection blocks leaks; without a connection, pools do.
    pub(crate) fn blocks(&self) -> bool {
        let block = |protected: &Protected| protected.routing.leak == Leak::Block;
        self.connections.is_empty() || self.connections.iter().any(block)
    }
}

struct Draft {
    tables: Tables,
    tun_index: u32,
    plan: Plan,
    /// Whether a peer's outside address may lie in a protected prefix of IPv4.
    protects_v4: bool,
}

impl Draft {
    /// What a connection protects is blocked whether its tunnel is up or not.
    fn connection(&mut self, connection: &Protected) {
        if connection.on_traffic {
            for prefix in &connection.remote {
                self.protects_v4 |= prefix.0.is_ipv4();
                self.add(*prefix, METRIC, self.to_tun(None));
            }
        }
        match connection.routing.leak {
            Leak::Block => {
                self.block_all(&connection.remote);
                self.block_other_family(&connection.remote, connection.routing);
            }
            Leak::Allow => {}
        }
    }

    fn pools(&mut self, settings: &MachineSettings, own: &[IpAddr]) {
        let local = settings.connections.iter().flat_map(|connection| connection.local.iter().copied());
        let local: Vec<TrafficSelector> =
            local.filter_map(|(base, length)| TrafficSelector::prefix(base, length)).collect();
        for pool in &settings.pools {
            let prefix = (pool.base, pool.prefix_len);
            self.add(prefix, METRIC, self.to_tun(own_source(own, &local, prefix)));
            if settings.blocks() {
                self.add(prefix, BLOCK_METRIC, Target::Unreachable);
            }
        }
    }

    fn tunnel(&mut self, configuration: &HostConfiguration, settings: &MachineSettings, own: &[IpAddr]) {
        let routing = settings.routing(&configuration.connection);
        let virtuals = configuration.addresses.iter().map(|(address, _)| *address);
        self.plan.addresses.extend(virtuals.clone());
        let mut remote: Vec<Prefix> =
            configuration.remote.iter().flat_map(TrafficSelector::prefixes).collect();
        // What lies in a pool is routed with it: thousands of clients need no route each.
        remote.retain(|prefix| !settings.is_pooled(*prefix));
        // What has no source address that the peer would take stays unreachable, which an application is told at once.
        remote.retain(|prefix| {
            configuration.local.iter().any(|ts| Family::of(ts.start) == Family::of(prefix.0))
        });
        for prefix in &remote {
            let source = virtuals.clone().find(|address| Family::of(*address) == Family::of(prefix.0));
            let source = source.or_else(|| own_source(own, &configuration.local, *prefix));
            self.protects_v4 |= prefix.0.is_ipv4();
            self.add(*prefix, METRIC, self.to_tun(source));
        }
        self.block_other_family(&remote, routing);
        match routing.leak {
            // A peer that has no prefix in the configuration is protected from when it is known.
            Leak::Block => self.block_all(&remote),
            Leak::Allow => {}
        }
    }

    /// Networks behind this host within a wider one behind the peer stay where they are.
    fn exempt_local(&mut self, connection: &Protected) {
        for local in &connection.local {
            let within = |place: &Place| {
                place.prefix.1 > 0 && place.prefix.1 < local.1 && contains(place.prefix, *local)
            };
            if self.plan.routes.keys().any(within) {
                let place = Place { table: self.tables.protected, prefix: *local, metric: METRIC };
                self.plan.routes.entry(place).or_insert(Target::Throw);
            }
        }
    }

    fn block_all(&mut self, prefixes: &[Prefix]) {
        for prefix in prefixes {
            self.protects_v4 |= prefix.0.is_ipv4();
            self.add(*prefix, BLOCK_METRIC, Target::Unreachable);
        }
    }

    fn block_other_family(&mut self, remote: &[Prefix], routing: ConnectionRouting) {
        let full = |family: Family| remote.contains(&family.everything());
        for family in Family::ALL {
            if full(family) && !full(family.other()) && !routing.allow_other_family {
                self.block_all(&[family.other().everything()]);
            }
        }
    }

    fn add(&mut self, prefix: Prefix, metric: u32, target: Target) {
        let place = Place { table: self.tables.table_of(prefix), prefix, metric };
        self.plan.routes.insert(place, target);
    }

    fn to_tun(&self, source: Option<IpAddr>) -> Target {
        Target::Interface { index: self.tun_index, source }
    }

    fn rules(&mut self, ports: [u16; 2]) {
        for family in Family::ALL {
            let uses = |table: u32| {
                let fits = |place: &Place| place.table == table && Family::of(place.prefix.0) == family;
                self.plan.routes.keys().any(fits)
            };
            let (protected, full) = (uses(self.tables.protected), uses(self.tables.full));
            let mut rule = |priority, table, purpose| {
                self.plan.rules.insert(Rule { family, priority, table, purpose });
            };
            if protected {
                rule(PROTECTED_PRIORITY, self.tables.protected, Purpose::Unmarked);
            }
            if full {
                rule(LOCAL_PRIORITY, MAIN, Purpose::Local);
                rule(FULL_PRIORITY, self.tables.full, Purpose::Unmarked);
            }
            // Only IPv4 has a reverse path filter that asks the routes; it would drop the peer's replies.
            if family == Family::V4 && self.protects_v4 {
                for port in ports.into_iter().filter(|port| *port != 0) {
                    rule(BYPASS_PRIORITY, MAIN, Purpose::Own { protocol: UDP, port: Some(port) });
                }
                rule(BYPASS_PRIORITY, MAIN, Purpose::Own { protocol: ESP, port: None });
                rule(BYPASS_PRIORITY, MAIN, Purpose::Dissect);
            }
        }
    }
}

/// Returns an address of the machine that the tunnel would take as source of packets to a prefix.
fn own_source(own: &[IpAddr], local: &[TrafficSelector], to: Prefix) -> Option<IpAddr> {
    let fits = |address: &&IpAddr| {
        Family::of(**address) == Family::of(to.0) && local.iter().any(|ts| ts.contains_address(**address))
    };
    own.iter().find(fits).copied()
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{IkeSaId, Role};

    use super::*;
    use crate::config::{DnsMode, PoolRouting};

    fn prefix(text: &str) -> Prefix {
        let (base, length) = text.split_once('/').unwrap();
        (base.parse().unwrap(), length.parse().unwrap())
    }

    fn settings(remote: &[&str], routing: ConnectionRouting) -> MachineSettings {
        MachineSettings {
            tun_name: "vpn0".to_owned(),
            tun_index: 7,
            mtu: 1400,
            dns: DnsMode::Off,
            connections: vec![Protected {
                name: "corp".to_owned(),
                remote: remote.iter().map(|text| prefix(text)).collect(),
                local: Vec::new(),
                on_traffic: false,
                routing,
            }],
            pools: Vec::new(),
            ports: [500, 4500],
            idle_port: None,
        }
    }

    fn tunnel(addresses: &[&str], local: &[&str], remote: &[&str]) -> HostConfiguration {
        let selectors = |texts: &[&str]| -> Vec<TrafficSelector> {
            texts
                .iter()
                .map(|text| TrafficSelector::prefix(prefix(text).0, prefix(text).1).unwrap())
                .collect()
        };
        HostConfiguration {
            ike_sa: IkeSaId(1),
            connection: "corp".to_owned(),
            role: Role::Initiator,
            addresses: addresses.iter().map(|text| prefix(text)).collect(),
            dns: Vec::new(),
            peer_addresses: Vec::new(),
            remote: selectors(remote),
            local: selectors(local),
        }
    }

    fn target(plan: &Plan, at: &str, metric: u32) -> Option<Target> {
        let table = Tables::of("vpn0").table_of(prefix(at));
        plan.routes.get(&Place { table, prefix: prefix(at), metric }).copied()
    }

    #[test]
    fn what_no_selector_gives_a_source_for_stays_unreachable() {
        let settings = settings(&["0.0.0.0/0", "::/0"], ConnectionRouting::default());
        let tunnel = tunnel(&["10.30.0.1/32"], &["10.30.0.1/32"], &["0.0.0.0/0", "::/0"]);
        let plan = Plan::new(&settings, [&tunnel].into_iter(), &[]);
        let source = Some("10.30.0.1".parse().unwrap());
        assert_eq!(target(&plan, "0.0.0.0/0", METRIC), Some(Target::Interface { index: 7, source }));
        assert_eq!(target(&plan, "::/0", METRIC), None);
        assert_eq!(target(&plan, "::/0", BLOCK_METRIC), Some(Target::Unreachable));
    }

    #[test]
    fn what_waits_for_traffic_gets_it_also_while_there_is_no_tunnel() {
        let mut settings = settings(&["10.20.0.0/24"], ConnectionRouting::default());
        settings.connections[0].on_traffic = true;
        let plan = Plan::new(&settings, std::iter::empty(), &[]);
        assert_eq!(target(&plan, "10.20.0.0/24", METRIC), Some(Target::Interface { index: 7, source: None }));
        assert_eq!(target(&plan, "10.20.0.0/24", BLOCK_METRIC), Some(Target::Unreachable));
        let tunnel = tunnel(&["10.30.0.1/32"], &["10.30.0.1/32"], &["10.20.0.0/24"]);
        let plan = Plan::new(&settings, [&tunnel].into_iter(), &[]);
        let source = Some("10.30.0.1".parse().unwrap());
        assert_eq!(target(&plan, "10.20.0.0/24", METRIC), Some(Target::Interface { index: 7, source }));
    }

    #[test]
    fn a_gateway_narrows_and_the_rest_stays_unreachable() {
        let settings = settings(&["10.0.0.0/8"], ConnectionRouting::default());
        let tunnel = tunnel(&["10.30.0.1/32"], &["10.30.0.1/32"], &["10.20.0.0/24"]);
        let plan = Plan::new(&settings, [&tunnel].into_iter(), &[]);
        assert!(target(&plan, "10.20.0.0/24", METRIC).is_some());
        assert_eq!(target(&plan, "10.0.0.0/8", METRIC), None);
        assert_eq!(target(&plan, "10.0.0.0/8", BLOCK_METRIC), Some(Target::Unreachable));
    }

    #[test]
    fn without_a_virtual_address_the_source_is_one_of_the_machine_within_the_selectors() {
        let settings = settings(&["10.20.0.0/24"], ConnectionRouting::default());
        let tunnel = tunnel(&[], &["10.1.0.0/16"], &["10.20.0.0/24"]);
        let own: Vec<IpAddr> =
            ["fd10::1", "192.0.2.1", "10.1.0.1"].map(|text| text.parse().unwrap()).to_vec();
        let plan = Plan::new(&settings, [&tunnel].into_iter(), &own);
        let source = Some("10.1.0.1".parse().unwrap());
        assert_eq!(target(&plan, "10.20.0.0/24", METRIC), Some(Target::Interface { index: 7, source }));
    }

    #[test]
    fn where_leaks_are_allowed_the_other_family_is_blocked_only_while_the_tunnel_is_up() {
        let routing = ConnectionRouting { leak: Leak::Allow, allow_other_family: false };
        let settings = settings(&["0.0.0.0/0"], routing);
        assert_eq!(Plan::new(&settings, std::iter::empty(), &[]), Plan::default());
        let tunnel = tunnel(&["10.30.0.1/32"], &["10.30.0.1/32"], &["0.0.0.0/0"]);
        let plan = Plan::new(&settings, [&tunnel].into_iter(), &[]);
        assert_eq!(target(&plan, "::/0", BLOCK_METRIC), Some(Target::Unreachable));
        assert_eq!(target(&plan, "0.0.0.0/0", BLOCK_METRIC), None);
    }

    #[test]
    fn a_gateway_that_only_has_pools_needs_no_look_into_its_packets() {
        let mut settings = settings(&[], ConnectionRouting::default());
        settings.pools =
            vec![PoolRouting { base: "10.30.0.0".parse().unwrap(), prefix_len: 24, masquerade: false }];
        let plan = Plan::new(&settings, std::iter::empty(), &[]);
        assert_eq!(plan.rules.len(), 1);
        assert_eq!(plan.rules.first().map(|rule| rule.purpose), Some(Purpose::Unmarked));
    }

    #[test]
    fn clients_of_a_pool_are_routed_with_it_and_others_by_themselves() {
        let mut settings = settings(&[], ConnectionRouting::default());
        settings.pools =
            vec![PoolRouting { base: "10.30.0.0".parse().unwrap(), prefix_len: 16, masquerade: false }];
        let pooled = tunnel(&[], &["10.20.0.0/24"], &["10.30.7.9/32"]);
        let alone = Plan::new(&settings, std::iter::empty(), &[]);
        assert_eq!(Plan::new(&settings, std::iter::once(&pooled), &[]), alone);
        let other = tunnel(&[], &["10.20.0.0/24"], &["10.31.0.9/32"]);
        assert_ne!(Plan::new(&settings, std::iter::once(&other), &[]), alone);
    }
}

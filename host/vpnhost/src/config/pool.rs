//! `[[pool]]`: addresses that a gateway gives out.

use vpnhost_driver::PoolRouting;
use vpnhost_ike::config::PoolConfig;
use vpnhost_model::TrafficSelector;

use super::Pool;
use super::document::Section;
use super::value::{self, Wrong};

/// Reads every `[[pool]]`.
pub(super) fn read(whole: &Section<'_>) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    for section in whole.sections("pool") {
        let pool = one(&section);
        section.finish();
        let Some(pool) = pool else { continue };
        if pools.iter().any(|other| other.config.name == pool.config.name) {
            section.report("name", Wrong::new(format!("another pool is named \"{}\"", pool.config.name)));
        }
        if let Some(other) = pools.iter().find(|other| range(other).intersection(&range(&pool)).is_some()) {
            let name = &other.config.name;
            section.report("addresses", Wrong::new(format!("overlaps the pool \"{name}\"")));
        }
        pools.push(pool);
    }
    pools
}

fn one(section: &Section<'_>) -> Option<Pool> {
    let name = section.required("name", "\"road\"").and_then(|item| item.read(value::name));
    let addresses = section.required("addresses", "\"10.99.0.0/24\"");
    let prefix = addresses.as_ref().and_then(|item| item.read(value::prefix));
    if let (Some(item), Some((base, length))) = (&addresses, prefix)
        && let Some(range) = TrafficSelector::prefix(base, length)
        && range.start != base
    {
        item.error(
            Wrong::new(format!("{base} is within a prefix, not its begin"))
                .hint(format!("write \"{range}\"")),
        );
    }
    // RFC 3021 has no network address in such a prefix: both ends of it are given out, and no more.
    if let (Some(item), Some((base, length))) = (&addresses, prefix)
        && (if base.is_ipv4() { 31..=32 } else { 127..=128 }).contains(&length)
    {
        let few = if length % 2 == 0 { "one address" } else { "two addresses" };
        let wrong = Wrong::new(format!("has {few}: who comes then gets none"));
        item.warn(wrong.hint("a prefix for all who come at once, such as \"10.99.0.0/24\""));
    }
    let dns = section.each("dns", |item, text| item.take(value::address(text))).unwrap_or_default();
    let masquerade = section.flag("masquerade", false);
    let (base, prefix_len) = prefix?;
    Some(Pool {
        config: PoolConfig { name: name?, base, prefix_len, dns },
        routing: PoolRouting { base, prefix_len, masquerade },
    })
}

fn range(pool: &Pool) -> TrafficSelector {
    let whole = TrafficSelector::prefix(pool.config.base, pool.config.prefix_len);
    whole.unwrap_or_else(|| TrafficSelector::host(pool.config.base))
}

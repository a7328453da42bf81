//! `vpnhost cleanup`: takes away what killed daemons left, without a configuration.
//!
//! A daemon lives as long as its TUN: the kernel removes that with the process. So the routing tables and the firewall
//! table of a TUN name of which there is no interface belong to nobody.

use std::collections::BTreeSet;

use crate::error::DriverError;
use crate::machine::{Turn, bounded};
use crate::routes::Tables;
use crate::routes::kernel::Kernel;
use crate::{dns, firewall};

/// Takes away what killed daemons left, never what belongs to a live one, and tells in sentences what it was.
///
/// # Errors
/// Says what could not be taken away.
pub async fn cleanup() -> Result<Vec<String>, DriverError> {
    let _turn = Turn::wait().await;
    let kernel = Kernel::connect()?;
    let links = bounded("list the interfaces", kernel.link_names()).await?;
    let alive: BTreeSet<Tables> = links.iter().map(|name| Tables::of(name)).collect();
    let mut done = Vec::new();
    let left = bounded("list the routes", kernel.installed()).await?.of(|owner| !alive.contains(&owner));
    let remove = async {
        for rule in &left.rules {
            kernel.remove_rule(*rule).await?;
        }
        for (place, target) in &left.routes {
            kernel.remove_route(*place, *target).await?;
        }
        Ok(())
    };
    bounded("remove routes", remove).await?;
    tell(&mut done, left.rules.len(), "policy rule");
    tell(&mut done, left.routes.len(), "route");
    for tun in firewall::found().await?.into_iter().filter(|tun| !links.contains(tun)) {
        firewall::remove(&tun).await?;
        done.push(format!("removed the firewall table of {tun}"));
    }
    for tun in dns::take_back(|tun| !links.contains(tun)).await? {
        done.push(format!("took back the DNS servers of {tun}"));
    }
    Ok(done)
}

fn tell(done: &mut Vec<String>, count: usize, what: &str) {
    match count {
        0 => {}
        1 => done.push(format!("removed 1 {what}")),
        _ => done.push(format!("removed {count} {what}s")),
    }
}

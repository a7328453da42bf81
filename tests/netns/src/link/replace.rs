//! What has to be the same when a wire takes the place of another link: MTU, addresses and routes of its ends.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::wire::End;
use crate::command::run;

/// What an interface had.
#[derive(Debug, PartialEq)]
pub(super) struct Interface {
    space: String,
    name: String,
    mtu: String,
    addresses: Vec<String>,
    routes: [Vec<String>; 2],
}

impl Interface {
    /// Reads what an interface has.
    pub(super) fn read((space, name): End<'_>) -> Result<Self> {
        let ip = |words: &str| ip(space, &format!("{words} dev {name}"));
        let link = ip("-o link show")?;
        Ok(Self {
            space: space.to_owned(),
            name: name.to_owned(),
            mtu: after(&link, "mtu").with_context(|| format!("no MTU of {name}: {link}"))?,
            addresses: addresses(&ip("-o addr show scope global")?),
            routes: [routes(&ip("-4 route show")?), routes(&ip("-6 route show")?)],
        })
    }

    /// Takes the interface away, unless it went with its peer.
    pub(super) fn remove(&self) -> Result<()> {
        if ip(&self.space, &format!("link show dev {}", self.name)).is_err() {
            return Ok(());
        }
        ip(&self.space, &format!("link del {}", self.name)).map(drop)
    }

    /// Gives an interface of the same name what this one had.
    pub(super) fn restore(&self) -> Result<()> {
        let Self { space, name, mtu, .. } = self;
        ip(space, &format!("link set {name} mtu {mtu}"))?;
        for address in &self.addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(space, &format!("addr add {address} dev {name} {nodad}"))?;
        }
        for (family, routes) in ["-4", "-6"].into_iter().zip(&self.routes) {
            for route in routes {
                ip(space, &format!("{family} route add {route} dev {name}"))?;
            }
        }
        Ok(())
    }
}

fn ip(space: &str, words: &str) -> Result<String> {
    run(Command::new("ip").args(["-n", space]).args(words.split_whitespace()))
}

fn after(text: &str, key: &str) -> Option<String> {
    let mut words = text.split_whitespace().skip_while(|word| *word != key);
    words.nth(1).map(str::to_owned)
}

/// Returns the addresses with their prefix lengths: the fourth word of each line.
fn addresses(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

/// Returns the routes that do not come with an address by themselves, without what is only a state.
fn routes(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("proto kernel"));
    lines.map(|line| line.replace("linkdown", "").trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_routes_are_read_as_ip_prints_them() {
        let text = "2: eth0    inet 10.1.0.10/24 scope global eth0\\       valid_lft forever preferred_lft forever\n\
                    2: eth0    inet6 fd01::10/64 scope global nodad \\       valid_lft forever\n";
        assert_eq!(addresses(text), ["10.1.0.10/24", "fd01::10/64"]);
        let text =
            "default via 10.1.0.1 metric 100 linkdown \n10.1.0.0/24 proto kernel scope link src 10.1.0.10 \n";
        assert_eq!(routes(text), ["default via 10.1.0.1 metric 100"]);
        let text = "2: eth0@if3: <BROADCAST,UP> mtu 1400 qdisc noqueue state UP mode DEFAULT";
        assert_eq!(after(text, "mtu").as_deref(), Some("1400"));
    }
}

//! `[host]`, `[crypto]` and `[floor]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use toml::de::DeValue;
use vpnhost_driver::{DnsMode, TunSettings};
use vpnhost_ike::config::EndpointConfig;
use vpnhost_plugin_host::PluginKey;

use super::document::Section;
use super::item::Item;
use super::secret::Directories;
use super::value::{self, Wrong};
use super::{DecisionSettings, HostSettings, document};
use crate::{backends, cli, limits};

/// Reads `[host]`.
pub(super) fn read(section: &Section<'_>, directories: &Directories) -> HostSettings {
    let file = |key: &'static str| section.text(key).map(|path| directories.resolve(path));
    let native = EndpointConfig::default();
    let settings = HostSettings {
        listen: listen(section),
        ports: ports(section).unwrap_or(native.ports),
        control: control(section, file("control")),
        tun: tun(&section.section("tun")),
        dns: section.word(
            "dns",
            &[
                ("auto", DnsMode::Auto),
                ("resolved", DnsMode::Resolved),
                ("resolvconf", DnsMode::Resolvconf),
                ("off", DnsMode::Off),
            ],
            DnsMode::Auto,
        ),
        answer_deadline: section.duration("answer_deadline", limits::ANSWER_DEADLINE, native.answer_deadline),
        fragment_size: fragment_size(section, native.fragment_size),
        crash_detection: section.flag("crash_detection", native.crash_detection),
        keylog: file("keylog"),
        decisions: decisions(section, directories),
        state: file("state").unwrap_or_else(|| PathBuf::from(cli::STATE)),
        plugin_keys: section
            .each("plugin_keys", |item, text| plugin_key(item, text, directories))
            .unwrap_or_default(),
    };
    if let Some(item) = section.item("keylog") {
        item.warn(
            Wrong::new("keys are written to files: whoever reads them reads the traffic")
                .hint("only for debugging; leave it out otherwise"),
        );
    }
    section.finish();
    settings
}

/// Reads the file that decisions are written to: its name, or a table with what it may take.
fn decisions(section: &Section<'_>, directories: &Directories) -> Option<DecisionSettings> {
    let item = section.item("decisions")?;
    if let DeValue::String(file) = item.value() {
        return Some(DecisionSettings::new(directories.resolve(file)));
    }
    let DeValue::Table(_) = item.value() else {
        item.error(Wrong::new("must be a file's name, or a table with one").hint(
            "write \"/var/log/vpnhost/decisions.jsonl\" or { file = \"…\", size = \"16MiB\", files = 4 }",
        ));
        return None;
    };
    let section = item.section()?;
    let file = section.required("file", "\"/var/log/vpnhost/decisions.jsonl\"").and_then(|item| item.text());
    let native = DecisionSettings::new(directories.resolve(file.unwrap_or_default()));
    let size = section.item("size").and_then(|item| item.size(limits::DECISIONS_SIZE));
    let count = i64::try_from(native.files).unwrap_or(i64::MAX);
    let files = section.integer("files", limits::DECISIONS_COUNT, count);
    let settings = DecisionSettings {
        size: size.unwrap_or(native.size),
        files: usize::try_from(files).unwrap_or(native.files),
        ..native
    };
    section.finish();
    file.map(|_| settings)
}

/// Reads a public key of minisign, or the file that holds one.
fn plugin_key(item: &Item<'_>, text: &str, directories: &Directories) -> Option<PluginKey> {
    if let Some(key) = PluginKey::parse(text) {
        return Some(key);
    }
    let file = directories.resolve(text);
    let hint =
        "minisign -G makes a key; its public half is 56 characters that begin with RW, or a file with them";
    let held = match super::read_text(&file) {
        Ok(held) => held,
        Err(what) => {
            let shown = file.display();
            item.error(
                Wrong::new(format!("is no public key of minisign, and the file {shown} {what}")).hint(hint),
            );
            return None;
        }
    };
    let key = PluginKey::parse(&held);
    if key.is_none() {
        item.error(Wrong::new(format!("{} holds no public key of minisign", file.display())).hint(hint));
    }
    key
}

fn control(section: &Section<'_>, path: Option<PathBuf>) -> PathBuf {
    let path = path.unwrap_or_else(|| PathBuf::from(cli::CONTROL));
    let octets = path.as_os_str().len();
    if octets > limits::SOCKET_OCTETS
        && let Some(item) = section.item("control")
    {
        let most = limits::SOCKET_OCTETS;
        item.error(Wrong::new(format!("a socket's path has at most {most} octets, this one has {octets}")));
    }
    path
}

fn fragment_size(section: &Section<'_>, native: u16) -> u16 {
    let octets = section.integer("fragment_size", limits::FRAGMENT_SIZE, i64::from(native));
    u16::try_from(octets).unwrap_or(native)
}

fn listen(section: &Section<'_>) -> Vec<IpAddr> {
    let Some(item) = section.item("listen") else {
        return vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    };
    let mut addresses = Vec::new();
    for item in item.list() {
        let Some(address) = item.read(value::address) else { continue };
        if addresses.contains(&address) {
            item.error(Wrong::new(format!("{address} stands here twice")));
        } else if address.is_multicast() {
            item.error(Wrong::new(format!("{address} is a group's address; nobody can listen there alone")));
        }
        addresses.push(address);
    }
    if item.list().is_empty() {
        item.error(
            Wrong::new("is empty: nothing would be heard").hint("write listen = [\"0.0.0.0\", \"::\"]"),
        );
    }
    addresses
}

fn ports(section: &Section<'_>) -> Option<[u16; 2]> {
    let item = section.item("ports")?;
    let numbers: Vec<u16> = item
        .list()
        .iter()
        .filter_map(|item| item.integer(1..=i64::from(u16::MAX)))
        .filter_map(|number| u16::try_from(number).ok())
        .collect();
    match numbers[..] {
        [ike, nat] if ike != nat => return Some([ike, nat]),
        [_, _] => item.error(Wrong::new("both are the same").hint("write ports = [500, 4500]")),
        _ if numbers.len() == item.list().len() => {
            item.error(
                Wrong::new("must be two: IKE's, and NAT traversal's").hint("write ports = [500, 4500]"),
            );
        }
        _ => {}
    }
    None
}

fn tun(section: &Section<'_>) -> TunSettings {
    let native = TunSettings::default();
    let mtu = section.integer("mtu", limits::MTU, i64::from(native.mtu));
    let settings = TunSettings {
        name: section.read("name", value::interface).unwrap_or(native.name),
        mtu: u16::try_from(mtu).unwrap_or(native.mtu),
    };
    if let Some(item) = section.item("queues")
        && item.integer(1..=64).is_some_and(|queues| queues != 1)
    {
        item.warn(Wrong::new("has no effect in this version: there is one queue"));
    }
    section.finish();
    settings
}

/// Reads `[crypto]`: the backends' names, each known.
pub(super) fn backends(section: &Section<'_>) -> Vec<String> {
    let known = |item: &Item<'_>, name: &str| match backends::check_name(name) {
        Ok(()) => Some(name.to_owned()),
        Err(unknown) => {
            item.error(Wrong { what: unknown.what(), hint: unknown.hint() });
            None
        }
    };
    let named = section.each("backends", known);
    if let (Some(item), Some([])) = (section.item("backends"), named.as_deref())
        && item.list().is_empty()
    {
        item.error(
            Wrong::new("is empty: nothing could be encrypted").hint("write backends = [\"rustcrypto\"]"),
        );
    }
    section.finish();
    named.unwrap_or_else(|| backends::NAMES.iter().map(|name| (*name).to_owned()).collect())
}

/// Reads `[floor]`, or the file that it names; returns `allow_legacy`.
pub(super) fn floor(section: &Section<'_>, directories: &Directories) -> bool {
    let own = section.item("allow_legacy").and_then(|item| item.flag());
    let from_file = section.item("file").and_then(|item| {
        let path = directories.resolve(item.text()?);
        let text = item.take(super::read_text(&path).map_err(Wrong::new))?;
        if own.is_some() {
            item.error(
                Wrong::new("the floor is said twice: here and in that file").hint("keep one of the two"),
            );
        }
        let source = document::Source::new(&path, &text);
        let table = source.parse();
        let allow = table.as_ref().map(|table| {
            let whole = Section::whole(&source, table);
            let allow = whole.flag("allow_legacy", false);
            whole.finish();
            allow
        });
        source.into_problems().into_iter().for_each(|problem| item.tell(problem));
        allow
    });
    section.finish();
    own.or(from_file).unwrap_or(false)
}

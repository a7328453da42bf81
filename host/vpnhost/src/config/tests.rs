//! Every failure's text, every default, and the files that the repository shows.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use vpnhost_driver::{DnsMode, Leak};
use vpnhost_ike::config::{PeerIdentity, RequestAddress, SelectorConfig, Start};
use vpnhost_model::Identity;
use vpnhost_plugin_host::{SettingValue, TableKeys};

use super::problem::Severity;
use super::*;
use crate::exit::Failure;

mod certificates;
mod eap;
#[path = "../../../pki/tests/rules/maker.rs"]
#[allow(dead_code, reason = "other tests make more of it")]
mod maker;
mod raw_keys;
mod warnings;
mod wrong;

/// A directory with secrets.
struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { dir: tempfile::tempdir().unwrap() };
        ground.secret("a.psk", "a secret that is long enough\n");
        ground
    }

    fn secret(&self, name: &str, text: &str) {
        self.file(name, text, 0o600);
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn directories(&self) -> Directories {
        Directories { base: self.dir.path().to_owned(), credentials: None }
    }

    fn read(&self, text: &str) -> Result<Configuration, Problems> {
        read(Path::new("vpnhost.toml"), text, &self.directories())
    }

    /// Reads a file that is good and returns it.
    fn good(&self, text: &str) -> Configuration {
        self.read(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }
}

/// A connection that is good, with further lines for it and for its child.
fn connection(more: &str, child: &str) -> String {
    format!(
        "[[connection]]\nname = \"corp\"\ngateway = [\"192.0.2.1\"]\n\
         local = {{ id = \"carol@example.org\", psk_file = \"a.psk\" }}\n\
         peer = {{ id = \"moon.example.org\", psk_file = \"a.psk\" }}\n{more}\n\
         [[connection.child]]\nname = \"net\"\nremote_ts = [\"10.20.0.0/24\"]\n{child}\n"
    )
}

#[test]
fn a_log_of_decisions_is_a_file_or_a_table_with_what_it_may_take() {
    let read = |value: &str| {
        let text = format!("[host]\ndecisions = {value}\n{}", connection("", ""));
        Ground::new().good(&text).host.decisions.unwrap()
    };
    let settings = read("{ file = \"/d\", size = \"1MiB\", files = 9 }");
    assert_eq!(settings, DecisionSettings { file: "/d".into(), size: 1 << 20, files: 9 });
    assert_eq!(read("{ file = \"/d\" }"), read("\"/d\""));
}

#[test]
fn a_short_file_has_the_contracts_defaults() {
    let configuration = Ground::new().good(&connection("", ""));
    let host = &configuration.host;
    assert_eq!(host.listen.len(), 2);
    assert_eq!(host.ports, [500, 4500]);
    assert_eq!(host.control, Path::new("/run/vpnhost/control.sock"));
    assert_eq!((host.tun.name.as_str(), host.tun.mtu, host.dns), ("vpn0", 1400, DnsMode::Auto));
    assert_eq!(host.answer_deadline, Duration::from_millis(200));
    assert_eq!(host.fragment_size, 1280);
    assert_eq!((&host.keylog, &host.decisions), (&None, &None));
    assert_eq!(configuration.backends, crate::backends::NAMES);
    assert!(!configuration.allow_legacy && configuration.warnings.is_empty());
    let connection = &configuration.connections[0];
    let peer = &connection.peer;
    assert_eq!((peer.initiate, peer.respond, peer.start), (true, false, Start::Up));
    assert_eq!(connection.gateways, [GatewayName { host: "192.0.2.1".into(), port: 500 }]);
    assert_eq!(connection.routing.leak, Leak::Block);
    assert_eq!(peer.local_id, Identity::Email("carol@example.org".into()));
    assert_eq!(peer.peer_id, PeerIdentity::Is(Identity::Fqdn("moon.example.org".into())));
    assert_eq!(peer.secrets.by_peer.values().next().unwrap().expose(), b"a secret that is long enough");
    assert_eq!(peer.request_address, RequestAddress::default());
    assert_eq!(peer.timing, vpnhost_ike::config::Timing::default());
    assert_eq!(peer.ike.len(), 4);
    let child = &peer.children[0];
    assert_eq!(child.local, [SelectorConfig::Dynamic]);
    // Each with and without extended sequence numbers.
    assert_eq!(child.esp.len(), 6);
    assert_eq!((child.lifetime.rekey_after, child.replay_window), (Some(Duration::from_secs(3600)), 1024));
}

#[test]
fn what_becomes_of_an_ike_sa_without_a_child_is_a_word() {
    use vpnhost_ike::config::{ChildFailure, Childless};
    let ground = Ground::new();
    let peer = |text: &str| ground.good(text).connections[0].peer.clone();
    for (word, expected) in
        [("retry", ChildFailure::Retry), ("keep", ChildFailure::Keep), ("close", ChildFailure::Close)]
    {
        let text = connection(&format!("on_child_failed = \"{word}\""), "");
        assert_eq!(peer(&text).on_child_failed, expected);
    }
    for (word, expected) in [
        ("allow", Childless::Allow),
        ("prefer", Childless::Prefer),
        ("force", Childless::Force),
        ("never", Childless::Never),
    ] {
        assert_eq!(peer(&connection(&format!("childless = \"{word}\""), "")).childless, expected);
    }
    let bare = connection("childless = \"force\"", "");
    let bare = bare.split("[[connection.child]]").next().unwrap();
    assert!(peer(bare).children.is_empty(), "an IKE SA alone");
    let refused = ground.read(&bare.replace("force", "allow")).unwrap_err().to_string();
    assert!(refused.contains("childless = \"force\""), "{refused}");
}

#[test]
fn how_an_sa_moves_is_said_by_the_connection() {
    use vpnhost_ike::config::{EncapsulationPolicy, ReturnRoutability};
    let ground = Ground::new();
    let peer = |text: &str| ground.good(&connection(text, "")).connections[0].peer.clone();
    let silent = peer("");
    assert!(silent.mobike && silent.return_routability == ReturnRoutability::Before);
    assert_eq!(silent.timing.suspect, Duration::from_secs(1));
    assert_eq!(silent.timing.max_outage, Duration::from_secs(8 * 3600));
    assert!(!peer("mobike = false").mobike);
    for (word, expected) in [
        ("before", ReturnRoutability::Before),
        ("after", ReturnRoutability::After),
        ("never", ReturnRoutability::Never),
    ] {
        assert_eq!(peer(&format!("return_routability = \"{word}\"")).return_routability, expected);
    }
    for (word, expected) in [
        ("always", EncapsulationPolicy::Always),
        ("auto", EncapsulationPolicy::Auto),
        ("forbid-nat", EncapsulationPolicy::ForbidNat),
    ] {
        assert_eq!(peer(&format!("encapsulation = \"{word}\"")).encapsulation, expected);
    }
    let quick = peer("suspect = \"300ms\"\nmax_outage = \"10m\"").timing;
    assert_eq!((quick.suspect, quick.max_outage), (Duration::from_millis(300), Duration::from_secs(600)));
    assert!(peer("suspect = \"never\"").timing.suspect.is_zero());
}

#[test]
fn every_key_is_taken() {
    let ground = Ground::new();
    ground.file("floor.toml", "allow_legacy = true\n", 0o644);
    let key = "untrusted comment: ours\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    ground.file("p.pub", key, 0o644);
    let text = connection(
        "role = \"either\"\nike = \"3des-sha256-modp1024\"\nstart = \"on-traffic\"\nrequest_address = true\n\
         encapsulation = \"auto\"\nleak = \"allow\"\nother_family = \"allow\"\nrekey = \"never\"\ndpd = \"never\"\n\
         keepalive = \"30s\"\nmetered = [\"wwan0\"]\nroaming = [\"wwan1\"]\nretransmit = { first = \"500ms\", factor = 2, tries = 3 }\n\
         pools = [\"road\"]\n",
        "local_ts = \"10.1.0.0/16[tcp/80]\"\nesp = [\"aes128gcm16-x25519\"]\nmode = \"tunnel\"\nrekey = \"10m\"\n\
         rekey_bytes = \"1GiB\"\nrekey_packets = 1000\nreplay_window = 64\nesn = \"require\"\n",
    );
    let configuration = ground.good(&format!(
        "[host]\nlisten = [\"10.0.0.1\"]\nports = [1500, 14500]\ncontrol = \"c.sock\"\ntun = {{ name = \"t\", mtu = 1280 }}\n\
         dns = \"off\"\nanswer_deadline = \"1s\"\ncrash_detection = false\nkeylog = \"keys\"\ndecisions = \"/d\"\nstate = \"s\"\nplugin_keys = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\", \"p.pub\"]\n\
         [crypto]\nbackends = [\"rustcrypto\"]\n[floor]\nfile = \"floor.toml\"\n\
         [[plugin]]\nname = \"p\"\npath = \"p.wasm\"\nroles = [\"liveness\"]\ndeadline = \"10ms\"\nmemory = \"2MiB\"\n\
         grant = [\"log\", \"kv\", \"data\"]\nstore = \"keep\"\n\
         data = {{ users = \"users.csv\", geo = {{ networks = \"geo.csv\" }} }}\n\
         on_failure = \"native\"\nsettings = {{ z = \"t\", a = 1, n = 1.5, f = true, l = [\"x\"] }}\n\
         {text}[[pool]]\nname = \"road\"\naddresses = \"10.99.0.0/24\"\ndns = [\"10.20.0.53\"]\nmasquerade = true\n"
    ));
    let host = &configuration.host;
    assert_eq!(host.control, ground.dir.path().join("c.sock"));
    assert_eq!(host.keylog, Some(ground.dir.path().join("keys")));
    assert_eq!(host.decisions, Some(DecisionSettings::new("/d".into())));
    assert!(!host.crash_detection);
    assert_eq!(host.state, ground.dir.path().join("s"));
    assert_eq!((host.ports, host.dns), ([1500, 14_500], DnsMode::Off));
    assert!(configuration.allow_legacy && configuration.metered.contains("wwan0"));
    assert!(configuration.roaming.iter().eq(["wwan1"]));
    let plugin = &configuration.plugins[0];
    assert_eq!(plugin.path, ground.dir.path().join("p.wasm"));
    assert_eq!((plugin.deadline, plugin.memory), (Duration::from_millis(10), 2 << 20));
    assert_eq!((&plugin.grants[..], plugin.store), (&[Grant::Kv, Grant::Data][..], StoreKind::Keep));
    let tables: Vec<_> = plugin.tables.iter().map(|it| (it.name.as_str(), it.keys)).collect();
    assert_eq!(tables, [("users", TableKeys::Texts), ("geo", TableKeys::Networks)]);
    assert_eq!(plugin.tables[1].path, ground.dir.path().join("geo.csv"));
    let keys: Vec<_> = host.plugin_keys.iter().map(|key| key.id().to_string()).collect();
    assert_eq!(keys, ["E7620F1842B4E81F", "E7620F1842B4E81F"]);
    let settings: Vec<&str> = plugin.settings.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(settings, ["z", "a", "n", "f", "l"], "the operator's order");
    assert_eq!(plugin.settings[2].1, SettingValue::Number(1.5));
    let connection = &configuration.connections[0];
    let peer = &connection.peer;
    assert_eq!((peer.initiate, peer.respond, peer.start), (true, true, Start::OnTraffic));
    assert_eq!(peer.request_address, RequestAddress { v4: true, v6: false });
    assert_eq!(connection.routing.leak, Leak::Allow);
    assert!(connection.routing.allow_other_family);
    let timing = &peer.timing;
    assert_eq!((timing.retransmit_factor_percent, timing.retransmit_tries), (200, 3));
    assert!(timing.rekey_ike.is_zero() && timing.liveness_idle.is_zero());
    let child = &peer.children[0];
    assert_eq!((child.esp.len(), child.replay_window), (1, 64));
    assert_eq!((child.lifetime.rekey_bytes, child.lifetime.rekey_packets), (Some(1 << 30), Some(1000)));
    assert!(configuration.pools[0].routing.masquerade);
    // The key log, the old suite, what is never repeated, and a leak.
    assert_eq!(configuration.warnings.len(), 5, "{:?}", configuration.warnings);
}

#[test]
fn many_users_have_secrets_of_their_own() {
    let ground = Ground::new();
    ground
        .secret("users", "# who  secret\ncarol@x   a secret of carol's own\r\ndave@x\tanother one of dave\n");
    let configuration = ground.good(
        "[[connection]]\nname = \"c\"\ngateway = [\"%any\"]\nlocal = { id = \"moon\" }\n\
         peer = { id = \"%any\", secrets_file = \"users\" }\n[[connection.child]]\nname = \"n\"\n",
    );
    let connection = &configuration.connections[0];
    let peer = &connection.peer;
    assert!(connection.any && !peer.initiate && peer.respond && peer.start == Start::Manual);
    assert_eq!(peer.peer_id, PeerIdentity::Any);
    let secret = |who: &str| peer.secrets.by_peer[&Identity::parse(who).unwrap()].expose().to_vec();
    assert_eq!(secret("carol@x"), b"a secret of carol's own");
    assert_eq!(secret("dave@x"), b"another one of dave");
    assert_eq!(peer.secrets.default, None);
}

#[test]
fn a_systemd_credential_goes_before_a_file_of_the_same_name() {
    let ground = Ground::new();
    std::fs::create_dir(ground.dir.path().join("credentials")).unwrap();
    ground.file("credentials/a.psk", "a secret that systemd keeps", 0o440);
    let directories =
        Directories { credentials: Some(ground.dir.path().join("credentials")), ..ground.directories() };
    let configuration = read(Path::new("f"), &connection("", ""), &directories).unwrap();
    let secrets = &configuration.connections[0].peer.secrets;
    assert_eq!(secrets.by_peer.values().next().unwrap().expose(), b"a secret that systemd keeps");
}

#[test]
fn what_has_no_effect_yet_is_a_warning_and_what_is_weak_too() {
    let ground = Ground::new();
    ground.secret("short", "short\n");
    for (more, key, what) in [
        ("mobike = false\nreturn_routability = \"after\"", "connection.return_routability", "no peer moves"),
        ("unique = \"replace\"", "connection.unique", "no effect"),
        ("pools = [\"road\"]", "connection.pools", "no effect"),
        ("dpd = \"never\"", "connection.dpd", "not noticed"),
        ("leak = \"allow\"", "connection.leak", "in clear"),
        ("role = \"responder\"\nstart = \"up\"", "connection.start", "no effect"),
        ("role = \"responder\"\nrequest_address = true", "connection.request_address", "no effect"),
    ] {
        let text =
            format!("{}[[pool]]\nname = \"road\"\naddresses = \"10.99.0.0/24\"\n", connection(more, ""));
        warned(&ground.good(&text), key, what);
    }
    for harmless in ["mobike = false", "metered = [\"wwan0\"]", "reauth = \"never\"", "reauth = \"1d\""] {
        assert_eq!(ground.good(&connection(harmless, "")).warnings, []);
    }
    for (more, key, what) in [
        ("esp = \"null-sha256\"", "connection.child.esp", "encrypts nothing"),
        ("local_ts = \"10.1.0.1/16\"", "connection.child.local_ts", "10.1.0.0/16"),
    ] {
        warned(&ground.good(&connection("", more)), key, what);
    }
    warned(&ground.good("[host]\ntun = { queues = 4 }\n"), "host.tun.queues", "no effect");
    warned(&ground.good(""), "connection", "nothing would be done");
    let same = connection("", "").replace("moon.example.org", "carol@example.org");
    warned(&ground.good(&same), "connection.peer.id", "same identity");
    let short = connection("", "").replace("a.psk", "short");
    warned(&ground.good(&short), "connection.local.psk_file", "shorter than 20 octets");
}

#[test]
fn a_missing_file_is_named() {
    let failure = Failure::from(load(Path::new("/nonexistent/vpnhost.toml")).unwrap_err());
    let text = failure.to_string();
    assert!(text.starts_with("error: /nonexistent/vpnhost.toml: cannot be read: no such file"), "{text}");
    assert!(load(Path::new("/")).unwrap_err().to_string().contains("it is a directory"));
}

/// Every TOML block of README.md is a whole configuration.
#[test]
fn the_readmes_configurations_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        passes(block);
    }
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["client.toml", "gateway.toml"] {
        passes(&std::fs::read_to_string(examples.join(name)).unwrap());
    }
}

#[test]
fn lifetimes_that_do_not_go_together_are_warned_of() {
    let ground = Ground::new();
    ground.file("floor.toml", "allow_legacy = true\n", 0o644);
    let key = "untrusted comment: ours\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    ground.file("p.pub", key, 0o644);
    for (more, child, key, what) in [
        (
            "rekey = \"30m\"",
            "",
            "connection.rekey",
            "lives for 1h, longer than the IKE SA, which lives for 30m",
        ),
        ("", "rekey = \"8h\"", "connection.child.rekey", "lives for 8h, longer than the IKE SA"),
        ("reauth = \"2h\"", "", "connection.reauth", "2h comes before the rekey of 4h, which never happens"),
        ("rekey = \"never\"\nreauth = \"60s\"", "", "connection.reauth", "1m is shorter than the 75 s"),
        ("rekey = \"never\"\nreauth = \"1h\"", "rekey = \"2h\"", "connection.child.rekey", "2h comes never"),
        ("rekey = \"1m\"", "rekey = \"1m\"", "connection.rekey", "1m is shorter than the 75 s"),
        ("", "rekey = \"10s\"", "connection.child.rekey", "10s is shorter than the 75 s"),
        ("keepalive = \"5m\"", "", "connection.keepalive", "may forget a mapping after 2m"),
        ("", "rekey = \"never\"", "connection.child.rekey", "only when its sequence numbers end"),
        ("", "rekey_bytes = \"64KiB\"", "connection.child.rekey_bytes", "65536 octets are carried within"),
        ("", "rekey_packets = 10", "connection.child.rekey_packets", "10 packets are carried within"),
        ("", "esp = \"3des-sha256\"\nrekey_bytes = \"2GiB\"", "connection.child.rekey_bytes", "Sweet32"),
    ] {
        let floor = "[floor]\nfile = \"floor.toml\"\n";
        warned(&ground.good(&format!("{floor}{}", connection(more, child))), key, what);
    }
    for (more, child) in [
        ("rekey = \"10m\"", "rekey = \"10m\""),
        ("rekey = \"never\"", "rekey = \"1d\""),
        ("", "rekey = \"never\"\nrekey_bytes = \"100GiB\""),
        ("retransmit = { first = \"500ms\", tries = 1 }\nrekey = \"10s\"", "rekey = \"10s\""),
    ] {
        let warnings = ground.good(&connection(more, child)).warnings;
        let odd = |problem: &&Problem| !problem.what.contains("never renewed");
        assert_eq!(warnings.iter().filter(odd).count(), 0, "{warnings:?}");
    }
}

#[test]
fn a_pool_of_one_or_two_addresses_is_warned_of() {
    let ground = Ground::new();
    for (addresses, few) in [
        ("10.99.0.6/31", Some("two addresses")),
        ("fd99::1/128", Some("one address")),
        ("10.99.0.4/30", None),
    ] {
        let pool = format!("[[pool]]\nname = \"road\"\naddresses = \"{addresses}\"\n");
        let configuration = ground.good(&format!("{pool}{}", connection("", "")));
        match few {
            Some(few) => warned(&configuration, "pool.addresses", few),
            None => assert!(configuration.warnings.iter().all(|it| it.place.key != "pool.addresses")),
        }
    }
}

#[test]
fn proposals_that_will_not_help_are_warned_of() {
    let ground = Ground::new();
    for (more, key, what) in [
        (
            "ike = [\"aes128-aes256-sha256-x25519\", \"aes256-sha256-x25519\"]",
            "connection.ike",
            "\"aes256-sha256-x25519\" says nothing that does not stand before it",
        ),
        ("ike = \"aes256-sha256-modp8192\"", "connection.ike", "cannot be sent in fragments of IKE"),
    ] {
        warned(&ground.good(&connection(more, "")), key, what);
    }
}

/// Fails unless a text is good and free of warnings, with a secret of ours in place of its own.
fn passes(text: &str) {
    let ground = Ground::new();
    ground.secret("users.psk", "carol@example.org a secret of carol's own\n");
    let secrets = ["/etc/vpnhost/corp.psk", "/etc/vpnhost/carol.psk"];
    let text = secrets.iter().fold(text.to_owned(), |text, own| text.replace(own, "a.psk"));
    let configuration = ground.good(&text);
    assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
}

fn warned(configuration: &Configuration, key: &str, what: &str) {
    let found = configuration.warnings.iter().any(|problem| {
        problem.place.key == key && problem.what.contains(what) && problem.severity == Severity::Warning
    });
    assert!(found, "{key}: {:?}", configuration.warnings);
}

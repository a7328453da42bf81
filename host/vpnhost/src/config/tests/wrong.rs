//! What is wrong with a file is told with its line and key, and with a hint where one helps.

use super::*;

/// A text, and what the only problem says: its line, its key, a part of its text, a part of its hint.
type Case = (&'static str, usize, &'static str, &'static str, &'static str);

const HOST: &[Case] = &[
    ("[host\n", 1, "", "is no TOML", ""),
    ("a = \"\n", 1, "", "is no TOML", ""),
    ("\n[hots]\n", 2, "hots", "is an unknown key", "did you mean \"host\"?"),
    ("[host]\n\nlisten = [\"10.10.0.256\"]", 3, "host.listen", "\"10.10.0.256\" is no IP address", ""),
    ("[host]\nlisten = \"0.0.0.0:500\"", 2, "host.listen", "is no IP address", "without the port"),
    ("[host]\nlisten = []", 2, "host.listen", "is empty", "0.0.0.0"),
    ("[host]\nlisten = [\n\"::\",\n\"::\"]", 4, "host.listen", "twice", ""),
    ("[host]\nlisten = 7", 2, "host.listen", "must be a text in quotes, not a whole number", ""),
    ("[host]\nports = [500]", 2, "host.ports", "must be two", "[500, 4500]"),
    ("[host]\nports = [500, 500]", 2, "host.ports", "the same", ""),
    ("[host]\nports = [500, 70000]", 2, "host.ports", "must be 1 to 65535", ""),
    ("[host]\ntun = { nmae = \"x\" }", 2, "host.tun.nmae", "is an unknown key", "\"name\""),
    ("[host]\ntun = { name = \"a/b\" }", 2, "host.tun.name", "is no name of an interface", ""),
    ("[host]\ntun = { mtu = 500 }", 2, "host.tun.mtu", "must be 1280 to 65535", ""),
    ("[host]\ntun = \"vpn0\"", 2, "host.tun", "must be a table, not a text", ""),
    ("[host]\ndns = \"resolve\"", 2, "host.dns", "\"resolve\" is not known here", "\"resolved\""),
    ("[host]\nanswer_deadline = 200", 2, "host.answer_deadline", "200 has no unit", "ms, s, m"),
    ("[host]\nanswer_deadline = \"200\"", 2, "host.answer_deadline", "is no duration", "200ms"),
    ("[host]\nanswer_deadline = \"1h\"", 2, "host.answer_deadline", "must be 1ms to 10s", ""),
    ("[host]\ndecisions = 7", 2, "host.decisions", "must be a file's name, or a table with one", "size = "),
    ("[host]\ndecisions = { size = \"1MiB\" }", 2, "host.decisions.file", "is missing", "file = "),
    (
        "[host]\ndecisions = { file = \"/d\", size = \"1KiB\" }",
        2,
        "host.decisions.size",
        "must be 65536 to 4294967296 octets",
        "",
    ),
    ("[host]\ndecisions = { file = \"/d\", files = 0 }", 2, "host.decisions.files", "must be 1 to 1000", ""),
    (
        concat!(
            "[host]\ncontrol = \"/run/",
            "a-name-of-25-octets-which-",
            "a-name-of-25-octets-which-",
            "a-name-of-25-octets-which-",
            "a-name-of-25-octets-which-.sock\""
        ),
        2,
        "host.control",
        "at most 107 octets",
        "",
    ),
    (
        "[host]\nplugin_keys = [\"x.pub\"]",
        2,
        "host.plugin_keys",
        "is no public key of minisign, and the file",
        "minisign -G",
    ),
    (
        "[host]\nplugin_keys = [\"a.psk\"]",
        2,
        "host.plugin_keys",
        "holds no public key of minisign",
        "minisign -G",
    ),
    ("[crypto]\nbackends = [\"aws-cl\"]", 2, "crypto.backends", "no backend \"aws-cl\"", ""),
    ("[crypto]\nbackends = [\"./x.so\"]", 2, "crypto.backends", "not in this version", ""),
    ("[crypto]\nbackends = []", 2, "crypto.backends", "is empty", ""),
    ("[floor]\nallow_legacy = \"yes\"", 2, "floor.allow_legacy", "must be true or false", ""),
    ("[floor]\nfile = \"none.toml\"", 2, "floor.file", "cannot be read: no such file", ""),
    ("[[plugin]]\nname = \"p\"", 1, "plugin.path", "is missing", "path = "),
    ("[[plugin]]\npath = \"p\"\nroles = [\"livenes\"]", 3, "plugin.roles", "unknown role", ""),
    ("[[plugin]]\npath = \"p\"\nroles = []", 3, "plugin.roles", "is empty", ""),
    ("[[plugin]]\npath = \"p\"\nmemory = \"16mb\"", 3, "plugin.memory", "is no size", "16MiB"),
    ("[[plugin]]\npath = \"p\"\nmemory = 1", 3, "plugin.memory", "must be", ""),
    (
        "[[plugin]]\npath = \"p\"\non_failure = \"allow\"",
        3,
        "plugin.on_failure",
        "not known",
        "\"deny\", \"native\"",
    ),
    ("[[plugin]]\npath = \"p\"\nsettings = { a = {} }", 3, "plugin.settings.a", "must be a text", ""),
    ("[[plugin]]\npath = \"p\"\ngrant = [\"kw\"]", 3, "plugin.grant", "\"kw\" is not known here", "\"kv\""),
    ("[[plugin]]\npath = \"p\"\ngrant = [\"kv\", \"kv\"]", 3, "plugin.grant", "twice", ""),
    ("[[plugin]]\npath = \"p\"\nstore = \"keep\"", 3, "plugin.store", "gets no store", "grant = [\"kv\"]"),
    (
        "[[plugin]]\npath = \"p\"\ngrant = [\"kv\"]\nstore = \"keep\"",
        4,
        "plugin.store",
        "needs a name",
        "name = ",
    ),
    (
        "[[plugin]]\npath = \"p\"\ndata = { users = \"u\" }",
        3,
        "plugin.data",
        "gets no tables",
        "grant = [\"data\"]",
    ),
    (
        "[[plugin]]\npath = \"p\"\ngrant = [\"data\"]\ndata = { users = 7 }",
        4,
        "plugin.data.users",
        "must be a file's name",
        "networks = ",
    ),
    (
        "[[plugin]]\npath = \"p\"\ngrant = [\"data\"]\ndata = { geo = {} }",
        4,
        "plugin.data.geo.networks",
        "is missing",
        "FILE.csv",
    ),
    ("[plugin]\npath = \"p\"", 1, "plugin", "must be a list of tables", "[[plugin]]"),
    ("[[pool]]\naddresses = \"10.0.0.0/24\"", 1, "pool.name", "is missing", ""),
    ("[[pool]]\nname = \"a\"\naddresses = \"10.0.0.0/33\"", 3, "pool.addresses", "0 to 32", ""),
    (
        "[[pool]]\nname = \"a\"\naddresses = \"10.0.0.1/24\"",
        3,
        "pool.addresses",
        "not its begin",
        "10.0.0.0/24",
    ),
    (
        "[[pool]]\nname = \"a\"\naddresses = \"10.0.0.0/24\"\n[[pool]]\nname = \"b\"\naddresses = \"10.0.0.0/8\"",
        4,
        "pool.addresses",
        "overlaps the pool \"a\"",
        "",
    ),
];
#[test]
fn what_is_wrong_with_a_host_is_told_with_line_and_key() {
    let ground = Ground::new();
    for (text, line, key, what, hint) in HOST {
        expect(&ground, text, (*line, key, what, hint));
    }
}

/// Lines of a connection; they begin on line 6.
const CONNECTION: &[Case] = &[
    ("mobile = true", 6, "connection.mobile", "is an unknown key", "did you mean \"mobike\"?"),
    (
        "on_child_fail = \"keep\"",
        6,
        "connection.on_child_fail",
        "unknown key",
        "did you mean \"on_child_failed\"?",
    ),
    ("on_child_failed = \"end\"", 6, "connection.on_child_failed", "not known here", "\"close\""),
    ("childless = true", 6, "connection.childless", "", ""),
    ("childless = \"forse\"", 6, "connection.childless", "not known here", "did you mean \"force\"?"),
    ("role = \"server\"", 6, "connection.role", "not known here", "\"responder\""),
    ("ike = [\"aes129-sha256-modp2048\"]", 6, "connection.ike", "unknown algorithm \"aes129\"", "aes128"),
    ("ike = [\"3des-sha256-modp2048\"]", 6, "connection.ike", "3des is below the floor", "allow_legacy"),
    ("ike = [\"aes128-sha1-modp1024\"]", 6, "connection.ike", "sha1, modp1024 is below", "allow_legacy"),
    ("ike = [\"null-sha256-modp2048\"]", 6, "connection.ike", "null is never offered", ""),
    ("ike = [\"aes128-sha256\"]", 6, "connection.ike", "no key exchange group", ""),
    ("ike = []", 6, "connection.ike", "is empty", "x25519"),
    (
        "ike = [\"aes128-aes192-aes256-sha256-sha384-sha512-modp2048-modp3072-modp4096-ecp256-ecp384-ecp521-x25519-x448\"]",
        6,
        "connection.ike",
        "means 72 suites, 64 are the most",
        "",
    ),
    ("encapsulation = \"forbid-nats\"", 6, "connection.encapsulation", "not known here", "\"forbid-nat\""),
    ("mobike = \"yes\"", 6, "connection.mobike", "must be true or false, not a text", ""),
    ("suspect = \"10ms\"", 6, "connection.suspect", "must be 100ms or more", "never"),
    ("max_outage = \"1s\"", 6, "connection.max_outage", "must be 10s to 7d", ""),
    ("pools = [\"raod\"]\nrole = \"responder\"", 6, "connection.pools", "there is no pool \"raod\"", ""),
    ("dpd = 30", 6, "connection.dpd", "30 has no unit", "write dpd = \"30s\""),
    ("retransmit = { first = 1 }", 6, "connection.retransmit.first", "1 has no unit", "first = \"1s\""),
    ("ike = [\"aes128-md5-modp2048\"]", 6, "connection.ike", "MD5 is never offered", "sha256"),
    ("dpd = \"10ms\"", 6, "connection.dpd", "must be 1s or more", "never"),
    ("retransmit = { first = \"1s\", factr = 2 }", 6, "connection.retransmit.factr", "unknown key", "factor"),
    ("retransmit = { tries = 0 }", 6, "connection.retransmit.tries", "must be 1 to 50", ""),
    ("retransmit = { factor = 0.5 }", 6, "connection.retransmit.factor", "must be 1 to 10", ""),
    ("metered = [\"a b\"]", 6, "connection.metered", "is no name of an interface", ""),
    ("leak = true", 6, "connection.leak", "must be a text", ""),
    ("return_routability = \"behind\"", 6, "connection.return_routability", "not known here", "\"before\""),
];
/// Lines of its child; they begin on line 10.
const CHILD: &[Case] = &[
    ("local_ts = [\"10.20.0.0/33\"]", 10, "connection.child.local_ts", "\"10.20.0.0/33\"", ""),
    ("local_ts = []", 10, "connection.child.local_ts", "is empty", "dynamic"),
    ("esp = \"aes128-sha256-prfsha256\"", 10, "connection.child.esp", "no place in an ESP proposal", ""),
    ("esp = \"aes256\"", 10, "connection.child.esp", "no integrity algorithm", ""),
    ("esp = \"des-sha256\"", 10, "connection.child.esp", "des is never offered", ""),
    ("mode = \"transprot\"", 10, "connection.child.mode", "not known", "transport"),
    ("mode = \"transport\"", 9, "connection.child.remote_ts", "not networks", "dynamic"),
    ("replay_window = 32", 10, "connection.child.replay_window", "must be 64 to 4096", ""),
    ("esn = true", 10, "connection.child.esn", "must be a text", ""),
    ("rekey_byte = 1", 10, "connection.child.rekey_byte", "unknown key", "rekey_bytes"),
    ("[[connection.child]]\nname = \"net\"", 10, "connection.child.name", "another child is named", ""),
];
#[test]
fn what_is_wrong_with_a_connection_is_told_with_line_and_key() {
    let ground = Ground::new();
    for (more, line, key, what, hint) in CONNECTION {
        expect(&ground, &connection(more, ""), (*line, key, what, hint));
    }
    for (more, line, key, what, hint) in CHILD {
        expect(&ground, &connection("", more), (*line, key, what, hint));
    }
}

const MOON: &str = "{ id = \"moon\", psk_file = \"a.psk\" }";

/// `local` and `peer`, and what the problem says: its key, a part of its text, a part of its hint.
const ENDS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "{ id = \"carol\", psk_file = \"none.psk\" }",
        MOON,
        "connection.local.psk_file",
        "no such file",
        "keygen",
    ),
    (
        "{ id = \"carol\", psk_file = \"open.psk\" }",
        MOON,
        "connection.local.psk_file",
        "mode 0640",
        "chmod 600",
    ),
    ("{ id = \"carol\", psk_file = \"empty.psk\" }", MOON, "connection.local.psk_file", "is empty", "keygen"),
    ("{ id = \"carol\", psk_file = \".\" }", MOON, "connection.local.psk_file", "is no file", ""),
    ("{ id = \"carol\", psk_file = \"other.psk\" }", MOON, "connection.peer.psk_file", "another secret", ""),
    ("{ psk_file = \"a.psk\" }", MOON, "connection.local.id", "is missing", ""),
    ("{ id = \"XX=CH\" }", MOON, "connection.local.id", "is no identity", "C=CH"),
    ("{ id = \"keyid:xy\" }", MOON, "connection.local.id", "is no identity", "keyid:HEX"),
    ("{ id = \"fqdn:carol\" }", MOON, "connection.local.id", "is no identity", "write \"carol\""),
    (
        "{ id = \"carol\" }",
        "{ id = \"a*.x\" }",
        "connection.peer.id",
        "is no pattern of identities",
        "*.example.org",
    ),
    ("{ id = \"*.x\" }", "{ id = \"moon\" }", "connection.local.id", "is no identity", "peer.id"),
    ("{ id = \"carol\" }", "{ id = \"moon\", ca = [] }", "connection.peer.ca", "names no CA", ""),
    ("{ id = \"carol\", cert = \"c.pem\" }", MOON, "connection.local.key", "is missing", "carol.key"),
    ("{ id = \"carol\", auth = \"eap\" }", MOON, "connection.local.auth", "names no method", "mschapv2"),
    ("{ id = \"carol\", auth = \"xauth\" }", MOON, "connection.local.auth", "not in this version", "eap"),
    (
        "{ id = \"carol\", pks_file = \"a.psk\" }",
        MOON,
        "connection.local.pks_file",
        "unknown key",
        "psk_file",
    ),
    ("{ id = \"carol\" }", "{ id = \"moon\" }", "connection.peer.psk_file", "is missing", "keygen"),
    ("{ id = \"carol\" }", "{ id = \"moon\", ca = [\"x\"] }", "connection.peer.ca", "no such file", ""),
    (
        "{ id = \"carol\" }",
        "{ id = \"moon\", secrets_file = \"one\" }",
        "connection.peer.secrets_file",
        "no secret of moon",
        "",
    ),
];

#[test]
fn what_is_wrong_with_the_ends_is_told() {
    let ground = Ground::new();
    ground.file("open.psk", "a secret that is long enough", 0o640);
    ground.secret("other.psk", "another one that is long enough");
    ground.secret("empty.psk", "\n");
    ground.secret("users", "# users\ncarol@x a secret of carol's own\n\nbroken\n");
    ground.secret("one", "carol@x a secret of carol's own\n");
    for (local, peer, key, what, hint) in ENDS {
        let text = format!(
            "[[connection]]\nname = \"c\"\ngateway = \"192.0.2.1\"\nlocal = {local}\npeer = {peer}\n\
             [[connection.child]]\nname = \"n\"\n"
        );
        let line = if key.contains("local") { 4 } else { 5 };
        expect_among(&ground, &text, (line, key, what, hint));
    }
    ground.secret("two", "carol@x a secret of carol's own\ndave@x another one of dave's own\n");
    let text = "[[connection]]\nname = \"c\"\nrole = \"either\"\ngateway = \"192.0.2.1\"\n\
                local = { id = \"moon\" }\npeer = { id = \"%any\", secrets_file = \"two\" }\n\
                [[connection.child]]\nname = \"n\"\n";
    expect(&ground, text, (6, "connection.peer.id", "which of several secrets", "responder"));
    let text = "[[connection]]\nname = \"c\"\ngateway = \"%any\"\nlocal = { id = \"moon\" }\n\
                peer = { id = \"%any\", secrets_file = \"users\" }\n[[connection.child]]\nname = \"n\"\n";
    ground
        .secret("users", "# users\ncarol@x a secret of carol's own\n\nbroken\ncarol moon : PSK \"hidden\"\n");
    let problems = ground.read(text).unwrap_err();
    let text = problems.to_string();
    assert!(
        text.contains("users:5: a line in the form of ipsec.secrets") && !text.contains("hidden"),
        "{text}"
    );
    assert!(text.contains("users:4: no secret behind the identity") && !text.contains("broken"), "{text}");
}

#[test]
fn what_a_connection_lacks_is_told() {
    let ground = Ground::new();
    let text = "[host]\n[[connection]]\nrole = \"initiator\"\n";
    let text = ground.read(text).unwrap_err().to_string();
    for (key, what) in [
        ("connection.name", "is missing"),
        ("connection.gateway", "is missing: whoever begins must know where the peer is"),
        ("connection.local", "is missing"),
        ("connection.peer", "is missing"),
        ("connection.child", "is missing: no traffic would be protected"),
    ] {
        assert!(text.contains(&format!("vpnhost.toml:2: {key}: {what}")), "{key}: {text}");
    }
    let twice = format!("{}{}", connection("", ""), connection("", ""));
    assert!(ground.read(&twice).unwrap_err().to_string().contains("another connection is named \"corp\""));
}

#[test]
fn every_problem_is_told_in_the_order_of_the_file() {
    let text = "[host]\nport = [1]\ndns = \"on\"\n[[pool]]\nnam = \"a\"\n";
    let failure = Failure::from(Ground::new().read(text).unwrap_err());
    let text = failure.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("error: vpnhost.toml:2: host.port: is an unknown key"), "{text}");
    assert!(text.contains("hint: did you mean \"ports\"?"), "{text}");
    assert_eq!(failure.code(), crate::exit::Code::Usage);
}

#[test]
fn a_key_like_no_other_gets_all_that_are_known_each_once() {
    let problems = Ground::new().read("[host]\nzzzzzzzz = 1\n").unwrap_err();
    let mut hints = problems.0.iter().filter_map(|problem| problem.hint.as_deref());
    let hint = hints.find(|hint| hint.starts_with("known here: listen, ports")).unwrap();
    assert_eq!(hint.matches("keylog").count(), 1, "{hint}");
}

/// Fails unless a text has exactly one error, and that is it.
fn expect(ground: &Ground, text: &str, expected: (usize, &str, &str, &str)) {
    let problems = expect_among(ground, text, expected);
    let errors = problems.0.iter().filter(|problem| problem.is_error()).count();
    assert_eq!(errors, 1, "{problems}\n{text}");
}

/// Fails unless a text has that error among others.
fn expect_among(ground: &Ground, text: &str, (line, key, what, hint): (usize, &str, &str, &str)) -> Problems {
    let Err(problems) = ground.read(text) else { panic!("no problem in: {text}") };
    let found = problems.0.iter().any(|problem| {
        problem.place.file == Path::new("vpnhost.toml")
            && problem.place.line == line
            && problem.place.key == key
            && problem.what.contains(what)
            && problem.hint.as_deref().unwrap_or("").contains(hint)
    });
    assert!(found, "line {line}, {key}: {what} ({hint}) expected, not:\n{problems}\n{text}");
    problems
}

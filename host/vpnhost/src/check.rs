//! Whether a configuration would run: the file, its secrets, the backends, the plugins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use vpnhost_crypto::{CryptoBackend, KeyKind};
use vpnhost_ike::config::{ChildConfig, PeerAuth};
use vpnhost_model::{EspSuite, IkeSuite, KeyExchange, Suite};
use vpnhost_plugin_host::{LoadError, PluginEngine, PluginSlot};

use crate::backends::{self, Assembly};
use crate::cli::{self, Choice, Global};
use crate::config::{self, Configuration, Connection, HostSettings, Place, Problem, Problems};
use crate::exit::{self, Failure, Outcome};
use crate::grade::{Graded, Leave, Policy};
use crate::plugins::{self, Loaded};

/// A configuration that would run, with what it names.
pub(crate) struct Prepared {
    /// The file's content; its warnings are complete.
    pub(crate) configuration: Configuration,
    /// The backends.
    pub(crate) assembly: Assembly,
    /// The plugins, loaded, in the order in which they are asked.
    pub(crate) plugins: Vec<Loaded>,
}

impl Prepared {
    /// Returns the plugins' places in the chain.
    pub(crate) fn slots(&self) -> Vec<Arc<PluginSlot>> {
        self.plugins.iter().map(|plugin| Arc::clone(plugin.slot())).collect()
    }
}

/// Reads a configuration, lays the command line over it, and loads all that it names, plugins with an engine that
/// is asked for if there are any, beside those that run.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub(crate) fn prepare(
    file: &Path,
    choice: &Choice,
    running: &[Arc<PluginSlot>],
    engine: impl FnOnce(&HostSettings) -> Result<Arc<PluginEngine>, LoadError>,
) -> Result<Prepared, Problems> {
    let mut configuration = config::load(file)?;
    if !choice.crypto.is_empty() {
        configuration.backends.clone_from(&choice.crypto);
    }
    let mut problems = std::mem::take(&mut configuration.warnings);
    let assembly = match backends::assemble(&configuration.backends) {
        Ok(assembly) => {
            problems.extend(wrong_answers(&assembly, file));
            for connection in &configuration.connections {
                problems.extend(unservable(connection, assembly.crypto));
            }
            Some(assembly)
        }
        Err(unknown) => {
            let problem = Problem::error(command_line("--crypto"), unknown.what());
            problems.push(Problem { hint: unknown.hint(), ..problem });
            None
        }
    };
    configuration.plugins = plugins::chosen(&choice.plugins, &configuration.plugins);
    let host = &configuration.host;
    let plugins = match plugins::load(&configuration.plugins, &host.plugin_keys, running, || engine(host)) {
        Ok(plugins) => plugins,
        Err(failed) => {
            problems.extend(failed.0.into_iter().map(|failed| {
                let place = failed.place.clone().unwrap_or_else(|| command_line("--plugin"));
                Problem { hint: failed.hint(), ..Problem::error(place, failed.what()) }
            }));
            Vec::new()
        }
    };
    match assembly {
        Some(assembly) if !problems.iter().any(Problem::is_error) => {
            configuration.warnings = problems;
            Ok(Prepared { configuration, assembly, plugins })
        }
        Some(_) | None => Err(Problems(problems)),
    }
}

/// Tells which algorithms are not offered because their known answers are wrong.
fn wrong_answers(assembly: &Assembly, file: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for report in &assembly.reports {
        let place = Place { file: file.to_owned(), line: 0, key: "crypto.backends".to_owned() };
        let what = |finding| format!("{}: {finding}", report.backend);
        problems.extend(report.refused().map(|finding| Problem::warning(place.clone(), what(finding))));
    }
    problems
}

fn command_line(option: &str) -> Place {
    Place { file: PathBuf::from(option), line: 0, key: String::new() }
}

/// Tells which proposals no backend serves: an error where nothing is left to negotiate with.
fn unservable(connection: &Connection, crypto: &dyn CryptoBackend) -> Vec<Problem> {
    let peer = &connection.peer;
    let mut problems = Vec::new();
    for proposals in &connection.proposals {
        let mut missing: Vec<String> =
            proposals.suites.iter().filter_map(|suite| lack(suite, crypto)).collect();
        let unserved = missing.len();
        missing.dedup();
        if unserved > 0 {
            let what = format!("\"{}\": no backend has {}", proposals.text, missing.join(", "));
            let problem = Problem::warning(proposals.place.clone(), what);
            problems.push(problem.hint("vpnhost crypto list shows what there is"));
        }
    }
    let serves = |suite: Suite| lack(&suite, crypto).is_none();
    let without_ike = !peer.ike.iter().copied().map(Suite::Ike).any(serves);
    let without_esp =
        peer.children.iter().any(|child| !child.esp.iter().copied().map(Suite::Esp).any(serves));
    if (without_ike || without_esp) && !problems.is_empty() {
        let place = problems[0].place.clone();
        let kind = if without_ike { "IKE" } else { "ESP" };
        let what = format!("connection \"{}\" has no {kind} suite that could be used", peer.name);
        problems.push(Problem::error(place, what));
    }
    problems
}

/// Names the part of a suite that a backend does not have.
fn lack(suite: &Suite, crypto: &dyn CryptoBackend) -> Option<String> {
    let (packet, prf, method) = match *suite {
        Suite::Ike(IkeSuite { packet, prf, key_exchange }) => (packet, Some(prf), key_exchange),
        Suite::Esp(EspSuite { packet, key_exchange, .. }) => (packet, None, key_exchange),
    };
    if crypto.find_packet(packet).is_none() {
        return Some(packet.to_string());
    }
    if let Some(prf) = prf.filter(|&prf| crypto.find_prf(prf).is_none()) {
        return Some(prf.to_string());
    }
    let is_lacking = method != KeyExchange::NONE && crypto.find_key_exchange(method).is_none();
    is_lacking.then(|| method.to_string())
}

/// Grades what may be agreed with the peers of a connection: the suites that the backends serve.
pub(crate) fn graded(connection: &Connection, crypto: &dyn CryptoBackend) -> Graded {
    let served = |suite: &Suite| lack(suite, crypto).is_none();
    let peer = &connection.peer;
    let ike = peer.ike.iter().copied().map(Suite::Ike).filter(served);
    let child = |child: &ChildConfig| {
        Policy::of(&child.name, child.esp.iter().copied().map(Suite::Esp).filter(served))
    };
    let policies = std::iter::once(Policy::of("IKE", ike)).chain(peer.children.iter().map(child));
    Graded::new(&peer.name, policies.chain(authentication(connection)).collect())
}

/// Grades the keys by which the ends of a connection prove themselves, where any does so by certificate.
fn authentication(connection: &Connection) -> Option<Policy> {
    let above = connection.own.iter().flat_map(|own| own.credential().certificates().iter().skip(1));
    let certified = above.chain(&connection.trusted);
    let certified = certified.filter_map(|certificate| Some(certificate.public_key().ok()?.kind()));
    let raw = match &connection.peer.peer_auth {
        PeerAuth::Certificate(trust) => trust.keys.as_slice(),
        PeerAuth::SharedKey | PeerAuth::Eap(_) | PeerAuth::EapAlone => &[],
    };
    let own = connection.own.iter().map(|own| own.credential().public());
    let keys: Vec<KeyKind> = own.chain(raw).map(|key| key.kind()).chain(certified).collect();
    let mut leave = Vec::new();
    if connection.takes_legacy && !connection.trusted.is_empty() {
        leave.push(Leave::LegacyCertificates);
    }
    if connection.peer.sha1_auth {
        leave.push(Leave::Sha1);
    }
    (!keys.is_empty()).then(|| Policy::of_keys(keys, &leave))
}

/// `vpnhost check [FILE]`.
pub(crate) fn run(options: &cli::Check, global: &Global) -> Outcome {
    // It keeps nothing: whoever checks a configuration need not be who runs it.
    let prepared = prepare(&options.file, &options.choice, &[], |_| PluginEngine::new());
    let problems = match &prepared {
        Ok(prepared) => &prepared.configuration.warnings,
        Err(problems) => &problems.0,
    };
    if global.json {
        let grades = prepared.as_ref().map(grades).unwrap_or_default();
        let ok = prepared.is_ok();
        let document = json!({ "file": options.file, "ok": ok, "problems": problems, "grades": grades });
        exit::print(format_args!("{document}\n"))?;
    } else {
        for warning in problems.iter().filter(|problem| !problem.is_error()) {
            exit::warn(format_args!("{}: {}", warning.place, warning.what), warning.hint.as_deref());
        }
    }
    let prepared = prepared.map_err(Failure::from)?;
    if global.json { Ok(()) } else { exit::print(summary(&options.file, &prepared)) }
}

fn grades(prepared: &Prepared) -> Vec<Graded> {
    let connections = prepared.configuration.connections.iter();
    connections.map(|connection| graded(connection, prepared.assembly.crypto)).collect()
}

fn summary(file: &Path, prepared: &Prepared) -> String {
    let Prepared { configuration, assembly, plugins } = prepared;
    let names = configuration.connections.iter().map(|connection| connection.peer.name.as_str());
    let plugins = plugins.iter().map(|plugin| vpnhost_policy::Policy::name(&**plugin.slot()));
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!(
        "{}: good\n  connections  {}\n  plugins      {}\n  backends     {}\n{}",
        file.display(),
        list(names.collect()),
        list(plugins.collect()),
        assembly.reports.iter().map(|report| report.backend.as_str()).collect::<Vec<_>>().join(", "),
        grades(prepared).iter().map(Graded::to_string).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn written(dir: &Path, more: &str) -> PathBuf {
        let secret = dir.join("a.psk");
        std::fs::write(&secret, "a secret that is long enough").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = dir.join("vpnhost.toml");
        let text = format!(
            "[[connection]]\nname = \"corp\"\ngateway = [\"192.0.2.1\"]\n\
             local = {{ id = \"carol\", psk_file = \"a.psk\" }}\npeer = {{ id = \"moon\", psk_file = \"a.psk\" }}\n\
             {more}\n[[connection.child]]\nname = \"net\"\nremote_ts = [\"10.20.0.0/24\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    fn prepared(more: &str, choice: &Choice) -> Result<Prepared, Problems> {
        let dir = tempfile::tempdir().unwrap();
        prepare(&written(dir.path(), more), choice, &[], |_| PluginEngine::new())
    }

    fn text(result: Result<Prepared, Problems>) -> String {
        match result {
            Ok(_) => panic!("it would run"),
            Err(problems) => Failure::from(problems).to_string(),
        }
    }

    #[test]
    fn a_good_file_is_prepared_with_its_backends() {
        let prepared = prepared("", &Choice::default()).map_err(|p| p.to_string()).unwrap();
        assert_eq!(prepared.assembly.reports.len(), backends::NAMES.len());
        assert!(prepared.plugins.is_empty() && prepared.configuration.warnings.is_empty());
    }

    #[test]
    fn the_command_line_chooses_the_backends() {
        let choose = |name: &str| Choice { crypto: vec![name.to_owned()], plugins: Vec::new() };
        let prepared = prepared("", &choose("rustcrypto")).map_err(|p| p.to_string()).unwrap();
        assert_eq!(prepared.assembly.crypto.name(), "rustcrypto");
        let dir = tempfile::tempdir().unwrap();
        let text = text(prepare(&written(dir.path(), ""), &choose("openssl"), &[], |_| PluginEngine::new()));
        assert!(text.starts_with("error: --crypto: there is no backend \"openssl\"\n"), "{text}");
    }

    #[test]
    fn suites_that_no_backend_has_are_told_and_none_at_all_is_an_error() {
        let some = "ike = [\"aes256-sha256-x448\", \"aes256-sha256-modp2048\"]";
        let prepared = prepared(some, &Choice::default()).map_err(|p| p.to_string()).unwrap();
        let [warning] = &prepared.configuration.warnings[..] else { panic!("one warning expected") };
        assert_eq!(warning.what, "\"aes256-sha256-x448\": no backend has x448");
        assert_eq!(warning.place.line, 6);
        let text = text(super::tests::prepared("ike = [\"aes256-sha256-x448\"]", &Choice::default()));
        assert!(
            text.contains("vpnhost.toml:6: connection.ike: connection \"corp\" has no IKE suite"),
            "{text}"
        );
    }

    #[test]
    fn a_connection_is_graded_by_what_the_backends_serve() {
        let grade = |more: &str| {
            let prepared = prepared(more, &Choice::default()).map_err(|p| p.to_string()).unwrap();
            let [graded] = &grades(&prepared)[..] else { panic!("one connection expected") };
            graded.clone()
        };
        let strong = grade("ike = [\"aes256gcm16-prfsha384-x25519\"]");
        assert_eq!(strong.grade, crate::grade::Grade::Strong);
        assert!(strong.policies[1].rekey_without_pfs);
        let built_in = grade("");
        assert_eq!(built_in.grade, crate::grade::Grade::Fair);
        assert_eq!(built_in.policies[0].remarks[0].algorithm, "modp2048");
        let unserved = grade("ike = [\"aes256-sha256-x448\", \"aes256-sha256-x25519\"]");
        assert_eq!(unserved.policies[0].suites, ["aes256-sha256-x25519"]);
    }

    #[test]
    fn a_missing_plugin_is_told_where_it_is_named() {
        let choice = Choice { plugins: vec!["/nonexistent/b.wasm".parse().unwrap()], ..Choice::default() };
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path(), "");
        let whole = format!("{}[[plugin]]\npath = \"a.wasm\"\n", std::fs::read_to_string(&file).unwrap());
        std::fs::write(&file, whole).unwrap();
        let text = text(prepare(&file, &choice, &[], |_| PluginEngine::new()));
        assert!(text.contains("vpnhost.toml:10: plugin: cannot read plugin"), "{text}");
        assert!(
            text.contains("error: --plugin: cannot read plugin /nonexistent/b.wasm (no such file"),
            "{text}"
        );
    }
}

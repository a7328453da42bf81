//! Pre-shared keys: files that only their owner may read, or systemd credentials.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use vpnhost_crypto::SecretBytes;
use vpnhost_model::Identity;
use vpnhost_pki::identity;

use super::item::Item;
use super::problem::{Place, Problem};
use super::value::Wrong;
use crate::{exit, limits};

/// Where files of secrets are looked for.
#[derive(Clone, Debug)]
pub(super) struct Directories {
    /// The configuration's directory: relative paths begin here.
    pub(super) base: PathBuf,
    /// `$CREDENTIALS_DIRECTORY` of a systemd unit: a bare name is looked for here first.
    pub(super) credentials: Option<PathBuf>,
}

impl Directories {
    /// Returns a path of the configuration as one from where the process stands.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Returns a secret's file, and whether systemd keeps it.
    fn secret(&self, path: &str) -> (PathBuf, bool) {
        let is_bare = !path.contains('/');
        let credential = self.credentials.as_ref().filter(|_| is_bare).map(|directory| directory.join(path));
        match credential.filter(|file| file.is_file()) {
            Some(credential) => (credential, true),
            None => (self.resolve(path), false),
        }
    }
}

/// Reads a file with one secret: its octets but for a last line feed.
pub(super) fn one(item: &Item<'_>, directories: &Directories) -> Option<SecretBytes> {
    let (file, is_credential) = directories.secret(item.text()?);
    let mut octets = item.take(read(&file, is_credential, limits::SECRET_OCTETS))?;
    let line_feed = match octets.expose() {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    let secret = octets.split_front(octets.len() - line_feed).ok()?;
    let shown = file.display();
    if secret.is_empty() {
        item.error(
            Wrong::new(format!("{shown} is empty"))
                .hint(format!("make a secret: vpnhost keygen --force {shown}")),
        );
        return None;
    }
    if secret.len() < limits::SHORT_SECRET {
        item.warn(short(&format!("the secret in {shown}")));
    }
    if secret.expose().contains(&b'\n') || secret.expose().trim_ascii().len() < secret.len() {
        item.warn(
            Wrong::new(format!("the secret in {shown} has spaces at its ends, or several lines"))
                .hint("only one last line feed is left out"),
        );
    }
    Some(secret)
}

/// Reads a file that only its owner may read, as it is.
pub(super) fn octets(item: &Item<'_>, directories: &Directories, most: u64) -> Option<SecretBytes> {
    let (file, is_credential) = directories.secret(item.text()?);
    // What makes a secret makes no key.
    let without_hint = |wrong: Wrong| match wrong.what.contains("no such file") {
        true => Wrong::new(wrong.what),
        false => wrong,
    };
    item.take(read(&file, is_credential, most).map_err(without_hint))
}

/// Reads a file with the secrets of many: an identity and its secret a line.
pub(super) fn many(item: &Item<'_>, directories: &Directories) -> Option<BTreeMap<Identity, SecretBytes>> {
    let mut secrets = BTreeMap::new();
    let complete = each_line(item, directories, "IDENTITY SECRET", &mut |line| {
        let (identity, secret) = entry(line)?;
        let warning =
            (secret.len() < limits::SHORT_SECRET).then(|| short(&format!("the secret of {identity}")));
        if secrets.insert(identity::folded(&identity), secret).is_some() {
            return Err(format!("{identity} has a secret already"));
        }
        Ok(warning)
    })?;
    if secrets.is_empty() && complete {
        let (file, _) = directories.secret(item.text()?);
        item.error(
            Wrong::new(format!("{} holds no secret", file.display()))
                .hint("write: IDENTITY SECRET, one a line"),
        );
    }
    (complete && !secrets.is_empty()).then_some(secrets)
}

/// Reads a line, which may be a secret: no error quotes it. What is odd about it is returned.
pub(super) type ReadLine<'a> = dyn FnMut(&[u8]) -> Result<Option<Wrong>, String> + 'a;

/// Reads each line of a file that only its owner may read, but for empty ones and comments; returns whether all are
/// right.
pub(super) fn each_line(
    item: &Item<'_>,
    directories: &Directories,
    form: &str,
    read_line: &mut ReadLine<'_>,
) -> Option<bool> {
    let (file, is_credential) = directories.secret(item.text()?);
    let octets = read(&file, is_credential, limits::SECRETS_OCTETS);
    let octets = item.take(octets.map_err(|wrong| match wrong.what.contains("no such file") {
        true => wrong.hint(format!("write such a file: {form}, one a line")),
        false => wrong,
    }))?;
    let mut complete = true;
    let (mut odd_lines, mut first_odd) = (0, None);
    for (index, line) in octets.expose().split(|&octet| octet == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let place = Place { file: file.clone(), line: index + 1, key: String::new() };
        match of_another_form(line).map_or_else(|| read_line(line), |wrong| Err(wrong.to_owned())) {
            Ok(None) => {}
            Ok(Some(odd)) => {
                odd_lines += 1;
                first_odd.get_or_insert(Problem { hint: odd.hint, ..Problem::warning(place, odd.what) });
            }
            Err(what) => {
                complete = false;
                item.tell(Problem::error(place, what).hint(format!("write: {form}")));
            }
        }
    }
    if let Some(mut first) = first_odd {
        // Thousands of lines of one kind would hide everything else.
        if odd_lines > 1 {
            first.what.push_str(&format!("; so are {} further lines", odd_lines - 1));
        }
        item.tell(first);
    }
    Some(complete)
}

/// Tells a line of strongSwan's ipsec.secrets, which would pass for a name and a strange secret.
fn of_another_form(line: &[u8]) -> Option<&'static str> {
    let has = |word: &[u8]| line.windows(word.len()).any(|some| some == word);
    let is_foreign = line.starts_with(b": ") || has(b" : PSK ") || has(b" : EAP ");
    is_foreign.then_some("a line in the form of ipsec.secrets")
}

/// An identity with spaces in it, which distinguished names have, stands in quotes.
fn entry(line: &[u8]) -> Result<(Identity, SecretBytes), &'static str> {
    let (identity, secret) = match line.strip_prefix(b"\"") {
        Some(rest) => {
            let end = rest.iter().position(|&octet| octet == b'"').ok_or("a quote without its end")?;
            (&rest[..end], &rest[end + 1..])
        }
        None => line.split_at(line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len())),
    };
    let text = std::str::from_utf8(identity).map_err(|_| "no identity at its start")?;
    if text == "%any" || text.contains('*') {
        return Err("a group: each line is for one peer; psk_file has the secret of all others");
    }
    if identity::unslashed(text).is_some() {
        return Err("a distinguished name with slashes: commas part it");
    }
    let identity = identity::parse(text).ok_or(match text.contains('=') {
        true => "no identity at its start; a distinguished name with spaces stands in quotes",
        false => "no identity at its start",
    })?;
    let is_parted = secret.first().is_some_and(u8::is_ascii_whitespace);
    let secret = Some(secret.trim_ascii()).filter(|secret| is_parted && !secret.is_empty());
    Ok((identity, SecretBytes::copy_of(secret.ok_or("no secret behind the identity")?)))
}

fn short(what: &str) -> Wrong {
    Wrong::new(format!("{what} is shorter than {} octets", limits::SHORT_SECRET))
        .hint("whoever poses as the gateway can guess a weak secret; vpnhost keygen makes a strong one")
}

fn read(file: &Path, is_credential: bool, most: u64) -> Result<SecretBytes, Wrong> {
    let shown = file.display();
    let failed = |error: std::io::Error| {
        let wrong = Wrong::new(format!("{shown} cannot be read: {}", exit::plain(&error)));
        if error.kind() == ErrorKind::NotFound {
            return wrong.hint(format!("make a secret: vpnhost keygen {shown}"));
        }
        if error.kind() == ErrorKind::PermissionDenied {
            return wrong.hint("run it as the owner of the file, or as root");
        }
        wrong
    };
    // A pipe that nobody writes to would never open, so that a look comes first, and another at what was opened.
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Wrong::new(format!("{shown} is no file")));
    }
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Wrong::new(format!("{shown} is no file")));
    }
    let mode = metadata.mode() & 0o7777;
    // systemd gives credentials to the unit's user by an access list, whose mask shows as the group.
    if !is_credential && mode & 0o077 != 0 {
        return Err(Wrong::new(format!("{shown} is open to others than its owner (mode {mode:04o})"))
            .hint(format!("chmod 600 {shown}")));
    }
    if metadata.len() > most {
        return Err(Wrong::new(format!("{shown} is larger than {most} octets")));
    }
    let mut octets = SecretBytes::new(vec![0; usize::try_from(metadata.len()).unwrap_or(0)]);
    (&opened).read_exact(octets.expose_mut()).map_err(failed)?;
    Ok(octets)
}

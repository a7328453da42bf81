//! `[host] state`: small files that survive a restart, one for each thing that is worth it.
//!
//! A file is replaced whole or not at all, and its checksum tells whether what is read is what was written: half of it,
//! or what a failing disk made of it, counts as nothing. It does not know what the files say.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use vpnhost_crypto::SecretBytes;

use crate::error::DriverError;
use crate::limits;

/// What every file begins with; the checksum of the rest follows in eight digits, and a line feed.
const MAGIC: &[u8] = b"vpnhost-state ";
/// Octets before what a file says.
const HEADER_LEN: usize = MAGIC.len() + 9;
/// What the name of a file ends with that is being written.
const UNFINISHED: &str = ".vpnhost-new";

/// The directory for what survives a restart. It is this daemon's alone while it runs.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Bears the lock that keeps other daemons away, and is synchronised when a file has got its name.
    directory: File,
    /// Held while a file is replaced.
    replacing: Mutex<()>,
}

impl StateDirectory {
    /// Opens the directory, and makes it with mode 0700 if there is none; what a killed daemon left half written goes.
    ///
    /// It may wait for the disk.
    ///
    /// # Errors
    /// [`DriverError::StateExposed`] if others could write there, [`DriverError::StateBusy`] if another daemon does, or
    /// [`DriverError::State`] for what keeps this host from writing there.
    pub fn open(path: &Path) -> Result<Self, DriverError> {
        let failed = |action| move |source| DriverError::State { action, path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let directory = File::open(path).map_err(failed("open"))?;
        let metadata = directory.metadata().map_err(failed("open"))?;
        if !metadata.is_dir() {
            return Err(failed("open")(io::ErrorKind::NotADirectory.into()));
        }
        let is_own = metadata.uid() == 0 || metadata.uid() == user();
        if !is_own || metadata.mode() & 0o022 != 0 {
            return Err(DriverError::StateExposed(path.to_owned()));
        }
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DriverError::StateBusy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        let state = Self { path: path.to_owned(), directory, replacing: Mutex::new(()) };
        state.tidy().map_err(failed("write to"))?;
        Ok(state)
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what a file says; `None` if there is none, or if it is damaged, which is told in the log.
    ///
    /// # Errors
    /// [`DriverError::State`] if it is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<SecretBytes>, DriverError> {
        let octets = self.place(name).and_then(|path| match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => {
                // Room for all of it: a buffer that grows would leave copies behind.
                let mut octets = Vec::with_capacity(limits::STATE_FILE + HEADER_LEN + 1);
                file.take(octets.capacity() as u64).read_to_end(&mut octets)?;
                Ok(Some(SecretBytes::new(octets)))
            }
        });
        let Some(octets) = octets.map_err(|source| self.failed("read", name, source))? else {
            return Ok(None);
        };
        let content = content(octets.expose()).map(SecretBytes::copy_of);
        if content.is_none() {
            let path = self.path.join(name);
            tracing::warn!(path = %path.display(), "the file is damaged: what it said is lost");
        }
        Ok(content)
    }

    /// Replaces what a file says, or makes the file with mode 0600; after a power failure it says the old or the new.
    ///
    /// It waits for the disk.
    ///
    /// # Errors
    /// [`DriverError::State`] if it cannot be written, or is longer than [`limits::STATE_FILE`]; the old file stays then.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), DriverError> {
        let _turn = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.place(name).and_then(|path| {
            if content.len() > limits::STATE_FILE {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
            let written = write(&unfinished, content).and_then(|()| std::fs::rename(&unfinished, path));
            if written.is_err() {
                // Who cannot write may be unable to remove, too; the next start tidies up.
                let _ = std::fs::remove_file(&unfinished);
            }
            written?;
            self.directory.sync_all()
        });
        replaced.map_err(|source| self.failed("write", name, source))
    }

    /// Removes what was being written when a daemon was killed, and sees whether files can be made here.
    fn tidy(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
            }
        }
        let probe = self.path.join(format!("probe{UNFINISHED}"));
        File::create_new(&probe)?;
        std::fs::remove_file(probe)
    }

    /// Returns where a file of that name lies: the names are few, and lead nowhere else.
    fn place(&self, name: &str) -> io::Result<PathBuf> {
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
        if name.is_empty() || name.len() > limits::STATE_NAME || !name.bytes().all(is_plain) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok(self.path.join(name))
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> DriverError {
        DriverError::State { action, path: self.path.join(name), source }
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(format!("{:08x}\n", checksum(content)).as_bytes())?;
    file.write_all(content)?;
    file.sync_all()
}

/// Returns what a file says if it is what was written.
fn content(octets: &[u8]) -> Option<&[u8]> {
    let (digits, content) = octets.strip_prefix(MAGIC)?.split_at_checked(9)?;
    let digits = std::str::from_utf8(digits.strip_suffix(b"\n")?).ok()?;
    let told = u32::from_str_radix(digits, 16).ok()?;
    (content.len() <= limits::STATE_FILE && told == checksum(content)).then_some(content)
}

/// Computes the CRC-32 of IEEE 802.3: it finds damage, not forgery, which the file's mode keeps away.
fn checksum(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |sum, octet| {
        (0..8).fold(sum ^ u32::from(*octet), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[allow(unsafe_code)]
fn user() -> u32 {
    // SAFETY: it takes nothing, touches nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Opens it again in a process of many threads: a child that one of them is just starting holds the lock until it runs.
#[cfg(test)]
pub(crate) fn open_again(path: &Path) -> StateDirectory {
    for _ in 0..500 {
        match StateDirectory::open(path) {
            Err(DriverError::StateBusy(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.expect("the state directory"),
        }
    }
    panic!("{} stays in use", path.display());
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ground() -> (tempfile::TempDir, PathBuf) {
        let ground = tempfile::tempdir().unwrap();
        let path = ground.path().join("state");
        (ground, path)
    }

    fn read(state: &StateDirectory, name: &str) -> Option<Vec<u8>> {
        state.read(name).unwrap().map(SecretBytes::into_public)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn what_was_written_last_is_read_by_the_next_daemon_and_by_nobody_else() {
        let (_ground, path) = ground();
        let state = open_again(&path);
        assert_eq!(read(&state, "nats"), None);
        state.replace("nats", b"first, and longer").unwrap();
        state.replace("nats", b"second").unwrap();
        assert!(matches!(StateDirectory::open(&path), Err(DriverError::StateBusy(_))));
        drop(state);
        let state = open_again(&path);
        assert_eq!(read(&state, "nats").as_deref(), Some(&b"second"[..]));
        assert_eq!((mode(&path), mode(&path.join("nats"))), (0o700, 0o600));
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let (_ground, path) = ground();
        drop(open_again(&path));
        for mode in [0o770, 0o702, 0o1777] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = StateDirectory::open(&path);
            assert!(matches!(refused, Err(DriverError::StateExposed(_))), "{mode:o}: {refused:?}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        open_again(&path);
    }

    #[test]
    fn a_file_that_is_not_what_was_written_says_nothing_and_can_be_replaced() {
        let (_ground, path) = ground();
        let state = open_again(&path);
        state.replace("nats", b"twelve hours").unwrap();
        let file = path.join("nats");
        let good = std::fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x10;
            std::fs::write(&file, changed).unwrap();
            assert_eq!(read(&state, "nats"), None, "octet {at} changed");
            std::fs::write(&file, &good[..at]).unwrap();
            assert_eq!(read(&state, "nats"), None, "cut at octet {at}");
        }
        std::fs::write(&file, vec![b'v'; 2 * limits::STATE_FILE]).unwrap();
        assert_eq!(read(&state, "nats"), None);
        state.replace("nats", b"one hour").unwrap();
        assert_eq!(read(&state, "nats").as_deref(), Some(&b"one hour"[..]));
    }

    #[test]
    fn what_a_killed_daemon_left_half_written_goes_and_the_rest_stays() {
        let (_ground, path) = ground();
        let state = open_again(&path);
        state.replace("nats", b"learned").unwrap();
        drop(state);
        std::fs::write(path.join("nats.vpnhost-new"), b"vpnhost-state 00").unwrap();
        let state = open_again(&path);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
        assert_eq!(read(&state, "nats").as_deref(), Some(&b"learned"[..]));
    }

    #[test]
    fn names_lead_nowhere_else_and_sizes_have_a_bound() {
        let (_ground, path) = ground();
        let state = open_again(&path);
        for name in ["", ".", "..", "../nats", "a/b", "nats.vpnhost-new", &"x".repeat(limits::STATE_NAME + 1)]
        {
            assert!(state.replace(name, b"").is_err() && state.read(name).is_err(), "{name}");
        }
        let most = vec![7; limits::STATE_FILE];
        state.replace("most", &most).unwrap();
        assert_eq!(read(&state, "most"), Some(most));
        assert!(state.replace("most", &vec![7; limits::STATE_FILE + 1]).is_err());
        assert_eq!(read(&state, "most").map(|it| it.len()), Some(limits::STATE_FILE));
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }
}

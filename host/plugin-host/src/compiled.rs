//! Compiled components, kept so that a start does not wait for a compiler.
//!
//! What is run from here runs with this process's rights: the directory is this user's alone (0700), an
//! entry is nobody else's to write, and one whose digest is not the recorded one is not run. An entry is
//! named by the component's own digest and by the compiler's settings, so another component or another
//! host never finds it. Nothing is taken in here but what this host compiled.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use vpnhost_policy::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{digest, limits};

/// What every entry begins with; the digest of the rest follows in 64 digits, and a line feed.
const MAGIC: &[u8] = b"vpnhost-compiled ";
/// Octets before what was compiled.
const HEADER_LEN: usize = MAGIC.len() + 65;
/// What the name of an entry ends with that is being written.
const UNFINISHED: &str = ".new";

/// A directory of compiled components.
#[derive(Debug)]
pub(crate) struct CompiledCache {
    path: PathBuf,
    /// Whose process this is.
    user: u32,
    /// Tells files apart that are being written at once.
    turn: AtomicU64,
}

impl CompiledCache {
    /// Opens a directory, and makes it with mode 0700 if there is none.
    ///
    /// # Errors
    /// A directory that others may write, or that this process may not.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let user = open_private(path)?;
        Ok(Self { path: path.to_owned(), user, turn: AtomicU64::new(0) })
    }

    /// Returns what a component was compiled to before. A broken or foreign entry is told and counts as none.
    pub(crate) fn find(&self, engine: &Engine, sha256: Sha256) -> Option<Component> {
        let path = self.place(engine, sha256);
        let found = match self.read(&path) {
            Ok(octets) => {
                let octets = octets?;
                load(engine, &octets[HEADER_LEN..]).map_err(|error| format!("{error:#}"))
            }
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(component) => Some(component),
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "a compiled plugin is not used, but compiled anew");
                None
            }
        }
    }

    /// Keeps what a component was compiled to. That it cannot is told: the next start waits for the compiler.
    pub(crate) fn keep(&self, engine: &Engine, sha256: Sha256, component: &Component) {
        let path = self.place(engine, sha256);
        let kept = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|octets| self.write(&path, &octets))
            .and_then(|()| self.make_room());
        if let Err(error) = kept {
            tracing::warn!(file = %path.display(), %error, "a compiled plugin could not be kept");
        }
    }

    fn place(&self, engine: &Engine, sha256: Sha256) -> PathBuf {
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        self.path.join(format!("{sha256}-{:016x}", settings.finish()))
    }

    /// Reads an entry, with what stands before what was compiled; `None` if there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        // A link is nobody's entry.
        let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != self.user || metadata.mode() & 0o077 != 0 {
            return Err(io::Error::other("it is not this host's own"));
        }
        if metadata.len() > limits::COMPILED_OCTETS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut octets = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut octets)?;
        if content(&octets).is_none() {
            return Err(io::Error::other("it is not what was written"));
        }
        // The oldest go first: what is used is young. Who may not say so loses nothing but that.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(octets))
    }

    /// Writes an entry under another name first: no reader finds half of it.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("{}-{turn}{UNFINISHED}", std::process::id()));
        let written = create(&unfinished).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(format!("{}\n", digest::of(content)).as_bytes())?;
            file.write_all(content)?;
            fs::rename(&unfinished, path)
        });
        if written.is_err() {
            // Who cannot write may be unable to remove, too; it goes when room is made.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes the oldest entries beyond the bounds.
    fn make_room(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            entries.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        entries.sort();
        let mut octets: u64 = entries.iter().map(|(_, octets, _)| octets).sum();
        let mut count = entries.len();
        for (_, length, path) in entries {
            if count <= limits::COMPILED_ENTRIES && octets <= limits::COMPILED_OCTETS {
                break;
            }
            fs::remove_file(path)?;
            count -= 1;
            octets -= length;
        }
        Ok(())
    }
}

/// Makes a directory with mode 0700 if there is none, and the one above it, and returns this process's user.
///
/// # Errors
/// A directory, or one above it that holds it, that others may write; one that this process may not.
pub(crate) fn open_private(path: &Path) -> io::Result<u32> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    for directory in above.into_iter().chain([path]) {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let probe = path.join(format!("{}-probe{UNFINISHED}", std::process::id()));
    let user = create(&probe)?.metadata()?.uid();
    fs::remove_file(probe)?;
    let metadata = fs::symlink_metadata(path)?;
    let is_own = metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0;
    let above = above.map(fs::metadata).transpose()?;
    let is_held = above.is_none_or(|above| [0, user].contains(&above.uid()) && above.mode() & 0o022 == 0);
    if is_own && is_held {
        return Ok(user);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may change what is in it: make it mode 0700"))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Returns what was compiled, if it is what was written.
fn content(octets: &[u8]) -> Option<&[u8]> {
    let (header, content) = octets.split_at_checked(HEADER_LEN)?;
    let told = header.strip_prefix(MAGIC)?.strip_suffix(b"\n")?;
    (told == digest::of(content).to_string().as_bytes()).then_some(content)
}

#[allow(unsafe_code)]
fn load(engine: &Engine, octets: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the octets are what `Component::serialize` of this host gave: nobody else may write into
    // the directory or the file, and the digest that was written with them fits.
    unsafe { Component::deserialize(engine, octets) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    /// The preamble of a component that is empty.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Ground {
        _dir: tempfile::TempDir,
        path: PathBuf,
        cache: CompiledCache,
        engine: Engine,
    }

    fn ground() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compiled");
        let cache = CompiledCache::open(&path).unwrap();
        Ground { _dir: dir, path, cache, engine: Engine::default() }
    }

    impl Ground {
        fn keep(&self, number: u8) -> Sha256 {
            let sha256 = Sha256([number; 32]);
            self.cache.keep(&self.engine, sha256, &Component::new(&self.engine, EMPTY).unwrap());
            sha256
        }

        fn finds(&self, sha256: Sha256) -> bool {
            self.cache.find(&self.engine, sha256).is_some()
        }

        fn entry(&self, sha256: Sha256) -> PathBuf {
            self.cache.place(&self.engine, sha256)
        }
    }

    #[test]
    fn what_was_compiled_is_found_by_its_component_alone_and_is_nobody_elses_to_read() {
        let ground = ground();
        let sha256 = ground.keep(1);
        assert!(ground.finds(sha256) && !ground.finds(Sha256([2; 32])));
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&ground.path), mode(&ground.entry(sha256))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&ground.path).unwrap().count(), 1);
    }

    #[test]
    fn an_entry_that_is_not_what_was_written_is_not_run() {
        let ground = ground();
        let sha256 = ground.keep(1);
        let good = fs::read(ground.entry(sha256)).unwrap();
        for at in [0, MAGIC.len(), HEADER_LEN - 1, HEADER_LEN, good.len() / 2, good.len() - 1] {
            let mut changed = good.clone();
            changed[at] ^= 1;
            fs::write(ground.entry(sha256), changed).unwrap();
            assert!(!ground.finds(sha256), "octet {at} changed");
            fs::write(ground.entry(sha256), &good[..at]).unwrap();
            assert!(!ground.finds(sha256), "cut at {at}");
        }
        fs::write(ground.entry(sha256), good).unwrap();
        assert!(ground.finds(sha256));
    }

    #[test]
    fn an_entry_that_another_engine_made_is_compiled_anew() {
        let ground = ground();
        let sha256 = Sha256([1; 32]);
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let other = Engine::new(&config).unwrap();
        ground.cache.keep(&other, sha256, &Component::new(&other, EMPTY).unwrap());
        assert!(!ground.finds(sha256));
        fs::rename(ground.cache.place(&other, sha256), ground.entry(sha256)).unwrap();
        assert!(!ground.finds(sha256));
    }

    #[test]
    fn what_others_may_write_is_not_run() {
        let ground = ground();
        let sha256 = ground.keep(1);
        let entry = ground.entry(sha256);
        fs::set_permissions(&entry, Permissions::from_mode(0o620)).unwrap();
        assert!(!ground.finds(sha256));
        fs::set_permissions(&entry, Permissions::from_mode(0o600)).unwrap();
        let aside = ground.path.join("aside");
        fs::rename(&entry, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &entry).unwrap();
        assert!(!ground.finds(sha256), "a link was followed");
        for (path, mode) in [(ground.path.clone(), 0o770), (ground.path.parent().unwrap().to_owned(), 0o777)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = CompiledCache::open(&ground.path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        }
        CompiledCache::open(&ground.path).unwrap();
    }

    #[test]
    fn beyond_the_bound_the_entry_that_was_not_used_for_longest_goes() {
        let ground = ground();
        let numbers: Vec<u8> = (0..).take(limits::COMPILED_ENTRIES).collect();
        let now = SystemTime::now();
        for &number in &numbers {
            let entry = ground.entry(ground.keep(number));
            let age = Duration::from_secs(1000 - u64::from(number));
            File::options().write(true).open(entry).unwrap().set_modified(now - age).unwrap();
        }
        assert!(ground.finds(Sha256([0; 32])), "which makes it young");
        let newest = ground.keep(u8::MAX);
        assert_eq!(fs::read_dir(&ground.path).unwrap().count(), limits::COMPILED_ENTRIES);
        assert!(ground.finds(newest) && ground.finds(Sha256([0; 32])));
        assert!(!ground.finds(Sha256([1; 32])));
    }
}

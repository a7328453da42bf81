//! A story: one named behaviour, told in namespaces of its own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::{Lab, Topology, lab};

/// What a story stands on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The vpnhost binary.
    pub vpnhost: PathBuf,
    /// The built plugins.
    pub plugins: PathBuf,
    /// Where the files of all stories go.
    pub root: PathBuf,
    /// The directory of this story.
    pub dir: PathBuf,
}

impl Ground {
    /// Returns a ground whose stories write below `root`.
    #[must_use]
    pub fn new(vpnhost: &Path, plugins: &Path, root: &Path) -> Self {
        let [vpnhost, plugins, root] = [vpnhost, plugins, root].map(Path::to_path_buf);
        Self { vpnhost, plugins, dir: root.clone(), root }
    }

    /// Builds the namespaces of a topology for this story.
    pub fn lab(&self, topology: Topology) -> Result<Lab> {
        Lab::build(topology, &self.dir)
    }
}

type Body = Box<dyn Fn(&Ground) -> Result<()>>;

/// One named behaviour.
pub struct Story {
    /// Its name, in words with dashes.
    pub name: String,
    body: Body,
}

impl Story {
    /// Returns a story.
    #[must_use]
    pub fn new(name: impl Into<String>, body: impl Fn(&Ground) -> Result<()> + 'static) -> Self {
        Self { name: name.into(), body: Box::new(body) }
    }
}

/// Tells the stories whose name contains one of the words (all, without words), one after another; returns how
/// many went well, and of each other one its name and its error.
pub fn tell(stories: &[Story], words: &[String], ground: &Ground) -> Result<(usize, Vec<String>)> {
    lab::sweep()?;
    let (mut passed, mut failed) = (0, Vec::new());
    for story in stories {
        if !words.is_empty() && !words.iter().any(|word| story.name.contains(word.as_str())) {
            continue;
        }
        let began = Instant::now();
        let dir = ground.root.join(&story.name);
        let result = (story.body)(&Ground { dir: dir.clone(), ..ground.clone() });
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                println!("  ok   {seconds:6.1} s  {}", story.name);
                // A failed story's files stay to be read.
                if dir.exists() && std::env::var_os("VPNHOST_KEEP").is_none() {
                    std::fs::remove_dir_all(&dir)?;
                }
            }
            Err(error) => {
                let said = format!("{}: {error:#}", story.name);
                println!("  FAIL {seconds:6.1} s  {said}");
                failed.push(said);
                println!("                   logs: {}", dir.display());
            }
        }
    }
    Ok((passed, failed))
}

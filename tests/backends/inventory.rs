//! `tests/vectors/README.md` has a row for each file of vectors, which says where it comes from and where it is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::shelf::vectors;

/// What lies beside the vectors and is none.
const BESIDE: [&str; 2] = ["README.md", "cases.txt"];

/// Directories of which every file has a section in `cases.txt`.
const COUNTED: [&str; 3] = ["nist-cavp/", "signature/", "wycheproof/"];

/// Returns the rows of the tables, by the file they are about: what else they have.
fn rows() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(vectors().join("README.md")).expect("it is in the repository");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        let file = cells.next().expect("a cell");
        assert!(rows.insert(file.clone(), cells.collect()).is_none(), "{file} has two rows");
    }
    rows
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_file_of_vectors_has_a_row_that_says_where_it_is_run() {
    let (root, rows) = (vectors(), rows());
    let mut found = Vec::new();
    files(&root, &mut found);
    let cases = include_str!("../vectors/cases.txt");
    let mut seen = 0;
    for path in found {
        let name = path.strip_prefix(&root).expect("it is below").to_string_lossy().into_owned();
        if BESIDE.contains(&&*name) {
            continue;
        }
        let row = rows.get(&name).unwrap_or_else(|| panic!("{name} has no row in tests/vectors/README.md"));
        let [origin, licence, run] = row.as_slice() else {
            panic!("{name}: origin, licence, where it is run")
        };
        assert!(!origin.is_empty() && !licence.is_empty(), "{name}");
        let test = root.join("../..").join(run);
        let text = std::fs::read_to_string(&test).unwrap_or_else(|_| panic!("{name}: there is no {run}"));
        assert!(text.contains("#[test]"), "{name}: {run} has no test");
        assert!(
            !COUNTED.iter().any(|kind| name.starts_with(kind)) || cases.contains(&format!("\n{name}\n")),
            "{name}"
        );
        seen += 1;
    }
    let absent: Vec<_> = rows.iter().filter(|(name, _)| !root.join(name).exists()).collect();
    for (name, row) in &absent {
        assert_eq!(row.len(), 3, "{name}: origin, licence, why it is not here");
        assert!(row[2].len() > 20, "{name}: why is it not here?");
    }
    assert_eq!(seen + absent.len(), rows.len(), "a row is of a file that is run, or says why it is not here");
}

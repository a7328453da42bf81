//! Vector files: messages in hexadecimal, one a paragraph, with comments behind `#`.

use std::path::Path;

/// A vector file that cannot be used.
#[derive(Debug)]
#[allow(dead_code, reason = "shown by Debug, where a build script or a test ends")]
pub enum SeedError {
    /// It cannot be read, or the corpus cannot be written.
    Io(std::io::Error),
    /// A line is not hexadecimal.
    Line(String),
}

impl From<std::io::Error> for SeedError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the messages of every `.hex` file of a directory, in the order of the names, each with the name of
/// its file.
///
/// # Errors
/// A file cannot be read or is not hexadecimal.
pub fn read(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, SeedError> {
    let mut files: Vec<_> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "hex"));
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file)?;
        for paragraph in text.split("\n\n") {
            let octets = octets_of(paragraph)?;
            if !octets.is_empty() {
                messages.push((name.clone(), octets));
            }
        }
    }
    Ok(messages)
}

/// Writes the messages of a directory as files of a corpus.
///
/// # Errors
/// As [`read`], or the corpus cannot be written.
#[allow(dead_code, reason = "the build script writes, the tests read")]
pub fn write(vectors: &Path, corpus: &Path) -> Result<(), SeedError> {
    std::fs::create_dir_all(corpus)?;
    for (index, (name, octets)) in read(vectors)?.into_iter().enumerate() {
        std::fs::write(corpus.join(format!("{index:02}-{name}")), octets)?;
    }
    Ok(())
}

fn octets_of(paragraph: &str) -> Result<Vec<u8>, SeedError> {
    let mut octets = Vec::new();
    for line in paragraph.lines() {
        let digits = line.split('#').next().unwrap_or_default().trim();
        let bad = || SeedError::Line(line.to_owned());
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2).ok_or_else(bad)?;
            octets.push(u8::from_str_radix(pair, 16).map_err(|_| bad())?);
        }
    }
    Ok(octets)
}

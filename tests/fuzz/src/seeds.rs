//! Where mutation begins: vector files, messages in hexadecimal, one a paragraph, with comments behind `#`; and
//! scripts for the targets that are driven by one.

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

/// Writes scripts as files of a corpus.
///
/// # Errors
/// The corpus cannot be written.
#[allow(dead_code, reason = "the build script writes, the tests read")]
pub fn write_scripts(scripts: &[Vec<u8>], corpus: &Path) -> Result<(), SeedError> {
    std::fs::create_dir_all(corpus)?;
    for (index, octets) in scripts.iter().enumerate() {
        std::fs::write(corpus.join(format!("{index:02}-script")), octets)?;
    }
    Ok(())
}

/// Returns scripts for `endpoint`: each hinders the set-up at another moment, then both sides give orders.
pub fn endpoint_scripts() -> Vec<Vec<u8>> {
    // A message to the second host (0x85) or to the first (0x05) is opened, one bit is flipped, and it is sealed.
    let rewrite = |host: u8, at: u8, bit: u8| vec![host | 5, 1, 1, 0, at, 0, bit];
    (0..48)
        .map(|index: u8| {
            // Switches and seed; half a flight at a time until the message in question is on its way.
            let mut script = vec![index.wrapping_mul(37) & 0x3f, index];
            script.extend((0..index % 8).flat_map(|_| [0, 5]));
            script.extend(rewrite(if index % 8 < 4 { 0x80 } else { 0 }, index.wrapping_mul(11), index % 8));
            script.extend([1, 20]);
            for order in 0..4 {
                script.extend([2, (index + order) % 7, 0x82, (index / 3 + order) % 7]);
                script.extend([0, 5 * (index % 7)]);
                script.extend(rewrite(0x80, index.wrapping_mul(7), order));
                script.extend(rewrite(0, index.wrapping_mul(5), order));
                // One of the last messages, damaged; a forgery in clear; and one with a valid ICV.
                script.extend([0x84, index % 5, 1, 0, 30 + order, 0, 1, 0]);
                script.extend([0x83, 0x08, 0xa3, index % 4, 8, 0, 0, 0, 8, 0, 0, 64, 0, 0]);
                script.extend([
                    0x86,
                    0x08,
                    3 + (order & 1),
                    2 + order,
                    41,
                    8,
                    0,
                    0,
                    0,
                    8,
                    0,
                    0,
                    64,
                    order,
                    0,
                ]);
                script.extend([1, 10 + order, 7, 0x87, 1, 5]);
            }
            script
        })
        .collect()
}

/// Returns scripts for `eap`: by each method one end alone, which hears packets of every form; and both ends, one
/// message changed.
pub fn eap_scripts() -> Vec<Vec<u8>> {
    (0..64)
        .map(|index: u8| {
            let mut script = vec![index];
            if index & 0x20 == 0 {
                // An identity, then what the method says: of MSCHAPv2, an operation each; of TLS, a Start and fragments.
                script.extend([0, 9, b'c', b'a', b'r', b'o', b'l', b'@', b'l', b'a', b'b']);
                script.extend([3, 1, 0x20, 3, 8, 0xc0, 0, 0, 4, 0, 0x16, 3, 1, 3, 6, 0, 0x16, 3, 3, 0, 9]);
                script.extend([4, 17, 16].into_iter().chain(index..index + 16));
                script.extend([0x24, 49, 49].into_iter().chain((0..48).map(|octet| octet ^ index)));
                script.extend([0x34, 0, 2, 2, 13, 26, 0xf8, 0]);
            } else {
                script.extend((0..index % 12).map(|_| 0));
                script.extend([0xc0, 1, index, index.wrapping_mul(29), index % 6, index % 8]);
                script.extend([0xc0, 2, 0, index % 16, 1, index, 0, 4, 3, 3]);
            }
            script
        })
        .collect()
}

/// Returns scripts for `esp`: packets of several sizes, in and out of order, damaged, and again.
pub fn esp_scripts() -> Vec<Vec<u8>> {
    (0..32)
        .map(|index: u8| {
            let mut script = vec![index % 16];
            for round in 0..8 {
                // Two packets, the second of another size.
                script.extend([0, 1, 1, 2, round, 0, 0, 0, 3, 4, index, 0x40 * (round & 1), 0, 0]);
                script.extend([2, 0, 4, 0x45, round, index, 1]);
                script.extend([3, 1, round * 2 + 1, 0, round * 2, index % 4]);
                script.extend([5, round, 1, 0, index + round, 0, round, 0]);
                script.extend([6, round, 1, 0, index, 0, round, 0]);
                script.extend([3, 0, round, 3, 7, 0, 200]);
            }
            script
        })
        .collect()
}

/// Returns chains of NIST PKITS, each as values one behind the other: the anchor, what is between, the revocation
/// lists, and the end entity's certificate.
///
/// # Errors
/// A file cannot be read or is no PEM.
pub fn chains(directory: &Path) -> Result<Vec<Vec<u8>>, SeedError> {
    const CHAINS: &[&[&str]] = &[
        &["GoodCACert", "TrustAnchorRootCRL", "GoodCACRL", "ValidCertificatePathTest1EE"],
        &["DSACACert", "TrustAnchorRootCRL", "DSACACRL", "ValidDSASignaturesTest4EE"],
        &["nameConstraintsDN1CACert", "nameConstraintsDN1subCA1Cert", "InvalidDNnameConstraintsTest13EE"],
        &["nameConstraintsRFC822CA1Cert", "ValidRFC822nameConstraintsTest21EE"],
        &["nameConstraintsURI1CACert", "ValidURInameConstraintsTest34EE"],
        &["pathLenConstraint1CACert", "pathLenConstraint1SelfIssuedCACert", "pathLenConstraint1subCACert"],
        &["P12Mapping1to3CACert", "P12Mapping1to3subCACert", "ValidPolicyMappingTest1EE"],
        &["PanyPolicyMapping1to2CACert", "ValidPolicyMappingTest9EE"],
        &["deltaCRLCA1Cert", "deltaCRLCA1CRL", "deltaCRLCA1deltaCRL", "InvaliddeltaCRLTest3EE"],
        &[
            "indirectCRLCA4Cert",
            "indirectCRLCA4cRLIssuerCert",
            "indirectCRLCA4cRLIssuerCRL",
            "ValidcRLIssuerTest28EE",
        ],
        &["onlySomeReasonsCA4Cert", "onlySomeReasonsCA4compromiseCRL", "InvalidonlySomeReasonsTest20EE"],
        &["distributionPoint1CACert", "distributionPoint1CACRL", "InvaliddistributionPointTest2EE"],
    ];
    let mut values = std::collections::BTreeMap::new();
    for file in ["certificates.pem", "crls.pem"] {
        let text = std::fs::read_to_string(directory.join(file))?;
        for block in text.split("\n\n").skip(1) {
            let mut lines = block.lines();
            let name = lines.next().unwrap_or_default().to_owned();
            let digits: String = lines.filter(|line| !line.starts_with('-')).collect();
            values.insert(name, octets_of_base64(&digits)?);
        }
    }
    let chain = |names: &&[&str]| {
        let all = std::iter::once(&"TrustAnchorRootCertificate").chain(*names);
        all.filter_map(|name| values.get(*name)).flatten().copied().collect()
    };
    Ok(CHAINS.iter().map(chain).collect())
}

fn octets_of_base64(digits: &str) -> Result<Vec<u8>, SeedError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes().take_while(|digit| *digit != b'=') {
        let value = ALPHABET.iter().position(|known| *known == digit);
        bits = bits << 6 | value.ok_or_else(|| SeedError::Line(digits.to_owned()))? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    Ok(octets)
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

//! Makes certificates and lists for tests, signed with Ed25519.

use vpnhost_crypto::{CryptoBackend, PrivateKey, SecureRandom, Signature, SigningKey};
use vpnhost_pki::{Certificate, Crl, Name};

/// The time of every test, and a day.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

/// A key pair made of one octet.
pub(crate) struct Key(pub(crate) PrivateKey, Box<dyn SigningKey>);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        Self::of(PrivateKey::read(&[&head[..], &[seed; 32]].concat()).expect("PKCS#8"))
    }

    pub(crate) fn of(private: PrivateKey) -> Self {
        let backend: &dyn CryptoBackend = vpnhost_rustcrypto::backend();
        let mut fitting = backend.signature().iter().filter(|algorithm| algorithm.id().fits(private.kind()));
        let algorithm = fitting.next().expect("it is there");
        let loaded = algorithm.load(&private).expect("any seed is a key");
        Self(private, loaded)
    }

    fn sign(&self, octets: &[u8]) -> Vec<u8> {
        self.1.sign(&[octets], &mut Nothing).expect("Ed25519 needs no randomness")
    }
}

struct Nothing;

impl SecureRandom for Nothing {
    fn fill(&mut self, _out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
        Err(vpnhost_crypto::CryptoError::Backend)
    }
}

/// Writes a value; lengths have two octets, if they need more than none.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        0x80..0x100 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [head, content].concat()
}

fn time(seconds: i64) -> Vec<u8> {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Civil date of a day number, years beginning in March.
    let shifted = days + 719_468;
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, early) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + shifted.div_euclid(146_097) * 400 + early;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    der(0x18, &[format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes()])
}

/// What a certificate is made of.
pub(crate) struct Plan {
    pub(crate) subject: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) serial: u8,
    pub(crate) valid: (i64, i64),
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Plan {
    /// An end entity's for 30 days.
    pub(crate) fn end(subject: &'static str, issuer: &'static str) -> Self {
        let valid = (NOW - DAY, NOW + 30 * DAY);
        Self { subject, issuer, serial: 7, valid, extensions: Vec::new() }
    }

    /// A CA's.
    pub(crate) fn ca(subject: &'static str, issuer: &'static str) -> Self {
        Self { serial: 3, ..Self::end(subject, issuer) }.with(extension(0x13, true, b"\x30\x03\x01\x01\xff"))
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(crate) fn sign(&self, key: &Key, by: &Key) -> Certificate {
        let algorithm = Signature::ED25519.algorithm_identifier().expect("it has one");
        let name = |text| Name::parse(text).expect("a name").der().to_vec();
        let validity = der(0x30, &[&time(self.valid.0), &time(self.valid.1)]);
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let tbs = der(
            0x30,
            &[
                b"\xa0\x03\x02\x01\x02\x02\x01",
                &[self.serial],
                &algorithm,
                &name(self.issuer),
                &validity,
                &name(self.subject),
                key.1.public().spki(),
                &der(0xa3, &[&der(0x30, &extensions)]),
            ],
        );
        let signature = der(0x03, &[&[0], &by.sign(&tbs)]);
        Certificate::from_der(&der(0x30, &[&tbs, &algorithm, &signature])).expect("a certificate")
    }
}

/// An extension of id-ce.
pub(crate) fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    der(0x30, &[&der(0x06, &[&[0x55, 0x1d, number]]), flag, &der(0x04, &[value])])
}

/// subjectAltName of names by their tags: 1 e-mail, 2 DNS, 7 address.
pub(crate) fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let all: Vec<u8> = names.iter().flat_map(|(tag, octets)| der(0x80 | tag, &[octets])).collect();
    extension(0x11, false, &der(0x30, &[&all]))
}

/// extendedKeyUsage of the last numbers of id-kp.
pub(crate) fn purposes(numbers: &[u8]) -> Vec<u8> {
    let all = numbers.iter().flat_map(|number| der(0x06, &[b"\x2b\x06\x01\x05\x05\x07\x03", &[*number]]));
    extension(0x25, false, &der(0x30, &[&all.collect::<Vec<_>>()]))
}

/// A revocation list of some serial numbers.
pub(crate) fn crl(issuer: &str, by: &Key, valid: (i64, i64), serials: &[u8]) -> Crl {
    let algorithm = Signature::ED25519.algorithm_identifier().expect("it has one");
    let entries: Vec<u8> =
        serials.iter().flat_map(|serial| der(0x30, &[&[2, 1, *serial], &time(NOW - DAY)])).collect();
    let entries = if entries.is_empty() { Vec::new() } else { der(0x30, &[&entries]) };
    let name = Name::parse(issuer).expect("a name");
    let tbs = der(0x30, &[b"\x02\x01\x01", &algorithm, name.der(), &time(valid.0), &time(valid.1), &entries]);
    let signature = der(0x03, &[&[0], &by.sign(&tbs)]);
    Crl::from_der(&der(0x30, &[&tbs, &algorithm, &signature])).expect("a list")
}

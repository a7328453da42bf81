//! Signatures against Wycheproof and NIST's CAVP: what must verify does, what must not does not, and what is
//! not tried has its reason (see [`crate::ledger`]).

use vpnhost_crypto::{
    CryptoBackend, CryptoError, Hash, PrivateKey, PublicKey, Scheme, SecureRandom, Signature, dss_to_der,
};

use crate::ledger::{Ledger, Settlement};
use crate::shelf::{backends, vectors};

/// A group of cases under one key.
#[derive(Default)]
struct Group<'a> {
    algorithm: &'a str,
    form: &'a str,
    key: Vec<u8>,
    private: bool,
    cases: Vec<[&'a str; 4]>,
}

fn octets(hex: &str) -> Vec<u8> {
    let digits = if hex == "-" { "" } else { hex };
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["algorithm", algorithm, form] => groups.push(Group { algorithm, form, ..Group::default() }),
            [kind @ ("key" | "private"), key] => {
                let group = groups.last_mut().expect("an algorithm stands in front");
                (group.key, group.private) = (octets(key), *kind == "private");
            }
            [id, result, data, signature] => groups
                .last_mut()
                .expect("a key stands in front")
                .cases
                .push([*id, *result, *data, *signature]),
            _ => panic!("what is {line:.40}?"),
        }
    }
    groups
}

/// Names an algorithm as vectors do, or says why it is not tried.
fn algorithm(group: &Group<'_>) -> Result<Signature, String> {
    let (scheme, hash) = group.algorithm.rsplit_once('-').unwrap_or((group.algorithm, "identity"));
    let hashes = [Hash::SHA1, Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512, Hash::IDENTITY];
    let Some(hash) = hashes.into_iter().find(|known| known.to_string() == hash) else {
        return Err(format!("IKEv2 has no number for the hash {hash}"));
    };
    let schemes = [
        ("rsa", Scheme::RsaPkcs1),
        ("rsa-pss", Scheme::RsaPss),
        ("ecdsa-p256", Scheme::EcdsaP256),
        ("ecdsa-p384", Scheme::EcdsaP384),
        ("ecdsa-p521", Scheme::EcdsaP521),
        ("ed25519", Scheme::Ed25519),
        ("dsa", Scheme::Dsa),
    ];
    let (_, scheme) = schemes.into_iter().find(|(name, _)| *name == scheme).expect("a scheme that is known");
    if scheme == Scheme::RsaPss && hash == Hash::SHA1 {
        return Err("RSASSA-PSS over SHA-1 is not offered".to_owned());
    }
    if let Some(salt) = group.form.strip_prefix("salt-") {
        let digest = [(Hash::SHA2_256, "32"), (Hash::SHA2_384, "48"), (Hash::SHA2_512, "64")];
        if !digest.contains(&(hash, salt)) {
            return Err(format!("a salt of {salt} octets: only one as long as a digest is taken"));
        }
    }
    Ok(Signature::new(scheme, hash))
}

/// A ledger, seen by one backend.
struct Sum<'a> {
    ledger: &'a mut Ledger,
    backend: &'static str,
}

impl Sum<'_> {
    fn skip(&mut self, why: &str, cases: usize) {
        (0..cases).for_each(|_| self.ledger.note(self.backend, format!("skipped, {why}")));
    }

    fn judge(&mut self, [id, result, ..]: [&str; 4], outcome: Result<(), CryptoError>) {
        match (result, outcome) {
            ("valid", Ok(())) | ("invalid", Err(CryptoError::AuthenticationFailed | CryptoError::BadKey)) => {
                self.ledger.passed(self.backend);
            }
            ("acceptable", Ok(())) => self.ledger.note(self.backend, "open, taken".to_owned()),
            ("acceptable", Err(error)) => self.ledger.note(self.backend, format!("open, refused: {error}")),
            (_, outcome) => self.ledger.wrong(self.backend, id, &format!("{result}: {outcome:?}")),
        }
    }
}

fn try_group(backend: &dyn CryptoBackend, group: &Group<'_>, sum: &mut Sum<'_>) {
    let id = match algorithm(group) {
        Ok(id) => id,
        Err(why) => return sum.skip(&why, group.cases.len()),
    };
    if group.private {
        return try_signing(backend, id, group, sum);
    }
    let key = PublicKey::from_spki(&group.key).expect("a key of the vectors");
    let Some(algorithm) = backend.find_signature(id, key.kind()) else {
        return sum.skip(&format!("the backend has no {id} with a key of {}", key.kind()), group.cases.len());
    };
    for case in &group.cases {
        if case[2].len() > 1 && !case[2].len().is_multiple_of(2) {
            sum.skip("its message ends within an octet", 1);
            continue;
        }
        let signature = octets(case[3]);
        let signature = match (group.form, key.kind().integer_len()) {
            ("raw", Some(len)) => dss_to_der(&signature, len),
            _ => Ok(signature),
        };
        let message = octets(case[2]);
        let outcome = signature.and_then(|signature| algorithm.verify(&key, &[&message], &signature));
        sum.judge(*case, outcome);
    }
}

/// What a key signs must be the very same octets, which are deterministic here.
fn try_signing(backend: &dyn CryptoBackend, id: Signature, group: &Group<'_>, sum: &mut Sum<'_>) {
    let key = PrivateKey::read(&group.key).expect("a key of the vectors");
    let Some(algorithm) = backend.find_signature(id, key.kind()) else {
        return sum.skip(&format!("the backend has no {id} with a key of {}", key.kind()), group.cases.len());
    };
    let loaded = match algorithm.load(&key) {
        Ok(loaded) => loaded,
        Err(error) => {
            group.cases.iter().for_each(|case| sum.judge(*case, Err(error)));
            return;
        }
    };
    for case in &group.cases {
        let made = loaded.sign(&[&octets(case[2])], &mut vpnhost_null::SeededRandom::new(1));
        let same = made.and_then(|made| {
            if made == octets(case[3]) { Ok(()) } else { Err(CryptoError::AuthenticationFailed) }
        });
        sum.judge(*case, same);
    }
}

fn try_files(part: &str) {
    let mut names: Vec<_> = std::fs::read_dir(vectors().join("signature"))
        .expect("the directory is in the repository")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(part))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{part}");
    let mut settlement = Settlement::default();
    for name in names {
        let file = format!("signature/{name}");
        let text = std::fs::read_to_string(vectors().join(&file)).expect("it can be read");
        let mut ledger = Ledger::new(file);
        for (label, backend) in backends() {
            let mut sum = Sum { ledger: &mut ledger, backend: label };
            groups(&text).iter().for_each(|group| try_group(backend, group, &mut sum));
        }
        settlement.settle(ledger);
    }
    settlement.close();
}

#[test]
fn dsa_is_as_wycheproof_says() {
    try_files("wycheproof-dsa");
}

#[test]
fn dsa_is_as_nist_says() {
    try_files("cavp-dsa");
}

#[test]
fn ecdsa_is_as_wycheproof_says() {
    try_files("wycheproof-ecdsa");
}

#[test]
fn ecdsa_is_as_the_rfc_of_its_auth_payloads_says() {
    try_files("rfc4754");
}

#[test]
fn ed25519_is_as_wycheproof_says() {
    try_files("wycheproof-ed25519");
}

#[test]
fn rsa_is_as_wycheproof_says() {
    try_files("wycheproof-rsa");
}

#[test]
fn rsa_is_as_nist_says() {
    try_files("cavp-rsa");
}

/// Draws nothing.
struct Empty;

impl SecureRandom for Empty {
    fn fill(&mut self, _out: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::Backend)
    }
}

#[test]
fn without_randomness_rsa_is_not_signed_unblinded() {
    let path = vectors().join("signature/wycheproof-rsa-pkcs1-2048-sig-gen.txt");
    let text = std::fs::read_to_string(path).expect("it can be read");
    let all = groups(&text);
    let group = all.iter().find(|group| group.algorithm == "rsa-sha256").expect("there is one");
    let key = PrivateKey::read(&group.key).expect("a key of the vectors");
    let backend = vpnhost_rustcrypto::backend();
    let algorithm = backend.find_signature(Signature::new(Scheme::RsaPkcs1, Hash::SHA2_256), key.kind());
    let loaded = algorithm.expect("it is there").load(&key).expect("a good key");
    assert_eq!(loaded.sign(&[b"text"], &mut Empty), Err(CryptoError::Backend));
}

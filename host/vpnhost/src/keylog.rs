//! Keys for Wireshark, only for debugging: `[host] keylog` names a directory, and Wireshark that is started
//! with `WIRESHARK_CONFIG_DIR` set to it decrypts what the host sends and receives.
//!
//! The files and their lines are Wireshark's own: `ikev2_decryption_table` and `esp_sa`. Whoever reads them
//! reads the traffic, so they are made with mode 0600 in a directory of mode 0700.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use vpnhost_crypto::SecretBytes;
use vpnhost_driver::KeyLog;
use vpnhost_ike::output::{ChildSaKeys, DirectionKeys, IkeSaFacts};
use vpnhost_model::{ChildSpi, Encryption, Integrity, PacketId};

/// IKE SAs, one a line.
const IKE: &str = "ikev2_decryption_table";
/// ESP SAs, one direction a line.
const ESP: &str = "esp_sa";

/// Writes keys to a directory.
#[derive(Debug)]
pub(crate) struct WiresharkKeys {
    dir: PathBuf,
}

impl WiresharkKeys {
    /// Makes the directory and its files; what is in them stays.
    ///
    /// # Errors
    /// Whatever keeps them from being written.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let keys = Self { dir: dir.to_owned() };
        for name in [IKE, ESP] {
            keys.append(name, "")?;
            // A table that was there already may have been made by others, for others to read.
            std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o600))?;
        }
        Ok(keys)
    }

    /// Returns the directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn append(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.dir.join(name))?;
        file.write_all(text.as_bytes())
    }

    fn tell(&self, name: &str, text: Option<String>) {
        let Some(text) = text else {
            tracing::warn!(
                file = name,
                "Wireshark has no name for the suite of an SA: its keys are not written"
            );
            return;
        };
        if let Err(error) = self.append(name, &text) {
            tracing::warn!(file = name, %error, "keys could not be written");
        }
    }
}

impl KeyLog for WiresharkKeys {
    fn ike_sa(&self, facts: &IkeSaFacts) {
        self.tell(IKE, ike_line(facts));
    }

    fn child_sa(&self, keys: &ChildSaKeys) {
        let both = esp_line(keys, keys.spi_in, &keys.inbound)
            .zip(esp_line(keys, keys.spi_out, &keys.outbound))
            .map(|(inbound, outbound)| inbound + &outbound);
        self.tell(ESP, both);
    }
}

/// SPIs, SK_ei, SK_er, encryption, SK_ai, SK_ar, integrity.
fn ike_line(facts: &IkeSaFacts) -> Option<String> {
    let (encryption, integrity) = ike_names(facts.suite.packet)?;
    let [ei, er, ai, ar] = &facts.keys;
    Some(format!(
        "{},{},{},{},\"{encryption}\",{},{},\"{integrity}\"\n",
        facts.spi_i,
        facts.spi_r,
        hex(ei),
        hex(er),
        hex(ai),
        hex(ar),
    ))
}

/// Protocol, source, destination, SPI, encryption, key, integrity, key. Any address will do: an SA that
/// moves, or is seen beyond a NAT, is the same.
fn esp_line(keys: &ChildSaKeys, spi: ChildSpi, direction: &DirectionKeys) -> Option<String> {
    let (encryption, integrity) = esp_names(keys.suite.packet)?;
    let protocol = match keys.path.remote {
        SocketAddr::V4(_) => "IPv4",
        SocketAddr::V6(_) => "IPv6",
    };
    let key = match direction.integrity.is_empty() {
        true => String::new(),
        false => format!("0x{}", hex(&direction.integrity)),
    };
    Some(format!(
        "\"{protocol}\",\"*\",\"*\",\"0x{spi}\",\"{encryption}\",\"0x{}\",\"{integrity}\",\"{key}\"\n",
        hex(&direction.encryption),
    ))
}

fn ike_names(PacketId { encryption, key_bits, integrity }: PacketId) -> Option<(String, &'static str)> {
    let encryption = match encryption {
        Encryption::TRIPLE_DES => "3DES [RFC2451]".to_owned(),
        Encryption::NULL => "NULL [RFC2410]".to_owned(),
        Encryption::AES_CBC => format!("AES-CBC-{key_bits} [RFC3602]"),
        Encryption::AES_CTR => format!("AES-CTR-{key_bits} [RFC5930]"),
        Encryption::AES_CCM_8 => format!("AES-CCM-{key_bits} with 8 octet ICV [RFC5282]"),
        Encryption::AES_CCM_12 => format!("AES-CCM-{key_bits} with 12 octet ICV [RFC5282]"),
        Encryption::AES_CCM_16 => format!("AES-CCM-{key_bits} with 16 octet ICV [RFC5282]"),
        Encryption::AES_GCM_8 => format!("AES-GCM-{key_bits} with 8 octet ICV [RFC5282]"),
        Encryption::AES_GCM_12 => format!("AES-GCM-{key_bits} with 12 octet ICV [RFC5282]"),
        Encryption::AES_GCM_16 => format!("AES-GCM-{key_bits} with 16 octet ICV [RFC5282]"),
        _ => return None,
    };
    let integrity = match integrity {
        Integrity::NONE => "NONE [RFC4306]",
        Integrity::HMAC_SHA1_96 => "HMAC_SHA1_96 [RFC2404]",
        Integrity::HMAC_SHA2_256_128 => "HMAC_SHA2_256_128 [RFC4868]",
        Integrity::HMAC_SHA2_384_192 => "HMAC_SHA2_384_192 [RFC4868]",
        Integrity::HMAC_SHA2_512_256 => "HMAC_SHA2_512_256 [RFC4868]",
        _ => return None,
    };
    Some((encryption, integrity))
}

fn esp_names(PacketId { encryption, integrity, .. }: PacketId) -> Option<(&'static str, &'static str)> {
    let encryption = match encryption {
        Encryption::TRIPLE_DES => "TripleDES-CBC [RFC2451]",
        Encryption::NULL => "NULL",
        Encryption::AES_CBC => "AES-CBC [RFC3602]",
        Encryption::AES_CTR => "AES-CTR [RFC3686]",
        Encryption::AES_GCM_8 => "AES-GCM with 8 octet ICV [RFC4106]",
        Encryption::AES_GCM_12 => "AES-GCM with 12 octet ICV [RFC4106]",
        Encryption::AES_GCM_16 => "AES-GCM with 16 octet ICV [RFC4106]",
        _ => return None,
    };
    let integrity = match integrity {
        Integrity::NONE => "NULL",
        Integrity::HMAC_SHA1_96 => "HMAC-SHA-1-96 [RFC2404]",
        Integrity::HMAC_SHA2_256_128 => "HMAC-SHA-256-128 [RFC4868]",
        Integrity::HMAC_SHA2_384_192 => "HMAC-SHA-384-192 [RFC4868]",
        Integrity::HMAC_SHA2_512_256 => "HMAC-SHA-512-256 [RFC4868]",
        _ => return None,
    };
    Some((encryption, integrity))
}

fn hex(secret: &SecretBytes) -> String {
    secret.expose().iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {

    use vpnhost_model::{
        ChildSaId, EspSuite, Identity, IkeSaId, IkeSpi, IkeSuite, Lifetime, Mode, Role, Sequence, Translation,
    };

    use super::*;

    fn path() -> vpnhost_model::Path {
        vpnhost_model::Path {
            local: "192.0.2.10:4500".parse().unwrap(),
            remote: "192.0.2.1:4500".parse().unwrap(),
            interface: None,
            encapsulation: vpnhost_model::Encapsulation::Udp,
        }
    }

    fn octets(octet: u8, count: usize) -> SecretBytes {
        SecretBytes::new(vec![octet; count])
    }

    fn facts(suite: &str, keys: [usize; 2]) -> IkeSaFacts {
        IkeSaFacts {
            id: IkeSaId(1),
            connection: "corp".into(),
            role: Role::Initiator,
            spi_i: IkeSpi([0xa1; 8]),
            spi_r: IkeSpi([0xb2; 8]),
            suite: IkeSuite::parse_all(suite).unwrap()[0],
            path: path(),
            local_id: Identity::Fqdn("carol".into()),
            peer_id: Identity::Fqdn("moon".into()),
            certificate: None,
            eap: None,
            local_behind_nat: false,
            peer_behind_nat: false,
            keys: [octets(1, keys[0]), octets(2, keys[0]), octets(3, keys[1]), octets(4, keys[1])],
        }
    }

    fn child(suite: &str, keys: [usize; 2]) -> ChildSaKeys {
        let direction = |octet| DirectionKeys {
            encryption: octets(octet, keys[0]),
            integrity: octets(octet + 1, keys[1]),
        };
        ChildSaKeys {
            id: ChildSaId(1),
            ike_sa: IkeSaId(1),
            connection: "corp".into(),
            child: "net".into(),
            spi_in: ChildSpi(0x0a0b_0c0d),
            spi_out: ChildSpi(0xdead_beef),
            suite: EspSuite::parse_all(suite, &[Sequence::SHORT]).unwrap()[0],
            inbound: direction(1),
            outbound: direction(5),
            path: path(),
            local: Vec::new(),
            remote: Vec::new(),
            mode: Mode::Tunnel,
            translation: Translation::None,
            replay_window: 64,
            lifetime: Lifetime {
                rekey_after: None,
                rekey_bytes: None,
                rekey_packets: None,
                jitter_percent: 0,
            },
            replaces: None,
        }
    }

    #[test]
    fn an_ike_sa_is_a_line_of_wiresharks_table() {
        assert_eq!(
            ike_line(&facts("aes128-sha256-modp2048", [2, 3])).unwrap(),
            "a1a1a1a1a1a1a1a1,b2b2b2b2b2b2b2b2,0101,0202,\"AES-CBC-128 [RFC3602]\",030303,040404,\
             \"HMAC_SHA2_256_128 [RFC4868]\"\n"
        );
        assert_eq!(
            ike_line(&facts("aes256gcm16-prfsha384-x25519", [2, 0])).unwrap(),
            "a1a1a1a1a1a1a1a1,b2b2b2b2b2b2b2b2,0101,0202,\"AES-GCM-256 with 16 octet ICV [RFC5282]\",,,\
             \"NONE [RFC4306]\"\n"
        );
    }

    #[test]
    fn a_child_sa_is_a_line_for_each_direction() {
        let dir = tempfile::tempdir().unwrap();
        let keys = WiresharkKeys::open(&dir.path().join("a/b")).unwrap();
        keys.child_sa(&child("3des-sha256", [2, 2]));
        keys.child_sa(&child("aes128gcm16", [2, 0]));
        let text = std::fs::read_to_string(dir.path().join("a/b/esp_sa")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "\"IPv4\",\"*\",\"*\",\"0x0a0b0c0d\",\"TripleDES-CBC [RFC2451]\",\"0x0101\",\
             \"HMAC-SHA-256-128 [RFC4868]\",\"0x0202\""
        );
        assert_eq!(
            lines[3],
            "\"IPv4\",\"*\",\"*\",\"0xdeadbeef\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x0505\",\"NULL\",\"\""
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn only_the_owner_reads_keys_and_older_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("keys");
        for _ in 0..2 {
            WiresharkKeys::open(&at).unwrap().ike_sa(&facts("aes128-sha256-modp2048", [2, 3]));
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&at), mode(&at.join(IKE)), mode(&at.join(ESP))), (0o700, 0o600, 0o600));
        assert_eq!(std::fs::read_to_string(at.join(IKE)).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_suite_that_wireshark_does_not_know_is_left_out() {
        let chacha =
            PacketId { encryption: Encryption::CHACHA20_POLY1305, key_bits: 256, integrity: Integrity::NONE };
        assert!(ike_names(chacha).is_none() && esp_names(chacha).is_none());
    }
}

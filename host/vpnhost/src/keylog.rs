//! Keys for Wireshark, where the operator asked for them: the tables `ikev2_decryption_table` and `esp_sa` of its
//! profile folder, so that `WIRESHARK_CONFIG_DIR=DIR tshark …` decrypts a capture.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use vpnhost_driver::KeyLog;
use vpnhost_ike::output::{ChildSaKeys, DirectionKeys, IkeSaFacts};
use vpnhost_model::{ChildSpi, Encryption, Integrity, PacketId};

/// Appends keys to the two tables in a directory.
#[derive(Debug)]
pub(crate) struct WiresharkTables {
    ike: Mutex<File>,
    esp: Mutex<File>,
}

impl WiresharkTables {
    /// Makes the directory (mode 0700) and the tables (mode 0600) where they are missing.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let table = |name: &str| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600).open(directory.join(name)).map(Mutex::new)
        };
        Ok(Self { ike: table("ikev2_decryption_table")?, esp: table("esp_sa")? })
    }
}

impl KeyLog for WiresharkTables {
    fn ike_sa(&self, facts: &IkeSaFacts) {
        append(&self.ike, &ike_line(facts));
    }

    fn child_sa(&self, keys: &ChildSaKeys) {
        append(&self.esp, &esp_lines(keys));
    }
}

fn append(table: &Mutex<File>, text: &str) {
    // A thread that panicked while it wrote leaves half a line at worst.
    let mut file = table.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(error) = file.write_all(text.as_bytes()) {
        tracing::warn!(%error, "the key log could not be written");
    }
}

/// `SPIi,SPIr,SK_ei,SK_er,"encryption",SK_ai,SK_ar,"integrity"`.
fn ike_line(facts: &IkeSaFacts) -> String {
    let [ei, er, ai, ar] = [0, 1, 2, 3].map(|at| hex(facts.keys[at].expose()));
    let PacketId { encryption, key_bits, integrity } = facts.suite.packet;
    let (encryption, integrity) = (ike_encryption(encryption, key_bits), ike_integrity(integrity));
    format!("{},{},{ei},{er},\"{encryption}\",{ai},{ar},\"{integrity}\"\n", facts.spi_i, facts.spi_r)
}

/// A line for each direction: family, source, destination, SPI, encryption, its key, integrity, its key.
fn esp_lines(keys: &ChildSaKeys) -> String {
    let (local, remote) = (keys.path.local.ip(), keys.path.remote.ip());
    let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
    let PacketId { encryption, integrity, .. } = keys.suite.packet;
    let line = |source, destination, spi: ChildSpi, keys: &DirectionKeys| {
        let authentication = match keys.integrity.is_empty() {
            true => String::new(),
            false => format!("0x{}", hex(keys.integrity.expose())),
        };
        format!(
            "\"{family}\",\"{source}\",\"{destination}\",\"0x{spi}\",\"{}\",\"0x{}\",\"{}\",\"{authentication}\"\n",
            esp_encryption(encryption),
            hex(keys.encryption.expose()),
            esp_integrity(integrity),
        )
    };
    line(remote, local, keys.spi_in, &keys.inbound) + &line(local, remote, keys.spi_out, &keys.outbound)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn ike_encryption(encryption: Encryption, key_bits: u16) -> String {
    match encryption {
        Encryption::TRIPLE_DES => "3DES [RFC2451]".to_owned(),
        Encryption::AES_CBC => format!("AES-CBC-{key_bits} [RFC3602]"),
        Encryption::AES_GCM_16 => format!("AES-GCM-{key_bits} with 16 octet ICV [RFC5282]"),
        other => format!("{other}"),
    }
}

fn ike_integrity(integrity: Integrity) -> String {
    match integrity {
        Integrity::NONE => "NONE [RFC4306]".to_owned(),
        Integrity::HMAC_SHA2_256_128 => "HMAC_SHA2_256_128 [RFC4868]".to_owned(),
        Integrity::HMAC_SHA2_384_192 => "HMAC_SHA2_384_192 [RFC4868]".to_owned(),
        Integrity::HMAC_SHA2_512_256 => "HMAC_SHA2_512_256 [RFC4868]".to_owned(),
        other => format!("{other}"),
    }
}

fn esp_encryption(encryption: Encryption) -> String {
    match encryption {
        Encryption::NULL => "NULL".to_owned(),
        Encryption::TRIPLE_DES => "TripleDES-CBC [RFC2451]".to_owned(),
        Encryption::AES_CBC => "AES-CBC [RFC3602]".to_owned(),
        Encryption::AES_GCM_16 => "AES-GCM with 16 octet ICV [RFC4106]".to_owned(),
        other => format!("{other}"),
    }
}

fn esp_integrity(integrity: Integrity) -> String {
    match integrity {
        Integrity::NONE => "NULL".to_owned(),
        Integrity::HMAC_SHA2_256_128 => "HMAC-SHA-256-128 [RFC4868]".to_owned(),
        Integrity::HMAC_SHA2_384_192 => "HMAC-SHA-384-192 [RFC4868]".to_owned(),
        Integrity::HMAC_SHA2_512_256 => "HMAC-SHA-512-256 [RFC4868]".to_owned(),
        other => format!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vpnhost_crypto::SecretBytes;
    use vpnhost_model::{
        ChildSaId, Encapsulation, EspSuite, IkeSaId, KeyExchange, Lifetime, Mode, Path, Sequence,
    };

    fn keys(packet: PacketId) -> ChildSaKeys {
        let direction = |octet| DirectionKeys {
            encryption: SecretBytes::new(vec![octet; 4]),
            integrity: SecretBytes::new(if packet.integrity == Integrity::NONE { vec![] } else { vec![9; 2] }),
        };
        ChildSaKeys {
            id: ChildSaId(1),
            ike_sa: IkeSaId(1),
            connection: "corp".to_owned(),
            child: "net".to_owned(),
            spi_in: ChildSpi(0x1234),
            spi_out: ChildSpi(0xc000_0001),
            suite: EspSuite { packet, key_exchange: KeyExchange::NONE, sequence: Sequence::SHORT },
            inbound: direction(1),
            outbound: direction(2),
            path: Path {
                local: "192.0.2.1:4500".parse().unwrap(),
                remote: "192.0.2.2:4500".parse().unwrap(),
                interface: None,
                encapsulation: Encapsulation::Udp,
            },
            local: Vec::new(),
            remote: Vec::new(),
            mode: Mode::Tunnel,
            replay_window: 64,
            lifetime: Lifetime::default(),
            replaces: None,
        }
    }

    #[test]
    fn a_pair_of_esp_sas_is_two_lines_of_wiresharks_table() {
        let cbc = PacketId {
            encryption: Encryption::AES_CBC,
            key_bits: 128,
            integrity: Integrity::HMAC_SHA2_256_128,
        };
        assert_eq!(
            esp_lines(&keys(cbc)),
            "\"IPv4\",\"192.0.2.2\",\"192.0.2.1\",\"0x00001234\",\"AES-CBC [RFC3602]\",\"0x01010101\",\
             \"HMAC-SHA-256-128 [RFC4868]\",\"0x0909\"\n\
             \"IPv4\",\"192.0.2.1\",\"192.0.2.2\",\"0xc0000001\",\"AES-CBC [RFC3602]\",\"0x02020202\",\
             \"HMAC-SHA-256-128 [RFC4868]\",\"0x0909\"\n"
        );
        let gcm = PacketId {
            encryption: Encryption::AES_GCM_16,
            key_bits: 128,
            integrity: Integrity::NONE,
        };
        assert!(esp_lines(&keys(gcm)).contains("\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x01010101\",\"NULL\",\"\"\n"));
    }

    #[test]
    fn the_tables_are_the_operators_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let tables = directory.path().join("keys");
        WiresharkTables::open(&tables).unwrap();
        for (path, mode) in [(tables.clone(), 0o700), (tables.join("esp_sa"), 0o600)] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
        }
    }
}

//! The suites that the issue names, in strongSwan's proposal syntax, which is also ours.

/// IKE suites that stories run with; the first three need `allow_legacy`.
pub const IKE: [&str; 5] = [
    "aes128-sha256-modp1024",
    "aes192-sha384-modp1536",
    "3des-sha256-modp1024",
    "aes256-sha512-modp2048",
    "aes256gcm16-prfsha384-x25519",
];

/// ESP suites: each cipher and each integrity algorithm that both ends have in user space.
pub const ESP: [&str; 20] = [
    "aes128-sha256",
    "aes128-sha384",
    "aes128-sha512",
    "aes192-sha256",
    "aes192-sha384",
    "aes192-sha512",
    "aes256-sha256",
    "aes256-sha384",
    "aes256-sha512",
    "3des-sha256",
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "aes128gcm8",
    "aes256gcm12",
    "aes128ccm16",
    "aes256ccm12",
    "aes128ctr-aesxcbc",
    "chacha20poly1305",
    "null-aescmac",
];

/// Returns whether one of the suites, which commas part, needs `allow_legacy`.
#[must_use]
pub fn is_legacy(suite: &str) -> bool {
    suite.split(['-', ',']).any(|part| matches!(part, "3des" | "modp1024" | "modp1536" | "sha1" | "prfsha1"))
}

#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| vpnhost_fuzz::eap(data));
